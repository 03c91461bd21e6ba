"""The cluster phase: which documents are duplicates, and which passages are frequent, over all that was measured.

Worker side: ``join`` runs one partition of a dedup or cut stage. Coordinator side: ``clusters_of`` joins the
edges of all partitions; only documents that have an edge take memory there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from jacorpus.plan import Step
from jacorpus.shards import PartWriter, read_batches, read_table
from jacorpus.stage import SignaturePart

EDGE_BYTES = 200
"""Coordinator memory for an edge, at most: two rows, their union-find nodes, the sort."""


@dataclass(frozen=True)
class JoinTask:
    """One partition of a dedup stage's join or a cut stage's count."""

    step: Step
    parts: tuple[SignaturePart, ...]
    partition: int
    partitions: int


def join(task: JoinTask, folder: Path) -> dict[str, Any]:
    """Edges (dedup) or frequent passages (cut) of one partition, into its part folder."""
    method = task.step.stage.join if task.step.kind == "dedup" else task.step.stage.count
    table = method(list(task.parts), task.partition, task.partitions)
    with PartWriter(folder / "joined.arrow", table.schema, None) as writer:
        for batch in table.to_batches():
            writer.write(batch)
    metadata = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
    return {"parts": {"joined.arrow": writer.info}, "counts": {"rows": table.num_rows}, "metadata": metadata}


def clusters_of(edge_files: Sequence[Path]) -> pa.Table:
    """Rows that have a duplicate: row, root (smallest row), size, similarity; sorted by row."""
    from jacorpus.dedup.clusters import cluster_rows

    return cluster_rows(pa.Table.from_batches([batch]) for path in edge_files for batch in read_batches(path))


def frequent_passages(files: Sequence[Path]) -> pa.Table:
    """The frequent passages of all partitions, sorted by hash."""
    tables = [read_table(path) for path in files]
    return pa.concat_tables(tables).sort_by("hash").combine_chunks() if tables else pa.table({})
