"""How far a pooled figure may lie off: documents drawn again, with replacement.

Legend: N documents, G units that are drawn whole (documents, or sources of near-copies), D draws, K columns.

A figure is a ratio of sums over documents. Each draw takes G units with replacement and forms the ratio again; the
interval is the 2.5 % and 97.5 % point of the D ratios (percentile bootstrap, Efron 1979). All tokenizers are measured
on the same draws, so that a difference between two of them is formed draw by draw: what makes a document hard for
both falls out of it.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jacorpus.report.numbers import Interval

DRAWS = 1000
LOW, HIGH = 2.5, 97.5
_BLOCK = 100  # draws held as 64-bit numbers at once
_KEPT = 4_000_000  # 64-bit numbers kept for good


@dataclass(frozen=True)
class Resampling:
    """The draws of one corpus. units: int64 [N], the unit of each document, 0 to G-1. seed: fixed for a report."""

    units: np.ndarray
    seed: int = 0

    @cached_property
    def size(self) -> int:
        """G."""
        return int(self.units.max()) + 1 if len(self.units) else 0

    @cached_property
    def times(self) -> np.ndarray:
        """uint16 [D, G]: how often each unit was taken."""
        random = np.random.Generator(np.random.PCG64(self.seed))
        rows = np.zeros((DRAWS, self.size), np.uint16)
        for row in rows:
            row += np.bincount(random.integers(self.size, size=self.size), minlength=self.size).astype(np.uint16)
        return rows

    @cached_property
    def _wide(self) -> np.ndarray | None:
        """``times`` as float64, where that is small enough to keep."""
        return self.times.astype(np.float64) if self.times.size <= _KEPT else None

    def by_unit(self, columns: np.ndarray) -> np.ndarray:
        """float64 [G, K]: sums over the documents of each unit, of float64 [N, K]."""
        sums = np.zeros((self.size, columns.shape[1]))
        np.add.at(sums, self.units, columns)
        return sums

    def sums(self, columns: np.ndarray) -> np.ndarray:
        """float64 [D, K]: each column's sum over the documents of each draw; columns: float64 [N, K]."""
        per_unit = self.by_unit(columns)
        if self._wide is not None:
            return self._wide @ per_unit
        found = np.zeros((DRAWS, columns.shape[1]))
        for start in range(0, DRAWS, _BLOCK):
            found[start : start + _BLOCK] = self.times[start : start + _BLOCK].astype(np.float64) @ per_unit
        return found

    def ratios(self, over: np.ndarray, under: np.ndarray) -> np.ndarray:
        """float64 [D]: the pooled ratio of each draw; not a number where nothing stands below the line."""
        sums = self.sums(np.stack([over, under], 1).astype(np.float64))
        return divided(sums[:, 0], sums[:, 1])


def divided(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    """over / under, not a number where under is 0."""
    return np.divide(over, under, out=np.full(len(over), np.nan), where=under != 0)


def interval(value: float, draws: np.ndarray) -> Interval:
    """The value with the bounds its draws give; draws that are not numbers are left out."""
    known = draws[np.isfinite(draws)]
    if not len(known):
        return Interval(value, value, value)
    low, high = np.percentile(known, (LOW, HIGH))
    return Interval(value, float(low), float(high))
