"""Arrow IPC: files (Feather 2) and streams (what `datasets` writes), told apart by their first bytes.

A record is a row; its position is the row's number in the file. A span is a range of record batches. What
can't be read from a damaged batch on is one Lost with ``corrupt`` per span.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from jacorpus.sources import tables
from jacorpus.sources.parquet import group_spans
from jacorpus.sources.records import nothing
from jacorpus.stage import Chunk, InputFile, Lost, Span

_FILE_MAGIC = b"ARROW1"


@dataclass(frozen=True)
class Arrow:
    """Reads Arrow IPC.

    column: the text. url, timestamp: the record's address and time. Other columns go into ``meta``. A row
    whose text is null is Lost with ``text_type``.
    """

    column: str = "text"
    url: str = "url"
    timestamp: str = "timestamp"

    def cut(self, file: InputFile, target_bytes: int) -> list[Span]:
        """Ranges of record batches of about target_bytes. Raises InputError when the column is missing."""
        try:
            batches = _Batches(file)
            tables.check_column(file, batches.schema, self.column)
            rows = batches.row_counts()
        except (OSError, pa.ArrowException, EOFError):
            return [Span(0, 1 << 62)]  # read() tells what is damaged
        total = max(1, sum(rows))
        return group_spans([count * file.size // total for count in rows], target_bytes)

    def read(self, file: InputFile, span: Span) -> Iterator[Chunk]:
        """Rows of the span's batches."""
        row = 0
        try:
            batches = _Batches(file)
            counts = batches.row_counts(span.start)
            row = sum(counts)
            for batch in batches.between(span.start, span.stop):
                for chunk in tables.row_chunks(batch, row, self.column, self.url, self.timestamp):
                    chunk.read_bytes = batch.nbytes * (chunk.records.num_rows + len(chunk.lost)) // batch.num_rows
                    yield chunk
                row += batch.num_rows
        except (OSError, pa.ArrowException, EOFError) as error:
            detail = f"the Arrow data can't be read after row {row}: {error}"
            yield Chunk(nothing(), [Lost(row, "corrupt", detail)])


class _Batches:
    """The record batches of an IPC file or stream, by number."""

    def __init__(self, file: InputFile):
        self._file = file
        with file.open() as handle:
            self._is_stream = handle.read(6) != _FILE_MAGIC
        self._reader = self._open()
        self.schema = self._reader.schema

    def _open(self, fields: list[int] | None = None) -> Any:
        options = pa.ipc.IpcReadOptions(included_fields=fields or [])  # no fields given: all are read
        opener = pa.ipc.open_stream if self._is_stream else pa.ipc.open_file
        return opener(tables.native(self._file), options=options)

    def row_counts(self, stop: int | None = None) -> list[int]:
        """Rows of each batch before ``stop``, reading no more than the column that is cheapest to read."""
        if stop == 0:
            return []
        fixed = [i for i, field in enumerate(self.schema) if pa.types.is_primitive(field.type)]
        reader = self._open([fixed[0] if fixed else 0])
        if self._is_stream:
            return [batch.num_rows for _, batch in zip(range(stop or 1 << 62), reader, strict=False)]
        count = reader.num_record_batches if stop is None else min(stop, reader.num_record_batches)
        return [reader.get_batch(i).num_rows for i in range(count)]

    def between(self, start: int, stop: int) -> Iterator[pa.RecordBatch]:
        if not self._is_stream:
            for i in range(start, min(stop, self._reader.num_record_batches)):
                yield self._reader.get_batch(i)
            return
        for i, batch in enumerate(self._reader):
            if i >= stop:
                return
            if i >= start:
                yield batch
