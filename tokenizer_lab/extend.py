"""Add a language to an existing tokenizer without touching what it has: every old id stays what it was.

``extend`` reads a SentencePiece model (BPE or Unigram), tiktoken ranks or a Hugging Face tokenizer.json of byte-level
BPE, learns new tokens from text of the new language, appends them and says what that does to old and new text.

What is promised, and tested: all old entries of the file (text, score, type, id) are the same bytes; a text in which
the string of no new token occurs keeps its ids.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from jacorpus.errors import InputError, RecipeError
from jacorpus.shards import storage_errors
from tokenizer_lab.corpus import Domain, draw
from tokenizer_lab.extension.effect import Effect, measure
from tokenizer_lab.extension.options import Extending, NewTokens
from tokenizer_lab.tokenizer import Tokenizer, open_tokenizer

Progress = Callable[[int], None]
Step = Callable[[str], None]
MEASURED_BYTES = 10_000_000
"""At most so much text of a domain is measured, drawn by hash."""


WRITTEN = ("tokenizer.json", "tokenizer.model", "tokenizer.tiktoken", "tokenizer.tiktoken.json", "extend.json")
"""All that an extension may write."""

BYTE_FORMATS = ("tiktoken", "huggingface")
"""Formats of byte-level BPE that can be extended."""


@dataclass
class Extended:
    """What ``extend`` made. files: written. old_size, new_size: ids before and after. new: the new tokens.

    lost: records that could not be read, by domain. effects: one row a domain of the new (``new``) and of the old
    language (``old``).
    """

    files: list[Path]
    base: Tokenizer
    tokenizer: Tokenizer
    options: Extending
    new: NewTokens
    trained_bytes: dict[str, int]
    lost: dict[str, dict[str, int]]
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
            "lost": self.lost,
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
    force: bool = False,
) -> Extended:
    """Extend the tokenizer at ``base_path`` with text of ``domains``; write it and extend.json into ``out``.

    old_domains: text of the languages it is good at already; only measured, never learned from. Text learned from is
    measured on its split ``valid``, where that holds a document. pattern, specials: as for open_tokenizer.
    force: replace the tokenizer that lies in ``out``.
    Raises InputError for a kind that can't be extended, for text that holds nothing to learn, and where ``out`` holds a
    tokenizer and force is not set; RecipeError where vocab_size is not above the base's.
    """
    say = step or (lambda _: None)
    base = open_tokenizer(base_path, pattern, specials)
    if options.vocab_size <= base.vocab_size:
        raise RecipeError(
            f"vocab_size {options.vocab_size} must be over the {base.vocab_size} ids that {base.name} has"
        )
    _check(base, out, force)
    say("read")
    drawn = draw(domains, options.budget_bytes, options.seed, weights=options.weights or None, progress=progress)
    say("learn")
    lost = _lost(domains)
    with _published(out) as folder:
        new, files = _learned(base, _file(Path(base_path)), drawn.texts, folder, options, progress)
        made = Extended(files, base, open_tokenizer(files[0]), options, new, drawn.taken_bytes, lost)
        say("measure")
        budget, seed = min(options.budget_bytes, MEASURED_BYTES), options.seed
        made.effects = {
            "new": [measure(base, made.tokenizer, domain, True, budget, seed) for domain in domains],
            "old": [measure(base, made.tokenizer, domain, False, budget, seed) for domain in old_domains],
        }
        made.lost |= _lost(old_domains)
        made.files.append(folder / "extend.json")
        made.files[-1].write_text(json.dumps(made.as_json(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    made.files = [out / path.name for path in made.files]
    made.tokenizer = open_tokenizer(made.files[0])
    return made


def _check(base: Tokenizer, out: Path, force: bool) -> None:
    """What can be known to be wrong before a byte is read; makes the folder."""
    if base.format != "sentencepiece" and (base.algorithm != "byte-bpe" or base.format not in BYTE_FORMATS):
        raise InputError(
            f"{base.name} is a {base.algorithm} tokenizer of format {base.format}; what can be extended: SentencePiece "
            "models (BPE, Unigram), tiktoken ranks, and a tokenizer.json of byte-level BPE"
        )
    there = [name for name in WRITTEN if (out / name).exists()]
    if there and not force:
        raise InputError(f"{out} holds {there[0]} already; --force replaces it, or choose another --out")
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)


@contextmanager
def _published(out: Path) -> Iterator[Path]:
    """A folder whose files take the place of those in ``out`` at the end; broken off, it leaves ``out`` as it was."""
    with storage_errors(out):
        folder = Path(tempfile.mkdtemp(prefix=".extend-", dir=out))
        try:
            yield folder
            new = {path.name for path in folder.iterdir()}
            for name in WRITTEN:
                if name in new:
                    os.replace(folder / name, out / name)
                else:
                    (out / name).unlink(missing_ok=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _lost(domains: Sequence[Domain]) -> dict[str, dict[str, int]]:
    return {domain.name: dict(domain.lost) for domain in domains if domain.lost}


def _learned(
    base: Tokenizer, file: Path, texts: pa.LargeStringArray, out: Path, options: Extending, progress: Progress | None
) -> tuple[NewTokens, list[Path]]:
    """The new tokens, and the files written with them, by the kind of the base."""
    if base.format in BYTE_FORMATS:
        from tokenizer_lab.extension import byte_bpe

        pattern = byte_bpe.pattern_of(base, file)
        new = byte_bpe.new_tokens(base, pattern, texts, options, progress)
        return byte_bpe.reached(base, file, pattern, new, out, options.allow_unreachable)
    from tokenizer_lab.extension import bpe, unigram

    kind = bpe if base.algorithm == "bpe" else unigram
    data = file.read_bytes()
    new = kind.new_pieces(data, texts, options, progress)
    return new, [kind.write(data, new, out)]


def _file(path: Path) -> Path:
    from tokenizer_lab.formats.sniff import IN_FOLDER

    return next((path / name for name in IN_FOLDER if (path / name).is_file()), path) if path.is_dir() else path
