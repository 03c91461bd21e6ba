"""Reading whole sources in tests: as one chunk, by spans, and as something that can be compared."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from jacorpus.schema import RECORD
from jacorpus.stage import Chunk, InputFile, Source, Span


def put(folder: Path, name: str, data: bytes) -> InputFile:
    """A file with these bytes."""
    path = folder / name
    path.write_bytes(data)
    return InputFile(str(path), name, len(data))


def read_all(source: Source, file: InputFile) -> Chunk:
    """Everything a source reads from a file in one span."""
    return joined(source.read(file, Span(0, 1 << 62)))


def read_spans(source: Source, file: InputFile, target_bytes: int, spans: list[Span] | None = None) -> Chunk:
    """Everything it reads span by span, each span by itself; by default the source's own spans."""
    parts = source.cut(file, target_bytes) if spans is None else spans
    assert all(a.stop == b.start for a, b in itertools.pairwise(parts))
    return joined(chunk for span in parts for chunk in source.read(file, span))


def joined(chunks: Iterable[Chunk]) -> Chunk:
    whole = Chunk(pa.RecordBatch.from_pylist([], schema=RECORD))
    batches = []
    for chunk in chunks:
        assert chunk.records.schema == RECORD
        chunk.records.validate(full=True)
        batches.append(chunk.records)
        whole.lost += chunk.lost
        whole.read_bytes += chunk.read_bytes
        for kind, count in chunk.skipped.items():
            whole.skipped[kind] = whole.skipped.get(kind, 0) + count
    if batches:
        whole.records = pa.Table.from_batches(batches).combine_chunks().to_batches()[0] if any(batches) else batches[0]
    return whole


def everything(chunk: Chunk) -> dict[str, Any]:
    """What must not depend on the spans."""
    return {"records": chunk.records.to_pylist(), "lost": chunk.lost, "skipped": chunk.skipped}
