"""Rows of RECORD gathered into bounded chunks, and the parsing of dates; shared by all sources."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from jacorpus.schema import RECORD
from jacorpus.stage import Chunk, Lost

CHUNK_BYTES = 8 << 20
"""Bytes of text and body after which a chunk is handed on; one record may be larger than that."""
CHUNK_ROWS = 1000
OPEN_END = 1 << 62
"""``stop`` of a last span whose end is not known before it has been read."""

_EARLIEST, _LATEST = -62_135_596_800, 253_402_300_799  # years 1 to 9999


@dataclass
class Gathered:
    """Records of one chunk while it fills up. ``take`` gives the chunk and starts an empty one."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    read_bytes: int = 0
    _bytes: int = 0

    def add(
        self,
        position: int,
        *,
        text: str | bytes | None = None,
        body: bytes | None = None,
        url: str | None = None,
        timestamp: int | None = None,
        meta: str | None = None,
        content_type: str | None = None,
        charset: str | None = None,
    ) -> None:
        """One record. text: str or valid UTF-8. timestamp: seconds since 1970 UTC. meta: a JSON object."""
        self.rows.append((position, url, timestamp, meta, text, body, content_type, charset))
        self._bytes += len(text or b"") + len(body or b"")

    def skip(self, kind: str, count: int = 1) -> None:
        """Count bytes that are no record."""
        if count:
            self.skipped[kind] = self.skipped.get(kind, 0) + count

    def full(self) -> bool:
        """Whether the chunk has to be handed on."""
        return self._bytes >= CHUNK_BYTES or len(self.rows) >= CHUNK_ROWS or len(self.lost) >= CHUNK_ROWS

    def empty(self) -> bool:
        """Whether there is nothing to hand on, not even progress."""
        return not (self.rows or self.lost or self.skipped or self.read_bytes)

    def take(self) -> Chunk:
        """What has been gathered, as a chunk."""
        columns = list(zip(*self.rows, strict=True)) or [()] * len(RECORD)
        arrays = [_array(values, field.type) for values, field in zip(columns, RECORD, strict=True)]
        chunk = Chunk(pa.RecordBatch.from_arrays(arrays, schema=RECORD), self.lost, self.skipped, self.read_bytes)
        self.rows, self.lost, self.skipped, self.read_bytes, self._bytes = [], [], {}, 0, 0
        return chunk


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.int64()).cast(kind)
    if pa.types.is_large_string(kind):
        # Bytes are copied as they are; a str is encoded once here and not kept twice by Python.
        encoded = [v.encode() if isinstance(v, str) else v for v in values]
        return pa.array(encoded, pa.large_binary()).cast(kind)
    return pa.array(values, kind)


def nothing() -> pa.RecordBatch:
    """No records."""
    return pa.RecordBatch.from_pylist([], schema=RECORD)


def slices(chunk: Chunk) -> list[Chunk]:
    """A chunk of any size as chunks within CHUNK_ROWS and about CHUNK_BYTES; losses and counts go with the first."""
    batch = chunk.records
    weight = np.ones(batch.num_rows, np.int64)
    for name in ("text", "body"):
        lengths = pa.compute.fill_null(pa.compute.binary_length(batch.column(name)), 0)
        weight += np.asarray(lengths)
    ends = np.cumsum(weight)
    out, start = [], 0
    while start < batch.num_rows:
        base = ends[start - 1] if start else 0
        stop = int(np.searchsorted(ends, base + CHUNK_BYTES, side="right"))
        stop = min(max(stop, start + 1), start + CHUNK_ROWS)
        out.append(Chunk(batch.slice(start, stop - start)))
        start = stop
    if not out:
        return [chunk]
    out[0].lost, out[0].skipped, out[0].read_bytes = chunk.lost, chunk.skipped, chunk.read_bytes
    return out


def parse_timestamp(value: object) -> int | None:
    """Seconds since 1970 UTC of an ISO 8601 string, a datetime, or a number of seconds or milliseconds; else None.

    A time without a zone counts as UTC. Numbers over 10^11 (the year 5138 in seconds) count as milliseconds.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        seconds = value / 1000 if abs(value) > 1e11 else value
        return int(seconds // 1) if _EARLIEST <= seconds <= _LATEST else None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    zoned = value if value.tzinfo else value.replace(tzinfo=UTC)
    return int((zoned - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() // 1)
