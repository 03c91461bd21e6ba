"""Quote-tuning (arXiv 2404.03862): prefer answers that say things as a trusted corpus says them.

QUIP of an answer is the share of its character n-grams that occur in the corpus. Two answers of one prompt that are
alike in length and apart in QUIP are a preference pair, so that nothing but quoting is learned. n-grams are those of
jacorpus.kernels.ngrams: white space and width are folded, a voicing mark is part of its kana.

Legend: G distinct n-grams of the corpus.
"""

import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from jacorpus.errors import InputError, RecipeError
from jacorpus.kernels.ngrams import code_points, ngram_hashes
from tokenizer_lab.corpus import nothing_in, open_corpus
from trainer.posttrain.rewarding import Scored

_HELD = 1 << 24  # hashes that are gathered before they are sorted into the index


class Quotes:
    """The n-grams of a corpus. hashes: uint64 [G], sorted: 8 bytes an n-gram; a chance match has odds G / 2^64."""

    def __init__(self, texts: Iterable[pa.Array], n: int = 25) -> None:
        """texts: arrays of strings, a document each. Raises RecipeError for n below 1."""
        if n < 1:
            raise RecipeError(f"quoting: n-grams of {n} characters were asked for; write 1 or more")
        self.n = n
        self.hashes, held, size = np.empty(0, np.uint64), [], 0
        for array in texts:
            held.append(self._grams(array)[1])
            size += len(held[-1])
            if size > _HELD:
                self.hashes, held, size = _distinct(np.concatenate([self.hashes, *held])), [], 0
        self.hashes = _distinct(np.concatenate([self.hashes, *held]))

    def quip(self, answers: Sequence[str]) -> list[float]:
        """Share of n-grams found, of each answer; 0 for one of fewer than n characters, which quotes nothing."""
        offsets, grams = self._grams(pa.array(answers, pa.large_string()))
        if not len(self.hashes):
            return [0.0] * len(answers)
        at = np.searchsorted(self.hashes, grams).clip(max=len(self.hashes) - 1)
        found = np.concatenate([[0], np.cumsum(self.hashes[at] == grams)])
        sizes = np.diff(offsets)
        return ((found[offsets[1:]] - found[offsets[:-1]]) / sizes.clip(min=1)).tolist()

    def _grams(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """(offsets int64 [N+1], hashes) of whole n-grams alone: a kernel's hash of a shorter text is left out, for it
        is found only where a document is that text."""
        offsets, hashes = ngram_hashes(texts, self.n)
        whole = np.diff(code_points(texts)[0]) >= self.n
        sizes = np.diff(offsets)
        kept = np.repeat(whole, sizes)
        return np.concatenate([[0], np.cumsum(sizes * whole)]).astype(np.int64), hashes[: offsets[-1]][kept]


def _distinct(hashes: np.ndarray) -> np.ndarray:
    """Sorted, each once; np.unique goes through a table, which takes ten times as long."""
    hashes = np.sort(hashes)
    return hashes[np.concatenate([[True], hashes[1:] != hashes[:-1]])[: len(hashes)]]


@cache
def quotes_of(corpus: str, n: int) -> Quotes:
    """The index of a corpus run's folder, or of any corpus that the tokenizer commands take; made once a process.
    Raises InputError where it isn't there or holds no text."""
    if not Path(corpus).exists():
        raise InputError(f"quoting: there is no corpus at {corpus}; give the folder of a corpus run")
    domains = open_corpus([corpus])
    found = Quotes((batch["text"] for domain in domains for batch in domain.documents()), n)
    if not len(found.hashes):
        raise nothing_in(domains, f" of {n} characters")
    return found


def pairs(
    groups: Sequence[Sequence[Scored]], quip: Sequence[Sequence[float]], delta: float = 0.1, length: float = 0.1
) -> list[dict[str, object]]:
    """One row {"messages", "chosen", "rejected", "margin", "id"} of each prompt whose draws allow it, as ``preference``
    reads them: the two answers furthest apart in QUIP, by more than ``delta``, whose lengths in characters differ by
    at most ``length`` of the shorter. groups: draws of a prompt each. quip: of those draws. The first of equals."""
    if delta < 0 or length < 0:
        raise RecipeError(f"quoting: delta ({delta}) and length ({length}) must be 0 or more")
    rows = []
    for group, values in zip(groups, quip, strict=True):
        sizes = [len(each.text) for each in group]
        apart = [
            (values[i] - values[j], -i, -j)
            for i in range(len(group))
            for j in range(len(group))
            if values[i] - values[j] > delta and abs(sizes[i] - sizes[j]) <= length * min(sizes[i], sizes[j])
        ]
        if apart:
            margin, i, j = max(apart)
            prompt = group[-i].prompt
            rows.append(
                {
                    "messages": [{"role": turn.role, "content": turn.content} for turn in prompt.turns],
                    **{"chosen": group[-i].text, "rejected": group[-j].text, "margin": margin, "id": prompt.id},
                }
            )
    return rows


def jsonl(rows: Iterable[dict[str, object]]) -> str:
    """Rows as lines of a file."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
