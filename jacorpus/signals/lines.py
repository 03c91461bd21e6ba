"""Repeated lines and sentences, and how lines begin and end (float64; 0 where there is nothing to divide by).

    lines                 (int32) blank ones included; 0 for an empty text
    blank_line_ratio      lines of white space / lines
    dup_line_ratio        sum of f - 1 over distinct lines that occur f times / lines
    dup_line_chars_ratio  sum of (f - 1) x length / characters of all lines (line breaks aside)
    dup_sentence_ratio, dup_sentence_chars_ratio   the same over sentences
    short_line_ratio      lines of 10 characters or fewer / lines (HojiChar)
    terminal_line_ratio   lines that end in a terminal mark / lines that are not blank (FineWeb-2)
    bullet_line_ratio     lines that start, white space aside, with • or - / lines (Gopher)
    ellipsis_line_ratio   (… LF and ... LF) / max(LF, 1) (HojiChar)

Swallow counts blank lines as equal lines, so they count as repeats: that is ``split = "lf"``. FineWeb-2 splits at
runs of LF: ``split = "lf_run"``. Deviation from Swallow 2d03507: its lines lose end marks that follow an end mark
or begin a line before they are compared; here a line is compared as it stands.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from jacorpus.stage import Column


@dataclass(frozen=True)
class Lines:
    """split: where a line ends, at each LF (``lf``) or at each run of LF (``lf_run``)."""

    split: Literal["lf", "lf_run"] = "lf"

    costly: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.split not in ("lf", "lf_run"):
            raise ValueError(f'split is "lf" or "lf_run", not {self.split!r}')

    def columns(self) -> Mapping[str, pa.DataType]:
        return {"lines": pa.int32()} | dict.fromkeys(_RATIOS, pa.float64())

    def measure(self, batch: pa.RecordBatch) -> dict[str, Column]:
        from jacorpus.kernels.lines import line_counts

        counts = line_counts(batch.column("text"), self.split)
        counts["full_lines"] = counts["lines"] - counts["blank_lines"]
        columns: dict[str, Column] = {"lines": counts["lines"].astype(np.int32)}
        for name, (part, whole) in _RATIOS.items():
            columns[name] = counts[part] / np.maximum(counts[whole], 1)
        return columns


_RATIOS = {
    "blank_line_ratio": ("blank_lines", "lines"),
    "dup_line_ratio": ("dup_lines", "lines"),
    "dup_line_chars_ratio": ("dup_line_chars", "line_chars"),
    "dup_sentence_ratio": ("dup_sentences", "sentences"),
    "dup_sentence_chars_ratio": ("dup_sentence_chars", "sentence_chars"),
    "short_line_ratio": ("short_lines", "lines"),
    "terminal_line_ratio": ("terminal_lines", "full_lines"),
    "bullet_line_ratio": ("bullet_lines", "lines"),
    "ellipsis_line_ratio": ("ellipsis_lines", "line_feeds"),
}
