"""What changed between two outputs: how many documents moved from one fate to another, and which."""

from pathlib import Path
from typing import Any

from jacorpus.output.finished import Finished, finished
from jacorpus.shards import read_table

SHOWN = 5


def diff(first: Path, second: Path) -> dict[str, Any]:
    """Counts of both and the moves between them, each with a few ids.

    A move is (state, stage, reason) in the first to the same in the second; None where a record is in one only.
    """
    import polars as pl

    old, new = finished(first), finished(second)
    a, b = _fates(old), _fates(new)
    joined = a.join(b, on="id", how="full", suffix="_new", coalesce=True)
    moved = joined.filter(pl.col("fate").ne_missing(pl.col("fate_new")))
    groups = (
        moved.sort("id")
        .group_by("fate", "fate_new")
        .agg(pl.len().alias("documents"), pl.col("id").head(SHOWN))
        .sort("documents", "fate", "fate_new", descending=[True, False, False])
    )
    moves = [
        {"from": row["fate"], "to": row["fate_new"], "documents": row["documents"], "ids": [i.hex() for i in row["id"]]}
        for row in groups.iter_rows(named=True)
    ]
    return {
        "counts": {"first": old.manifest["counts"], "second": new.manifest["counts"]},
        "bytes": {"first": old.manifest["bytes"], "second": new.manifest["bytes"]},
        "same": joined.height - moved.height,
        "moves": moves,
    }


def _fates(folder: Finished) -> Any:
    """(id, fate) of each record, fate as ``dropped profile short``."""
    import polars as pl

    frames = []
    for entry in folder.manifest["audit"]:
        frame = pl.DataFrame(read_table(folder.out / entry["path"], ["id", "state", "stage", "reason"]))
        fate = pl.concat_str("state", "stage", "reason", separator=" ", ignore_nulls=True).alias("fate")
        frames.append(frame.select("id", fate))
    return pl.concat(frames) if frames else pl.DataFrame(schema={"id": pl.Binary, "fate": pl.String})
