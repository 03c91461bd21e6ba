"""How far a text compresses: low is repetition, high is noise or very short.

``zlib_ratio``: zlib level 9 with its 2-byte head and 4-byte checksum, over the UTF-8 bytes, as llm-jp-corpus
(9815fc5, scripts/filters.py). Only zlib itself gives zlib's sizes, so no faster library stands in for it.
``lz4_ratio``: one LZ4 block without a frame, fast compressor, over the first MiB, as Uzushio (23dc7b2,
CompressionRate.scala). It leaves out the breaks between paragraphs, which we keep: with the text as it stands the
ratio is lower by what a line break a paragraph adds. The two ratios can't stand for each other.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from jacorpus.stage import Column

LZ4_BYTES = 1 << 20
_KINDS = ("zlib", "lz4")


@dataclass(frozen=True)
class Compression:
    """``zlib_ratio`` and ``lz4_ratio``: compressed bytes / bytes; 0 for an empty text.

    which: those wanted, of zlib and lz4. Raises ValueError for others.
    """

    which: tuple[str, ...] = _KINDS

    costly: ClassVar[bool] = False

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.which if kind not in _KINDS]
        if unknown:
            raise ValueError(f"signals.compression: unknown {unknown[0]!r} in `which`; give zlib, lz4 or both")

    def columns(self) -> Mapping[str, pa.DataType]:
        return {f"{kind}_ratio": pa.float64() for kind in self.which}

    def measure(self, batch: pa.RecordBatch) -> dict[str, Column]:
        from jacorpus.kernels.buffers import text_buffers

        offsets, data = text_buffers(batch.column("text"))
        sizes = {"zlib": _zlib_size, "lz4": _lz4_size}
        ratios: dict[str, Column] = {}
        for kind in self.which:
            values = np.zeros(len(offsets) - 1)
            for row, (start, stop) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
                taken = data[start : whole_characters(data, start, stop)] if kind == "lz4" else data[start:stop]
                if len(taken):
                    values[row] = sizes[kind](taken) / len(taken)
            ratios[f"{kind}_ratio"] = values
        return ratios


def whole_characters(data: np.ndarray, start: int, stop: int, limit: int = LZ4_BYTES) -> int:
    """Where the first ``limit`` bytes of data[start:stop] end, less a character they would cut."""
    if stop - start <= limit:
        return stop
    end = start + limit
    while end > start and data[end] & 0xC0 == 0x80:
        end -= 1
    return end


def _zlib_size(data: np.ndarray) -> int:
    return len(zlib.compress(data, 9))  # type: ignore[arg-type]


def _lz4_size(data: np.ndarray) -> int:
    return pa.Codec("lz4_raw").compress(pa.py_buffer(data)).size
