"""The two passes of ``dedup.files`` over Parquet: one column read, then whole rows copied, ROWS_AT_ONCE at a time."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jacorpus.dedup.line_files import Lines
from jacorpus.errors import InputError
from jacorpus.sources.tables import check_column
from jacorpus.stage import InputFile

ROWS_AT_ONCE = 4096
"""Rows in memory at once, and in a row group of the output."""


def read_rows(
    file: InputFile, options: Any, sign: Callable[[pa.Array], None], side: IO[bytes], watch: Callable[..., None]
) -> Lines:
    """First pass: sign the text of each row; a row without one is rejected."""
    found, row = Lines(), 0
    numbers = []
    source = pq.ParquetFile(file.uri)
    check_column(file, source.schema_arrow, options.column)
    total = max(source.metadata.num_rows, 1)
    for batch in source.iter_batches(ROWS_AT_ONCE, columns=[options.column], use_threads=False):
        texts = batch.column(0).cast(pa.large_string())
        number = np.arange(row, row + len(texts))
        if texts.null_count:
            null = np.asarray(texts.is_null())
            for missing in number[null].tolist():
                found.reject(side, "missing_text", file=file.uri, row=missing, detail="the text is null")
            texts, number = texts.drop_null(), number[~null]
        sign(texts)
        found.text_bytes += int(pa.compute.sum(pa.compute.binary_length(texts)).as_py() or 0)
        numbers.append(number)
        row += len(batch)
        watch("sign", file, file.size * len(batch) // total)
    found.numbers = np.concatenate([np.zeros(0, np.int64), *numbers])
    return found


def copy_rows(
    files: Sequence[InputFile],
    places: Sequence[Lines],
    keep: Sequence[np.ndarray],
    target: Path,
    watch: Callable[..., None],
) -> None:
    """Second pass: the rows to keep, zstd Parquet of the first file's schema. Raises InputError where they differ."""
    schema = pq.ParquetFile(files[0].uri).schema_arrow
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for file, place, part in zip(files, places, keep, strict=True):
            source = pq.ParquetFile(file.uri)
            if not source.schema_arrow.equals(schema):
                raise InputError(f"{file.uri} has other columns than {files[0].uri}; deduplicate them apart")
            wanted, first = np.zeros(source.metadata.num_rows, np.bool_), 0
            wanted[place.numbers[part]] = True
            for batch in source.iter_batches(ROWS_AT_ONCE, use_threads=False):
                rows = wanted[first : first + len(batch)]
                if rows.any():
                    writer.write_batch(batch if rows.all() else batch.filter(pa.array(rows)))
                first += len(batch)
                watch("copy", file, file.size * len(batch) // max(len(wanted), 1))
