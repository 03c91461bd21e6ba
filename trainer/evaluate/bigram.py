"""The model to beat: a token given the one before it, from counts. Interpolated Kneser-Ney (Kneser, Ney 1995).

    P(b | a)  = max(c(a, b) - d, 0) / c(a)  +  d n(a) / c(a) P1(b)          P1(b) where a was never seen
    P1(b)     = max(m(b) - d1, 0) / M       +  d1 n1 / M  1/V

c(a, b) pairs, c(a) their sum over b, n(a) ids seen after a, m(b) ids seen before b, M their sum, n1 ids with m(b) > 0.
Discounts d and d1 are r1 / (r1 + 2 r2) of the numbers that occur once and twice (Ney, Essen, Kneser 1994). Every id has
a probability above 0. Pairs lie within documents, the end-of-text token after the last: the targets of training.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from jacorpus.errors import InputError
from tokenizer_lab.tokens import Tokens, TokenShard
from trainer.evaluate.scoring import Scores, Span

MOST_TOKENS = 50_000_000
_CHUNK = 1 << 23  # pairs sorted at once


class Bigram:
    """Counts as sorted keys a * V + b; ``score`` is that of a bits_per_byte.Scorer (hits are not looked for)."""

    def __init__(self, keys: np.ndarray, counts: np.ndarray, vocab_size: int) -> None:
        self.vocab_size, self.keys, self.counts = vocab_size, keys, counts
        before, after = np.divmod(keys, vocab_size)
        self.total = np.bincount(before, counts, vocab_size)  # c(a)
        self.kinds = np.bincount(before, minlength=vocab_size)  # n(a)
        sources = np.bincount(after, minlength=vocab_size)  # m(b)
        self.discount, lower = _discount(counts), _discount(sources)
        spared = lower * np.count_nonzero(sources) / vocab_size
        self.p1 = (np.maximum(sources - lower, 0) + spared) / max(1, sources.sum())

    @classmethod
    def train(cls, tokens: Tokens, eos_id: int | None, most_tokens: int = MOST_TOKENS) -> "Bigram":
        """Counts of the split ``train``; domains in their order, each shard up to its share of ``most_tokens``.

        Raises InputError where there is nothing to count.
        """
        shards = [shard for name in tokens.domains for shard in tokens.of(name, "train") if shard.tokens]
        if not shards:
            raise InputError(f"{tokens.folder} has no document of split train to count pairs of tokens in")
        share = min(1.0, most_tokens / sum(shard.tokens for shard in shards))
        keys, counts = _merged(_pairs(shard, share, eos_id, tokens.vocab_size) for shard in shards)
        return cls(keys, counts, tokens.vocab_size)

    def probabilities(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """float64: P(after | before), pair by pair."""
        key = before.astype(np.int64) * self.vocab_size + after
        place = np.minimum(np.searchsorted(self.keys, key), len(self.keys) - 1)
        count = np.where(self.keys[place] == key, self.counts[place], 0)
        total, p1 = self.total[before], self.p1[after]
        seen = np.maximum(count - self.discount, 0) + self.discount * self.kinds[before] * p1
        return np.where(total > 0, seen / np.maximum(total, 1), p1)

    def score(self, spans: Sequence[Span]) -> list[Scores]:
        """Scores of each span."""
        found = []
        for span in spans:
            after = span.ids[span.first :]
            nats = -np.log(self.probabilities(span.ids[span.first - 1 : -1][: len(after)], after))
            found.append(Scores(nats, None))
        return found


def _discount(counts: np.ndarray) -> float:
    once, twice = np.count_nonzero(counts == 1), np.count_nonzero(counts == 2)
    return once / (once + 2 * twice) if once and twice else 0.5


def _pairs(shard: TokenShard, share: float, eos_id: int | None, vocab_size: int) -> np.ndarray:
    """int64 keys of the pairs within the first documents of a shard."""
    documents = max(1, int(np.searchsorted(shard.offsets, shard.tokens * share, "right")) - 1)
    ids = shard.ids[: shard.offsets[documents]].astype(np.int64)
    after = np.append(ids[1:], 0)
    filled = np.diff(shard.offsets[: documents + 1]) > 0
    ends = shard.offsets[1 : documents + 1][filled] - 1
    if eos_id is None:
        return np.delete(ids * vocab_size + after, ends)
    after[ends] = eos_id
    return ids * vocab_size + after


def _merged(parts: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(sorted distinct keys, counts) of all parts; a chunk at a time, so that memory follows the distinct pairs."""
    keys, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for part in parts:
        for start in range(0, len(part), _CHUNK):
            new, number = np.unique(part[start : start + _CHUNK], return_counts=True)
            both, inverse = np.unique(np.concatenate([keys, new]), return_inverse=True)
            sums = np.zeros(len(both), np.int64)
            sums[inverse[: len(keys)]] = counts
            sums[inverse[len(keys) :]] += number
            keys, counts = both, sums
    return keys, counts
