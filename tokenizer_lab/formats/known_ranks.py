"""Published tiktoken rank files, told by their SHA-256, with what is not in the file: pattern and special tokens.

Hashes, patterns and special tokens of r50k, p50k, cl100k and o200k are those of openai/tiktoken 0.14
(tiktoken_ext/openai_public.py). Whisper's ``gpt2.tiktoken`` is byte for byte ``r50k_base.tiktoken`` and gets GPT-2's
one special token; the English-only Whisper models put theirs behind it, from the same id 50256 on. Whisper's
``multilingual.tiktoken`` gets the special tokens of openai/whisper ``tokenizer.py`` for 99 languages.
"""

from dataclasses import dataclass
from functools import partial

END_OF_TEXT, END_OF_PROMPT = "<|endoftext|>", "<|endofprompt|>"
_LANGUAGES = (  # noqa: SIM905
    "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg lt la mi ml "
    "cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be tg sd gu am "
    "yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su"
).split()
_TIMESTAMPS = 1501
_TIMESTAMP_S = 0.02


@dataclass(frozen=True)
class Known:
    """name: as published. pattern: a name of PATTERNS. specials: text -> id."""

    name: str
    pattern: str
    specials: dict[str, int]


def _whisper(first: int) -> dict[str, int]:
    marks = ["translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps"]
    times = [f"{i * _TIMESTAMP_S:.2f}" for i in range(_TIMESTAMPS)]
    names = ["endoftext", "startoftranscript", *_LANGUAGES, *marks, *times]
    return {f"<|{name}|>": first + i for i, name in enumerate(names)}


_FILL = {f"<|fim_{part}|>": 100258 + i for i, part in enumerate(("prefix", "middle", "suffix"))}
_GPT2 = partial(Known, pattern="gpt2", specials={END_OF_TEXT: 50256})

KNOWN: dict[str, Known] = {
    "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930": _GPT2("gpt2"),
    "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069": _GPT2("p50k_base"),
    "b34b360dbb493e781e479794586d661700670d65564001f23024971d1f2fa126": Known(
        "whisper-multilingual", "gpt2", _whisper(50257)
    ),
    "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7": Known(
        "cl100k_base", "cl100k", {END_OF_TEXT: 100257, **_FILL, END_OF_PROMPT: 100276}
    ),
    "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d": Known(
        "o200k_base", "o200k", {END_OF_TEXT: 199999, END_OF_PROMPT: 200018}
    ),
}
"""SHA-256 of the file -> what it is."""
