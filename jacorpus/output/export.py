"""Kept documents out of the shards, for other tools: Parquet or JSON Lines."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from jacorpus.errors import JacorpusError
from jacorpus.output.finished import Finished, finished
from jacorpus.shards import read_batches, storage_errors

Format = Literal["parquet", "jsonl.zst"]
ZSTD_LEVEL = 3


def export(out: Path, to: Path, kind: Format, on_bytes: Callable[[int], None] = lambda n: None) -> list[Path]:
    """One file per shard below ``to``; returns them. Each appears whole or not at all."""
    folder = finished(out)
    written = []
    with storage_errors(to):
        to.mkdir(parents=True, exist_ok=True)
        for entry in folder.manifest["shards"]:
            target = to / (Path(entry["path"]).stem + "." + kind)
            temporary = target.with_name(f".{target.name}.tmp")
            try:
                (_parquet if kind == "parquet" else _jsonl)(folder, entry, temporary)
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
            on_bytes(entry["text_bytes"])
            written.append(target)
    return written


def _plain_ids(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Ids as hex text, which every reader understands."""
    ids = pa.array([identity.hex() for identity in batch["id"].to_pylist()], pa.string())
    return batch.set_column(0, "id", ids)


def _parquet(folder: Finished, entry: dict[str, Any], path: Path) -> None:
    import pyarrow.parquet as pq

    writer = None
    for batch in read_batches(folder.out / entry["path"]):
        batch = _plain_ids(batch)
        writer = writer or pq.ParquetWriter(path, batch.schema, compression="zstd")
        writer.write_batch(batch)
    if writer is None:
        raise JacorpusError(f"{entry['path']} holds no documents")
    writer.close()


def _jsonl(folder: Finished, entry: dict[str, Any], path: Path) -> None:
    import orjson
    import zstandard

    options = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z
    with open(path, "wb") as raw, zstandard.ZstdCompressor(ZSTD_LEVEL).stream_writer(raw) as stream:
        for batch in read_batches(folder.out / entry["path"]):
            for row in _plain_ids(batch).to_pylist():
                if row["meta"]:
                    row["meta"] = orjson.Fragment(row["meta"])
                stream.write(orjson.dumps(row, option=options))
