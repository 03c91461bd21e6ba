"""Add a language to an existing tokenizer without touching what it has: every old id stays what it was.

``extend`` reads a SentencePiece model (BPE or Unigram), tiktoken ranks or a Hugging Face tokenizer.json of byte-level
BPE, learns new tokens from text of the new language, appends them and says what that does to old and new text.

What is promised, and tested: all old entries of the file (text, score, type, id) are the same bytes; a text in which
the string of no new token occurs keeps its ids.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from jacorpus.errors import InputError, RecipeError
from tokenizer_lab.corpus import Domain, draw
from tokenizer_lab.extension.effect import Effect, measure
from tokenizer_lab.extension.options import Extending, NewTokens
from tokenizer_lab.tokenizer import Tokenizer, open_tokenizer

Progress = Callable[[int], None]
Step = Callable[[str], None]
MEASURED_BYTES = 10_000_000
"""At most so much text of a domain is measured, drawn by hash."""


@dataclass
class Extended:
    """What ``extend`` made. files: written. old_size, new_size: ids before and after. new: the new tokens.

    effects: one row a domain of the new (``new``) and of the old language (``old``).
    """

    files: list[Path]
    base: Tokenizer
    tokenizer: Tokenizer
    options: Extending
    new: NewTokens
    trained_bytes: dict[str, int]
    effects: dict[str, list[Effect]] = field(default_factory=dict)

    @property
    def old_size(self) -> int:
        """V of the base."""
        return self.base.vocab_size

    @property
    def new_size(self) -> int:
        """V of the extended tokenizer."""
        return self.tokenizer.vocab_size

    def as_json(self) -> dict[str, Any]:
        """For --json and extend.json; tokens that are no UTF-8 have U+FFFD."""
        return {
            "base": {"name": self.base.name, "fingerprint": self.base.fingerprint, "ids": self.old_size},
            "extended": {"fingerprint": self.tokenizer.fingerprint, "ids": self.new_size},
            "files": [path.name for path in self.files],
            "options": asdict(self.options),
            "trained_bytes": self.trained_bytes,
            "candidates": self.new.candidates,
            "new_tokens": len(self.new.tokens),
            "unreachable": [token.decode("utf-8", "replace") for token in self.new.unreachable],
            "effects": {side: [effect.as_json() for effect in rows] for side, rows in self.effects.items()},
        }


def extend(
    base_path: str | Path,
    domains: Sequence[Domain],
    out: Path,
    options: Extending,
    old_domains: Sequence[Domain] = (),
    pattern: str | None = None,
    specials: Sequence[str] = (),
    progress: Progress | None = None,
    step: Step | None = None,
) -> Extended:
    """Extend the tokenizer at ``base_path`` with text of ``domains``; write it and extend.json into ``out``.

    old_domains: text of the languages it is good at already; only measured, never learned from. Text learned from is
    measured on its split ``valid``, where that holds a document. pattern, specials: as for open_tokenizer.
    Raises InputError for a kind that can't be extended and for text that holds nothing to learn, RecipeError where
    vocab_size is not above the base's.
    """
    say = step or (lambda _: None)
    base = open_tokenizer(base_path, pattern, specials)
    if options.vocab_size <= base.vocab_size:
        raise RecipeError(
            f"vocab_size {options.vocab_size} must be over the {base.vocab_size} ids that {base.name} has"
        )
    say("read")
    drawn = draw(domains, options.budget_bytes, options.seed, weights=options.weights or None, progress=progress)
    say("learn")
    out.mkdir(parents=True, exist_ok=True)
    new, files = _learned(base, _file(Path(base_path)), drawn.texts, out, options, progress)
    made = Extended(files, base, open_tokenizer(files[0]), options, new, drawn.taken_bytes)
    say("measure")
    budget, seed = min(options.budget_bytes, MEASURED_BYTES), options.seed
    made.effects = {
        "new": [measure(base, made.tokenizer, domain, True, budget, seed) for domain in domains],
        "old": [measure(base, made.tokenizer, domain, False, budget, seed) for domain in old_domains],
    }
    report = out / "extend.json"
    made.files.append(report)
    report.write_text(json.dumps(made.as_json(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return made


def _learned(
    base: Tokenizer, file: Path, texts: pa.LargeStringArray, out: Path, options: Extending, progress: Progress | None
) -> tuple[NewTokens, list[Path]]:
    """The new tokens, and the files written with them, by the kind of the base."""
    if base.algorithm == "byte-bpe" and base.format in ("tiktoken", "huggingface"):
        from tokenizer_lab.extension import byte_bpe

        pattern = byte_bpe.pattern_of(base, file)
        new = byte_bpe.new_tokens(base, pattern, texts, options, progress)
        return byte_bpe.reached(base, file, pattern, new, out, options.allow_unreachable)
    if base.format == "sentencepiece":
        from tokenizer_lab.extension import bpe, unigram

        kind = bpe if base.algorithm == "bpe" else unigram
        data = file.read_bytes()
        new = kind.new_pieces(data, texts, options, progress)
        return new, [kind.write(data, new, out)]
    raise InputError(
        f"{base.name} is a {base.algorithm} tokenizer of format {base.format}; what can be extended: SentencePiece "
        "models (BPE, Unigram), tiktoken ranks, and a tokenizer.json of byte-level BPE"
    )


def _file(path: Path) -> Path:
    from tokenizer_lab.formats.sniff import IN_FOLDER

    return next((path / name for name in IN_FOLDER if (path / name).is_file()), path) if path.is_dir() else path
