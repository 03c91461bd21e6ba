"""The write phase, worker side: signals with what only the whole corpus tells, audit parts, shards.

Each function writes into its task's part folder and returns counts and parts; the run publishes them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jacorpus.decide import BY_RULE, DUPLICATE, KEPT, REMOVED, failed_bits
from jacorpus.measure import Fate, as_batch, machine_fault
from jacorpus.plan import Step
from jacorpus.rule import Rule
from jacorpus.schema import AUDIT, ID, SHARD
from jacorpus.shards import PartWriter, read_batches, read_table

STATES = {KEPT: "kept", BY_RULE: "dropped", DUPLICATE: "dropped", REMOVED: "dropped"}


@dataclass(frozen=True)
class SignalsTask:
    """signals: the measured part. cuts: (cut step, its signatures here, frequent passages)."""

    signals: Path
    columns: dict[str, pa.DataType]
    domain: str
    priority: int
    cuts: tuple[tuple[Step, Path, Path], ...]


def published_schema(columns: dict[str, pa.DataType]) -> pa.Schema:
    """Schema of out/signals/*.arrow."""
    fields = [
        pa.field("id", ID, nullable=False),
        pa.field("domain", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("priority", pa.int32(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
    ]
    return pa.schema(fields + [pa.field(name, kind) for name, kind in columns.items()])


def write_signals(task: SignalsTask, folder: Path) -> dict[str, Any]:
    """The measured signals plus domain, priority and the columns of cut stages; one record batch a file."""
    table = read_table(task.signals).combine_chunks()
    columns: dict[str, Any] = {name: table[name] for name in table.column_names}
    for step, signatures, frequent in task.cuts:
        measured = step.stage.measure(read_table(signatures), read_table(frequent))
        columns.update({f"{step.label}.{name}": column for name, column in measured.items()})
    rows = table.num_rows
    columns["domain"] = pa.DictionaryArray.from_arrays(np.zeros(rows, np.int8), pa.array([task.domain]))
    columns["priority"] = np.full(rows, task.priority, np.int32)
    flat = {n: (c.combine_chunks() if isinstance(c, pa.ChunkedArray) else c) for n, c in columns.items()}
    schema = published_schema(task.columns)
    with PartWriter(folder / "signals.arrow", schema, None) as writer:
        writer.write_whole(as_batch(flat, schema, rows))
    return {"parts": {"signals.arrow": writer.info}, "counts": {"rows": rows}}


@dataclass(frozen=True)
class AuditTask:
    """One part's audit: its records, its signals and what was decided."""

    records: Path
    signals: Path
    decision: Path
    domain: str
    file: str
    rules: tuple[Rule, ...]
    active: tuple[bool, ...]
    dedup_labels: tuple[str, ...]
    lost: dict[bytes, Fate]  # documents a writing step could not write: they are failed after all


def write_audit(task: AuditTask, folder: Path) -> dict[str, Any]:
    """One row for each record read; counts and bytes by fate."""
    records, signals = read_table(task.records).combine_chunks(), read_table(task.signals).combine_chunks()
    decision = read_table(task.decision).combine_chunks()
    row = records["row"].to_numpy()
    measured = row >= 0
    fates = _Fates(task, signals, decision)
    take = pa.array(np.where(measured, row, 0), mask=~measured)
    state = fates.state.take(take).fill_null("failed")
    stage, reason, detail = fates.stage.take(take), fates.reason.take(take), records["detail"]
    if task.lost:
        state, stage, reason, detail = _with_lost(task.lost, records["id"], state, stage, reason, detail)
    columns = {
        "id": records["id"],
        "domain": pa.array([task.domain] * len(row), pa.string()),
        "file": pa.array([task.file] * len(row), pa.string()),
        "position": records["position"],
        "url": records["url"],
        "state": state,
        "stage": pc.coalesce(records["stage"], stage),
        "reason": pc.coalesce(records["reason"], reason),
        "value": fates.value.take(take),
        "detail": detail,
        "failed_rules": fates.failed_rules.take(take),
        "cluster": decision["cluster_id"].combine_chunks().take(take),
        "kept_id": decision["kept_id"].combine_chunks().take(take),
        "bytes": records["bytes"],
    }
    flat = {n: (c.combine_chunks() if isinstance(c, pa.ChunkedArray) else c) for n, c in columns.items()}
    batch = as_batch(flat, AUDIT, len(row))
    with PartWriter(folder / "audit.arrow", AUDIT, "zstd") as writer:
        writer.write(batch)
    return {"parts": {"audit.arrow": writer.info}, "fates": _tally(batch)}


def _with_lost(lost: dict[bytes, Fate], ids: Any, *columns: Any) -> list[pa.Array]:
    """State, stage, reason and detail with those of documents lost in writing replaced."""
    lists = [column.to_pylist() for column in columns]
    for i, identity in enumerate(ids.to_pylist()):
        if identity in lost:
            for values, new in zip(lists, ("failed", *lost[identity]), strict=True):
                values[i] = new
    return [pa.array(values, pa.string()) for values in lists]


class _Fates:
    """Per measured document: state, stage, reason, value, failed rules."""

    def __init__(self, task: AuditTask, signals: pa.Table, decision: pa.Table) -> None:
        fate, rule, dedup = (decision[n].to_numpy() for n in ("fate", "rule", "dedup"))
        rows = len(fate)
        states = np.array([STATES[i] for i in range(4)], object)
        stages, reasons = np.full(rows, None, object), np.full(rows, None, object)
        value, known = np.zeros(rows), np.zeros(rows, bool)
        for index, one in enumerate(task.rules):
            hit = (fate == BY_RULE) & (rule == index)
            if not hit.any():
                continue
            stages[hit], reasons[hit] = one.stage, one.reason
            column = signals[one.signal].combine_chunks()
            if not pa.types.is_string(column.type):
                value[hit] = column.filter(pa.array(hit)).to_numpy(zero_copy_only=False)
                known |= hit
        for index, label in enumerate(task.dedup_labels):
            hit = (fate == DUPLICATE) & (dedup == index)
            stages[hit], reasons[hit] = label, "duplicate"
            value[hit] = decision["similarity"].to_numpy()[hit]
            known |= hit
        stages[fate == REMOVED], reasons[fate == REMOVED] = "remove", "removed"
        bits = failed_bits(signals, task.rules, task.active, task.domain)
        self.state = pa.array(states[fate], pa.string())
        self.stage, self.reason = pa.array(stages, pa.string()), pa.array(reasons, pa.string())
        self.value = pa.array(value, mask=~known)
        self.failed_rules = pa.array([row.tobytes() for row in bits] if rows else [], pa.binary())


def _tally(audit: pa.RecordBatch) -> list[dict[str, Any]]:
    """Documents and bytes by (state, stage, reason)."""
    table = pa.Table.from_batches([audit]).select(["state", "stage", "reason", "bytes"])
    grouped = table.group_by(["state", "stage", "reason"]).aggregate([("bytes", "count"), ("bytes", "sum")])
    rows = grouped.rename_columns({"bytes_count": "documents", "bytes_sum": "bytes"}).to_pylist()
    return sorted(rows, key=lambda r: (r["state"], r["stage"] or "", r["reason"] or ""))


@dataclass(frozen=True)
class Slice:
    """Kept documents of one measured part that go into one shard: those of a split in [start, stop) of its rows."""

    text: Path
    decision: Path
    start: int
    stop: int


@dataclass(frozen=True)
class ShardTask:
    """One shard: slices of measured parts, through the writing steps."""

    slices: tuple[Slice, ...]
    valid: bool
    steps: tuple[Step, ...]
    frequent: dict[str, Path]


def write_shard(task: ShardTask, folder: Path) -> dict[str, Any]:
    """Kept text through redaction and cuts, schema SHARD. ``lost`` lists documents a step could not write."""
    from jacorpus.dedup.clusters import rehydration_weight

    lost: list[list[str]] = []
    counts = {"documents": 0, "text_bytes": 0}
    sums: dict[str, int] = {}
    with PartWriter(folder / "shard.arrow", SHARD, "zstd") as writer:
        for piece in task.slices:
            for batch, size in _kept(piece, task.valid):
                done = _written(task, batch, lost, sums)
                if done.num_rows < batch.num_rows:
                    size = size[pc.is_in(batch["id"], done["id"]).to_numpy(zero_copy_only=False)]
                columns = {name: done[name] for name in done.schema.names}
                columns["split"] = pa.array(["valid" if task.valid else "train"] * len(size), pa.string())
                columns["cluster_size"], columns["weight"] = size, rehydration_weight(size).astype(np.int8)
                out = as_batch(columns, SHARD, len(size))
                writer.write(out)
                counts["documents"] += out.num_rows
                counts["text_bytes"] += int(pc.sum(pc.binary_length(out["text"])).as_py() or 0)
    return {"parts": {"shard.arrow": writer.info}, "counts": counts, "sums": dict(sorted(sums.items())), "lost": lost}


def _kept(piece: Slice, valid: bool) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    """Batches of kept documents, with the cluster size of each."""
    decision = read_table(piece.decision)
    kept = (decision["fate"].to_numpy() == KEPT) & (decision["split"].to_numpy(zero_copy_only=False) == valid)
    sizes = decision["cluster_size"].to_numpy()
    first = 0
    for batch in read_batches(piece.text):
        rows = np.arange(first, first + batch.num_rows)
        mask = kept[rows] & (rows >= piece.start) & (rows < piece.stop)
        first += batch.num_rows
        if mask.any():
            yield batch.filter(pa.array(mask)), sizes[rows[mask]].astype(np.int32)


def _written(task: ShardTask, batch: pa.RecordBatch, lost: list[list[str]], sums: dict[str, int]) -> pa.RecordBatch:
    """A batch through the writing steps; a document that a step can't write is taken out and listed in ``lost``."""
    for step in task.steps:
        try:
            batch = _apply(task, step, batch, lost, sums)
        except Exception as error:
            if machine_fault(error):
                raise
            if batch.num_rows == 1:
                lost.append([batch["id"][0].as_py().hex(), step.label, type(error).__name__, f"{error}"[:200]])
                return batch.slice(0, 0)
            rest = ShardTask((), task.valid, task.steps[task.steps.index(step) :], task.frequent)
            ones = [_written(rest, batch.slice(row, 1), lost, sums) for row in range(batch.num_rows)]
            return pa.concat_batches(ones)
    return batch


def _apply(task: ShardTask, step: Step, batch: pa.RecordBatch, lost: list[list[str]], sums: dict[str, int]) -> Any:
    if step.kind == "cut":
        return step.stage.cut(batch, read_table(task.frequent[step.label]))
    applied = step.stage.apply(batch)
    mask = np.ones(batch.num_rows, bool)
    for failure in applied.failures:
        mask[failure.row] = False
        lost.append([batch["id"][failure.row].as_py().hex(), step.label, failure.reason, failure.detail])
    for name, column in applied.columns.items():
        array = (pa.array(column) if isinstance(column, np.ndarray) else column).filter(pa.array(mask))
        if not pa.types.is_string(array.type):
            key = f"{step.label}.{name}"
            sums[key] = sums.get(key, 0) + int(pc.sum(array).as_py() or 0)
    return applied.batch.filter(pa.array(mask))
