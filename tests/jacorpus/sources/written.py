"""Tables written for the tests of the sources that read tables."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jacorpus.stage import InputFile

TEXTS = [None if i % 11 == 3 else f"{i}番目の文書" * (i % 4) for i in range(70)]
TABLE = pa.table(
    {
        "text": pa.array(TEXTS, pa.string()),
        "url": [f"https://a.example/{i}" if i % 2 else None for i in range(70)],
        "timestamp": pa.array([datetime(2024, 1, 1 + i % 28, 3, tzinfo=UTC) for i in range(70)]),
        "score": [i / 2 for i in range(70)],
        "tags": [["あ", str(i)] for i in range(70)],
    }
)


def parquet(path: Path, table: pa.Table = TABLE, **options) -> InputFile:
    pq.write_table(table, path, row_group_size=15, **options)
    return InputFile(str(path), path.name, path.stat().st_size)


def arrow(path: Path, opener=pa.ipc.new_file, table: pa.Table = TABLE, compression: str | None = None) -> InputFile:
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.OSFile(str(path), "wb") as sink, opener(sink, table.schema, options=options) as writer:
        for batch in table.to_batches(15):
            writer.write_batch(batch)
    return InputFile(str(path), path.name, path.stat().st_size)
