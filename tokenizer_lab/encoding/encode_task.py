"""The encoding tasks: a part of a file to runs of tokens sorted by a keyed hash."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jacorpus.errors import InputError
from tokenizer_lab.encoding.reading import Part, Tally
from tokenizer_lab.encoding.shuffle import Piece, Unsorted, encoded, write_run
from tokenizer_lab.tokenizer import Tokenizer, open_tokenizer

SPLITS = ("train", "valid")


@dataclass(frozen=True)
class TokenizerFile:
    """What a worker needs to open the tokenizer; the words of ``open_tokenizer``. fingerprint: what it must have."""

    path: str
    pattern: str | None
    specials: tuple[str, ...]
    fingerprint: str

    def open(self) -> Tokenizer:
        """The tokenizer, read once per process. Raises InputError when the file changed since the run began."""
        if self not in OPENED:
            OPENED[self] = open_tokenizer(self.path, self.pattern, self.specials)
        if OPENED[self].fingerprint != self.fingerprint:
            raise InputError(f"{self.path} changed while it was in use; run the same command again")
        return OPENED[self]


OPENED: dict[TokenizerFile, Tokenizer] = {}
"""Tokenizers of this process."""


@dataclass(frozen=True)
class EncodeTask:
    """One part of a file to runs, each of one domain and split: train-00000, valid-00000, ..."""

    part: Part
    tokenizer: TokenizerFile
    seed: int
    run_tokens: int

    def run(self, folder: Path, progress: Callable[[int], None]) -> dict[str, Any]:
        """Write the runs; returns counts and runs by domain and split, and what could not be read."""
        tokenizer, tally = self.tokenizer.open(), Tally()
        runs = _Runs(folder, tokenizer.vocab_size)
        if not self.part.by_language:
            runs.open(self.part.domain)  # there even without a document
        for batch in self.part.documents(tally, progress):
            tokens = tokenizer.encode(batch.texts)
            for domain in sorted(set(batch.domain)):
                runs.open(domain)
                for split, held in zip(SPLITS, (~batch.valid, batch.valid), strict=True):
                    rows = np.flatnonzero(held & (batch.domain == domain))
                    if len(rows):
                        runs.add(domain, split, encoded(batch.ids, batch.texts, batch.weight, tokens, rows, self.seed))
            if runs.tokens >= self.run_tokens:
                runs.flush()
        runs.flush()
        return {"parts": runs.parts, "runs": runs.names, "counts": runs.counts, **vars(tally)}


class _Runs:
    """The runs of one task, by domain and both splits."""

    def __init__(self, folder: Path, vocab_size: int) -> None:
        self.folder, self.vocab_size = folder, vocab_size
        self.parts: dict[str, dict[str, int]] = {}
        self.names: dict[str, dict[str, list[str]]] = {}
        self.counts: dict[str, dict[str, dict[str, int]]] = {}
        self.waiting: dict[tuple[str, str], Unsorted] = {}
        self.written = dict.fromkeys(SPLITS, 0)

    @property
    def tokens(self) -> int:
        return sum(each.tokens for each in self.waiting.values())

    def open(self, domain: str) -> None:
        if domain not in self.counts:
            zeros = {"documents": 0, "empty": 0, "tokens": 0, "text_bytes": 0}
            self.counts[domain] = {split: zeros.copy() for split in SPLITS}
            self.names[domain] = {split: [] for split in SPLITS}

    def add(self, domain: str, split: str, piece: Piece) -> None:
        self.waiting.setdefault((domain, split), Unsorted()).add(piece)
        counts = self.counts[domain][split]
        counts["documents"] += len(piece.rank)
        counts["empty"] += int((piece.text_bytes == 0).sum())
        counts["tokens"] += int(piece.lengths.sum())
        counts["text_bytes"] += int(piece.text_bytes.sum())

    def flush(self) -> None:
        for (domain, split), waiting in self.waiting.items():
            name = f"{split}-{self.written[split]:05d}"
            self.parts |= write_run(self.folder, name, waiting, self.vocab_size)
            self.names[domain][split].append(name)
            self.written[split] += 1
        self.waiting = {}
