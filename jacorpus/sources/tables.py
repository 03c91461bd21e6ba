"""Rows of Arrow tables as records; shared by the sources for Parquet and Arrow."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jacorpus.errors import InputError
from jacorpus.sources.jsonl import Fields, take_fields, text_records
from jacorpus.sources.records import CHUNK_BYTES, CHUNK_ROWS
from jacorpus.stage import Chunk, InputFile, Lost


def native(file: InputFile) -> pa.NativeFile:
    """The file as Arrow reads it: memory-mapped where it is local."""
    return pa.PythonFile(file.open(), mode="r") if "://" in file.uri else pa.memory_map(file.uri)


def check_column(file: InputFile, schema: pa.Schema, column: str) -> None:
    """Raise InputError when the text column is missing or holds no strings."""
    if column not in schema.names:
        raise InputError(
            f"{file.uri} has no column {column!r}; its columns are {', '.join(schema.names)}: set the option `column`"
        )
    kind = schema.field(column).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if not _is_text(kind):
        raise InputError(f"the column {column!r} of {file.uri} holds {kind}, not strings; set the option `column`")


def _is_text(kind: pa.DataType) -> bool:
    text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(test(kind) for test in (*text, pa.types.is_string_view, pa.types.is_null))


def row_chunks(batch: pa.RecordBatch, first_row: int, column: str, url: str, timestamp: str) -> Iterator[Chunk]:
    """A batch of any size as chunks; ``first_row`` is the position of its first row."""
    for start, stop in _bounds(batch, column):
        yield _chunk(batch.slice(start, stop - start), first_row + start, column, url, timestamp)


def _bounds(batch: pa.RecordBatch, column: str) -> Iterator[tuple[int, int]]:
    """Row ranges of at most CHUNK_ROWS rows and about CHUNK_BYTES of text."""
    start = 0
    while start < batch.num_rows:
        part = batch.column(column).slice(start, CHUNK_ROWS)
        if pa.types.is_dictionary(part.type):
            part = part.dictionary_decode()
        if pa.types.is_null(part.type):
            ends = np.zeros(len(part))
        else:
            ends = np.cumsum(np.asarray(pc.fill_null(pc.binary_length(part), 0)), dtype=np.int64)
        rows = max(1, int(np.searchsorted(ends, CHUNK_BYTES, side="right")))
        yield start, start + min(rows, len(part))
        start += min(rows, len(part))


def _chunk(batch: pa.RecordBatch, first_row: int, column: str, url: str, timestamp: str) -> Chunk:
    texts = batch.column(column)
    if pa.types.is_dictionary(texts.type):
        texts = texts.dictionary_decode()
    texts = (
        texts.cast(pa.large_binary()) if not pa.types.is_null(texts.type) else pa.nulls(len(texts), pa.large_binary())
    )
    faults = _faults(texts)
    lost = [Lost(first_row + row, reason, detail, size) for row, (reason, detail, size) in sorted(faults.items())]
    good = np.array([row for row in range(len(texts)) if row not in faults], np.int64)
    if faults:
        texts, batch = texts.take(pa.array(good)), batch.take(pa.array(good))
    strings = pa.Array.from_buffers(pa.large_string(), len(texts), texts.buffers(), offset=texts.offset)
    fields = _fields(batch.drop_columns([column]), url, timestamp)
    return Chunk(text_records(strings, good + first_row, fields), lost)


def _faults(texts: pa.Array) -> dict[int, tuple[str, str, int]]:
    """Row -> (reason, detail, bytes) for texts that are null or no UTF-8."""
    faults = {int(row): ("text_type", "the text is null", 0) for row in np.flatnonzero(np.asarray(texts.is_null()))}
    try:
        pa.Array.from_buffers(pa.large_string(), len(texts), texts.buffers(), offset=texts.offset).validate(full=True)
    except pa.ArrowInvalid:
        for row, value in enumerate(texts.to_pylist()):
            try:
                (value or b"").decode()
            except UnicodeDecodeError as error:
                faults[row] = ("utf8", f"the text is not valid UTF-8: {error}", len(value))
    return faults


def _fields(batch: pa.RecordBatch, url: str, timestamp: str) -> Fields:
    """url, seconds and meta of each row, from the columns beside the text."""
    if not batch.num_columns:
        return [(None, None, None)] * batch.num_rows
    return [take_fields(values, url, timestamp) for values in batch.to_pylist()]
