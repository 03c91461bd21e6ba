"""Do cheap metrics say what bits per byte say? Rank and linear correlation over tokenizers, with intervals.

Spearman: Pearson's of the ranks, ties sharing their mean rank. The interval draws tokenizers with replacement (1,000
draws, percentiles); draws in which one side does not vary are left out. With LEAST tokenizers it is wide, and out of
many metrics some correlate by luck alone.
"""

from dataclasses import dataclass

import numpy as np

from jacorpus.report.numbers import Interval
from tokenizer_lab.comparison.bootstrap import DRAWS, interval

LEAST = 8
"""Tokenizers below which nothing is said."""


@dataclass(frozen=True)
class Correlation:
    """spearman, pearson: of a metric with bits per byte over ``tokenizers`` many; None where one does not vary."""

    tokenizers: int
    spearman: Interval | None
    pearson: Interval | None


def correlation(metric: np.ndarray, bits: np.ndarray, seed: int = 0) -> Correlation:
    """Of two float64 [M], one value a tokenizer each."""
    ranks = ranked(metric), ranked(bits)
    random = np.random.Generator(np.random.PCG64(seed))
    draws = random.integers(len(bits), size=(DRAWS, len(bits)))
    found: list[Interval | None] = []
    for a, b, by_rank in ((*ranks, True), (metric, bits, False)):
        value = pearson(a, b)
        if not np.isfinite(value):
            found.append(None)
            continue
        again = [_drawn(metric[d], bits[d], by_rank) for d in draws]
        found.append(interval(value, np.array(again)))
    return Correlation(len(bits), found[0], found[1])


def _drawn(a: np.ndarray, b: np.ndarray, by_rank: bool) -> float:
    return pearson(ranked(a), ranked(b)) if by_rank else pearson(a, b)


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Not a number where one side does not vary."""
    x, y = a - a.mean(), b - b.mean()
    below = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / below if below > 0 else float("nan")


def ranked(values: np.ndarray) -> np.ndarray:
    """float64: ranks from 1; equal values share the mean of theirs.

    >>> ranked(np.array([3.0, 1.0, 3.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place]
