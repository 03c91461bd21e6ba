"""Parquet files. A record is a row; its position is the row's number in the file.

A span is a range of row groups. Where a row group is damaged, the rows before the damage are read and the
rest of the group is one Lost with ``corrupt``; a file whose footer can't be read is one Lost as a whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from jacorpus.sources import tables
from jacorpus.sources.records import CHUNK_BYTES, CHUNK_ROWS, nothing
from jacorpus.stage import Chunk, InputFile, Lost, Span


@dataclass(frozen=True)
class Parquet:
    """Reads Parquet.

    column: the text. url, timestamp: the record's address and time. Other columns go into ``meta``. A row
    whose text is null is Lost with ``text_type``.
    """

    column: str = "text"
    url: str = "url"
    timestamp: str = "timestamp"

    def cut(self, file: InputFile, target_bytes: int) -> list[Span]:
        """Ranges of row groups of about target_bytes on disk. Raises InputError when the column is missing."""
        opened = _open(file)
        if isinstance(opened, Lost):
            return [Span(0, 1)]
        tables.check_column(file, opened.schema_arrow, self.column)
        meta = opened.metadata
        sizes = [
            sum(meta.row_group(g).column(c).total_compressed_size for c in range(meta.num_columns))
            for g in range(meta.num_row_groups)
        ]
        return group_spans(sizes, target_bytes)

    def read(self, file: InputFile, span: Span) -> Iterator[Chunk]:
        """Rows of the span's row groups."""
        opened = _open(file)
        if isinstance(opened, Lost):
            yield Chunk(nothing(), [opened] if span.start == 0 else [], read_bytes=file.size)
            return
        meta = opened.metadata
        groups = range(min(span.start, meta.num_row_groups), min(span.stop, meta.num_row_groups))
        first_row = sum(meta.row_group(g).num_rows for g in range(groups.start))
        for group in groups:
            yield from self._read_group(opened, group, first_row)
            first_row += meta.row_group(group).num_rows

    def _read_group(self, opened: Any, group: int, first_row: int) -> Iterator[Chunk]:
        info = opened.metadata.row_group(group)
        per_row = max(1, info.total_byte_size // max(info.num_rows, 1))
        size = max(1, min(CHUNK_ROWS, CHUNK_BYTES // per_row))
        row, on_disk = first_row, sum(info.column(c).total_compressed_size for c in range(info.num_columns))
        try:
            for batch in opened.iter_batches(size, row_groups=[group], use_threads=False):
                for chunk in tables.row_chunks(batch, row, self.column, self.url, self.timestamp):
                    chunk.read_bytes = on_disk * (chunk.records.num_rows + len(chunk.lost)) // info.num_rows
                    yield chunk
                row += batch.num_rows
        except (OSError, pa.ArrowException) as error:
            left = first_row + info.num_rows - row
            detail = f"row group {group} is damaged; its last {left} rows are lost: {error}"
            yield Chunk(nothing(), [Lost(row, "corrupt", detail, on_disk * left // info.num_rows)])


def _open(file: InputFile) -> Any:
    """A ParquetFile, or the loss of the whole file."""
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(
            tables.native(file), pre_buffer=False, buffer_size=1 << 20, page_checksum_verification=True
        )
    except (OSError, pa.ArrowException) as error:
        return Lost(0, "corrupt", f"no Parquet footer can be read: {error}", file.size)


def group_spans(sizes: list[int], target_bytes: int) -> list[Span]:
    """Ranges over numbered parts of these sizes, each of at least target_bytes where enough are left."""
    spans, start, held = [], 0, 0
    for number, size in enumerate(sizes):
        held += size
        if held >= target_bytes:
            spans.append(Span(start, number + 1))
            start, held = number + 1, 0
    if start < len(sizes):
        spans.append(Span(start, len(sizes)))
    return spans
