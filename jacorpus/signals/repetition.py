"""How much a text repeats itself in n-grams of characters (ratios, float64; 0 for a text too short for one).

    top_N_ratio          occurrences of the commonest N-gram / all N-grams (Swallow, N = 2-4)
    dup_N_type_ratio     N-grams that occur twice or more / distinct N-grams (Swallow, N = 5-10)
    top_N_cover_ratio    N x occurrences of the commonest / characters (Gopher; over 1 where it overlaps itself)
    dup_N_cover_ratio    characters in repeated N-grams, stepping N after each / characters (Gopher)
    char_repetition_ratio  occurrences of the top min(floor(sqrt(types)), repeated types) 5-grams / all (HojiChar)

Sources: swallow-corpus 2d03507, HojiChar 3ca1d27, Gopher (arXiv:2112.11446, table A1) as datatrove counts it.
Deviation: Gopher counts words; Japanese has no spaces, so here an N-gram is N characters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from jacorpus.stage import Column


@dataclass(frozen=True)
class Repetition:
    """The n for each kind of column; an empty list leaves the kind out, and costs nothing."""

    top: tuple[int, ...] = (2, 3, 4)
    dup_types: tuple[int, ...] = (5, 6, 7, 8, 9, 10)
    top_cover: tuple[int, ...] = ()
    dup_cover: tuple[int, ...] = ()
    hojichar: bool = False

    costly: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("top", "dup_types", "top_cover", "dup_cover"):
            for n in getattr(self, name):
                if not 1 <= n <= 32:
                    raise ValueError(f"{name}: n-grams have 1 to 32 characters, not {n}")

    def columns(self) -> Mapping[str, pa.DataType]:
        names = [f"top_{n}_ratio" for n in self.top]
        names += [f"dup_{n}_type_ratio" for n in self.dup_types]
        names += [f"top_{n}_cover_ratio" for n in self.top_cover]
        names += [f"dup_{n}_cover_ratio" for n in self.dup_cover]
        names += ["char_repetition_ratio"] * self.hojichar
        return dict.fromkeys(names, pa.float64())

    def measure(self, batch: pa.RecordBatch) -> dict[str, Column]:
        from jacorpus.kernels.repetition import repetition

        tops = tuple(dict.fromkeys((*self.top, *self.top_cover)))
        found = repetition(batch.column("text"), tops, self.dup_types, self.dup_cover, self.hojichar)
        chars = found.chars_N
        columns: dict[str, Column] = {}
        for n in self.top:
            columns[f"top_{n}_ratio"] = _ratio(found.top_NT[:, tops.index(n)], chars - n + 1)
        for j, n in enumerate(self.dup_types):
            columns[f"dup_{n}_type_ratio"] = _ratio(found.repeated_ND[:, j], found.types_ND[:, j])
        for n in self.top_cover:
            columns[f"top_{n}_cover_ratio"] = _ratio(n * found.top_NT[:, tops.index(n)], chars)
        for j, n in enumerate(self.dup_cover):
            columns[f"dup_{n}_cover_ratio"] = _ratio(found.covered_NC[:, j], chars)
        if self.hojichar:
            columns["char_repetition_ratio"] = _ratio(found.frequent_N, chars - 4)
        return columns


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole in float64, 0 where there is nothing."""
    return np.where(whole > 0, part / np.maximum(whole, 1), 0.0)
