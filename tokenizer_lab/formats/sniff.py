"""Which format a tokenizer file has, told by its content; names only help to say what is wrong."""

import os
from pathlib import Path

from jacorpus.errors import InputError, nearest
from tokenizer_lab.tokenizer import Tokenizer

PLAIN = ("byte", "char")
IN_FOLDER = ("tokenizer.json", "tokenizer.jsonl", "tokenizer.model", "spiece.model")
EXPECTED = (
    "expected a Hugging Face tokenizer.json, a SentencePiece .model, a tiktoken rank file (lines of base64 and rank), "
    "a PLaMo-2 tokenizer.jsonl, or the names byte and char"
)


def read(path: str | Path, pattern: str | None, specials: tuple[str, ...]) -> Tokenizer:
    """The tokenizer at ``path``; see tokenizer_lab.tokenizer.open_tokenizer."""
    if str(path) in PLAIN and not os.path.exists(path):
        from tokenizer_lab.formats.plain import open_plain

        return open_plain(str(path))
    file = file_of(Path(path))
    kind = _kind(file)
    if kind != "tiktoken" and (pattern or specials):
        raise InputError(f"{file} is no tiktoken rank file; it brings its own pattern and specials")
    if kind == "tiktoken":
        from tokenizer_lab.formats.tiktoken import open_ranks

        return open_ranks(file, pattern, specials)
    if kind == "huggingface":
        from tokenizer_lab.formats.huggingface import open_json

        return open_json(file)
    if kind == "plamo2":
        from tokenizer_lab.formats.plamo2 import open_jsonl

        return open_jsonl(file)
    from tokenizer_lab.formats.sentencepiece import open_model

    return open_model(file)


def file_of(path: Path) -> Path:
    """The tokenizer file itself, where ``path`` is a folder that holds one. Raises InputError where there is none."""
    if path.is_dir():
        for name in IN_FOLDER:
            if (path / name).is_file():
                return path / name
        raise InputError(f"{path} holds none of {', '.join(IN_FOLDER)}; name the tokenizer file itself")
    if not path.is_file():
        beside = os.listdir(path.parent) if path.parent.is_dir() else []
        raise InputError(f"no tokenizer at {path}{nearest(path.name, [*beside, *PLAIN])}")
    return path


def _kind(path: Path) -> str:
    with open(path, "rb") as stream:
        head = stream.read(4096)
    if not head:
        raise InputError(f"{path} is empty; {EXPECTED}")
    first = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if first.startswith(b"["):
        return "plamo2"
    if first.startswith(b"{"):
        return "huggingface"
    words = head.split(b"\n", 1)[0].split(b" ")
    if len(words) == 2 and words[1].strip().isdigit() and _is_base64(words[0]):
        return "tiktoken"
    if head[:1] == b"\x0a" and b"\x0a" in head[1:8]:
        return "sentencepiece"
    raise InputError(f"{path} is no tokenizer that can be read here; {EXPECTED}{_hint(path, head)}")


def _is_base64(word: bytes) -> bool:
    import base64
    import binascii

    try:
        base64.b64decode(word, validate=True)
    except binascii.Error:
        return False
    return bool(word)


def _hint(path: Path, head: bytes) -> str:
    model = path.with_suffix(".model")
    if b"\t" in head.split(b"\n", 1)[0] and model.is_file():
        return f"; this is a listing of the pieces, open {model.name} beside it"
    if head.startswith(b"version https://git-lfs"):
        return "; this is a Git LFS pointer, fetch the file itself"
    return ""
