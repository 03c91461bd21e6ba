"""The measure phase, worker side: one span of one file through every measuring step.

Leaves in its part folder:
    records.arrow            one row a record, in reading order, failed ones included
    text.arrow               DOCUMENT rows as measured
    signals.arrow            id, bytes and every signal of the recipe, row by row with text.arrow
    signatures-LABEL.arrow   what a dedup or cut stage needs of each document
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jacorpus import inflight
from jacorpus.errors import InputError, JacorpusError
from jacorpus.plan import MeasureTask, Step
from jacorpus.schema import DOCUMENT, ID, PAGE
from jacorpus.shards import PartWriter
from jacorpus.stage import Chunk, Column

RECORDS = pa.schema(
    [
        pa.field("id", ID, nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("url", pa.large_string()),
        pa.field("row", pa.int64(), nullable=False),  # in text.arrow; -1 where it failed
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("stage", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.large_string()),
    ]
)

Progress = Callable[[int], None]
Fate = tuple[str, str, str]


def document_id(domain: str, name: str, position: int) -> bytes:
    """16 bytes of SHA-256 over domain, path below the fixed root, and position."""
    return sha256(f"{domain}\0{name}\0{position}".encode("utf-8", "surrogateescape")).digest()[:16]


def signals_schema(columns: dict[str, pa.DataType]) -> pa.Schema:
    """Schema of signals.arrow."""
    fields = [pa.field("id", ID, nullable=False), pa.field("bytes", pa.int64(), nullable=False)]
    return pa.schema(fields + [pa.field(name, kind) for name, kind in columns.items()])


@dataclass
class Measured:
    """One chunk after all steps: rows that live, and the fate of those that don't (by row of the chunk)."""

    batch: pa.RecordBatch
    rows: np.ndarray
    columns: dict[str, Column] = field(default_factory=dict)
    signatures: dict[str, dict[str, Column]] = field(default_factory=dict)
    fates: dict[int, Fate] = field(default_factory=dict)

    def keep(self, mask: np.ndarray) -> None:
        """Take rows out of everything measured so far."""
        selection = pa.array(mask)
        self.batch = self.batch.filter(selection)
        self.rows = self.rows[mask]
        self.columns = {name: _filtered(c, mask, selection) for name, c in self.columns.items()}
        for label, columns in self.signatures.items():
            self.signatures[label] = {name: _filtered(c, mask, selection) for name, c in columns.items()}


def _filtered(column: Column, mask: np.ndarray, selection: pa.Array) -> Column:
    return column[mask] if isinstance(column, np.ndarray) else column.filter(selection)


def measure(task: MeasureTask, folder: Path, progress: Progress, careful: bool) -> dict[str, Any]:
    """Run a task into its scratch folder; returns counts and parts. careful: document by document."""
    _check_unchanged(task)
    with ExitStack() as stack:
        writers = _writers(task, folder, stack)
        counts = {"records": 0, "documents": 0, "failed": 0, "bytes": 0}
        skipped: dict[str, int] = {}
        seen: set[int] = set()
        for chunk in _limited(task.source.stage.read(task.file, task.span), task.limit):
            for kind, number in chunk.skipped.items():
                skipped[kind] = skipped.get(kind, 0) + number
            _check_positions(chunk, seen, task)
            _write_chunk(task, chunk, writers, counts, careful)
            progress(chunk.read_bytes)
    _check_unchanged(task)
    parts = {writer.path.name: writer.info for writer in writers.values()}
    return {"parts": parts, "counts": counts, "skipped": dict(sorted(skipped.items()))}


def _check_unchanged(task: MeasureTask) -> None:
    """The task's key speaks of the file as it was planned. Raises InputError when it is gone or has another size."""
    if "://" in task.file.uri:
        return
    try:
        size = os.stat(task.file.uri).st_size
    except OSError as error:
        raise InputError(f"{task.file.uri} can't be read any more: {error.strerror}") from error
    if size != task.file.size:
        raise InputError(
            f"{task.file.uri} changed while the run was reading it ({task.file.size:,} bytes before, {size:,} now); "
            "run the same command again when it is complete"
        )


def _writers(task: MeasureTask, folder: Path, stack: ExitStack) -> dict[str, PartWriter]:
    found = {
        "records": PartWriter(folder / "records.arrow", RECORDS, "zstd"),
        "text": PartWriter(folder / "text.arrow", DOCUMENT, "lz4"),
        "signals": PartWriter(folder / "signals.arrow", signals_schema(task.columns), None),
    }
    for step in task.steps:
        if step.kind in ("dedup", "cut"):
            path = folder / f"signatures-{step.label}.arrow"
            found[f"signatures-{step.label}"] = PartWriter(path, step.stage.signature_schema(), None)
    for writer in found.values():
        stack.enter_context(writer)
    return found


def _limited(chunks: Iterable[Chunk], limit: int) -> Iterator[Chunk]:
    """The chunks up to a number of records (0: all)."""
    left = limit or 1 << 62
    for chunk in chunks:
        records, lost = chunk.records.slice(0, left), chunk.lost
        left -= records.num_rows
        lost = lost[:left]
        left -= len(lost)
        yield Chunk(records, lost, chunk.skipped, chunk.read_bytes)
        if left <= 0:
            return


def _check_positions(chunk: Chunk, seen: set[int], task: MeasureTask) -> None:
    """Two records at one position would share an id."""
    for position in [*chunk.records["position"].to_pylist(), *(lost.position for lost in chunk.lost)]:
        if position in seen:
            raise JacorpusError(f"{task.file.name}: two records at position {position} would have the same id")
        seen.add(position)


def _write_chunk(
    task: MeasureTask, chunk: Chunk, writers: dict[str, PartWriter], counts: dict[str, int], careful: bool
) -> None:
    records = chunk.records
    positions = records["position"].to_pylist()
    ids = [document_id(task.source.domain, task.file.name, position) for position in positions]
    pages = pa.RecordBatch.from_arrays(
        [pa.array(ids, ID), pa.array([task.source.domain] * len(ids), pa.string()), *records.columns], schema=PAGE
    )
    fates: dict[int, Fate] = {}
    row_of = np.full(len(ids), -1, np.int64)
    text_bytes = np.zeros(len(ids), np.int64)
    for done in run_steps(task, pages, careful):
        fates.update(done.fates)
        sizes = _utf8_bytes(done.batch["text"])
        row_of[done.rows] = counts["documents"] + np.arange(len(done.rows))
        text_bytes[done.rows] = sizes
        counts["documents"] += len(done.rows)
        counts["bytes"] += int(sizes.sum())
        writers["text"].write(done.batch)
        writers["signals"].write(_signals(task, done, sizes))
        for label, columns in done.signatures.items():
            writer = writers[f"signatures-{label}"]
            writer.write(as_batch(columns, writer.schema, len(done.rows)))
    counts["records"] += len(ids) + len(chunk.lost)
    counts["failed"] += len(fates) + len(chunk.lost)
    writers["records"].write(_records(task, chunk, ids, row_of, text_bytes, fates))


def _utf8_bytes(text: pa.Array) -> np.ndarray:
    import pyarrow.compute as pc

    return pc.binary_length(text).to_numpy(zero_copy_only=False).astype(np.int64)


def _signals(task: MeasureTask, done: Measured, sizes: np.ndarray) -> pa.RecordBatch:
    columns = {"id": done.batch["id"], "bytes": sizes, **done.columns}
    return as_batch(columns, signals_schema(task.columns), len(sizes))


def as_batch(columns: dict[str, Column], schema: pa.Schema, rows: int) -> pa.RecordBatch:
    """A batch of this schema; a column that was not measured is null."""
    arrays = []
    for wanted in schema:
        column = columns.get(wanted.name)
        if column is None:
            array = pa.nulls(rows, wanted.type)
        elif isinstance(column, np.ndarray):
            array = pa.array(column).cast(wanted.type)
        else:
            array = column if column.type == wanted.type else column.cast(wanted.type)
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _records(
    task: MeasureTask,
    chunk: Chunk,
    ids: list[bytes],
    row_of: np.ndarray,
    text_bytes: np.ndarray,
    fates: dict[int, Fate],
) -> pa.RecordBatch:
    """The chunk's rows of records.arrow: its records in order, then what could not be read."""
    lost = chunk.lost
    raw = _raw_bytes(chunk.records)
    sizes = [int(raw[i]) if i in fates else int(text_bytes[i]) for i in range(len(ids))]
    none: Fate = ("", "", "")
    return pa.RecordBatch.from_pydict(
        {
            "id": ids + [document_id(task.source.domain, task.file.name, one.position) for one in lost],
            "position": chunk.records["position"].to_pylist() + [one.position for one in lost],
            "url": chunk.records["url"].to_pylist() + [one.url for one in lost],
            "row": row_of.tolist() + [-1] * len(lost),
            "bytes": sizes + [one.bytes for one in lost],
            "stage": [fates.get(i, none)[0] or None for i in range(len(ids))] + ["read"] * len(lost),
            "reason": [fates.get(i, none)[1] or None for i in range(len(ids))] + [one.reason for one in lost],
            "detail": [fates.get(i, none)[2] or None for i in range(len(ids))] + [one.detail for one in lost],
        },
        schema=RECORDS,
    )


def _raw_bytes(records: pa.RecordBatch) -> np.ndarray:
    import pyarrow.compute as pc

    sizes = [pc.fill_null(pc.binary_length(records[name]), 0) for name in ("text", "body")]
    return (pc.add(*sizes)).to_numpy(zero_copy_only=False)


def compile_step(step: Step) -> None:
    """Use a step once on one short text, so that its kernels are compiled and on disk for every worker."""
    text = "日本語の文章です。ｶﾞﾗｽ、Python 3.11 と電話 03-1234-5678。\n" * 3
    columns = {"id": pa.array([bytes(16)], ID), "text": pa.array([text], pa.large_string()), "domain": pa.array(["d"])}
    batch = as_batch(columns, DOCUMENT, 1)
    use = {"transform": "apply", "write": "apply", "signal": "measure"}.get(step.kind, "sign")
    try:
        getattr(step.stage, use)(batch)
    except Exception as error:
        if machine_fault(error):
            raise
        # A stage that can't stand this text is no reason to stop: real documents will fail one by one, on record.
        return


def run_steps(task: MeasureTask, pages: pa.RecordBatch, careful: bool) -> Iterator[Measured]:
    """All measuring steps over a chunk; document by document where a worker died on this task before."""
    if not careful:
        yield _run_steps(task, pages, np.arange(pages.num_rows))
        return
    for row in range(pages.num_rows):
        inflight.mark(pages["id"][row].as_py())
        yield _run_steps(task, pages.slice(row, 1), np.array([row]))
    inflight.clear()


def _run_steps(task: MeasureTask, pages: pa.RecordBatch, rows: np.ndarray) -> Measured:
    state = Measured(pages, rows)
    if task.excluded:
        _drop(state, {i: task.excluded[k] for i, k in enumerate(pages["id"].to_pylist()) if k in task.excluded})
    for step in task.steps:
        if state.batch.schema == PAGE and not step.use.startswith("extract."):
            _to_documents(state)
        if state.batch.num_rows:
            _run_step(step, task, state)
    if state.batch.schema == PAGE:
        _to_documents(state)
    return state


def _drop(state: Measured, fates: dict[int, Fate]) -> None:
    """Fail rows of the current batch."""
    if fates:
        mask = np.ones(state.batch.num_rows, bool)
        mask[list(fates)] = False
        state.fates.update({int(state.rows[i]): fate for i, fate in fates.items()})
        state.keep(mask)


def _to_documents(state: Measured) -> None:
    """Text as it came; bodies of plain text are UTF-8 where no extract stage decodes them, other bodies fail."""
    batch = state.batch
    texts = batch["text"].to_pylist() if batch["body"].null_count < batch.num_rows else None
    column, fates = batch["text"], {}
    if texts is not None:
        for row, body in enumerate(batch["body"].to_pylist()):
            if body is None:
                continue
            try:
                if (batch["content_type"][row].as_py() or "") != "text/plain":
                    fates[row] = ("extract", "no_extractor", "a page needs an extract stage in the recipe")
                    texts[row] = ""
                else:
                    texts[row] = body.decode("utf-8")
            except UnicodeDecodeError as error:
                fates[row] = (
                    "extract",
                    "charset",
                    f"not UTF-8 ({error.reason} at byte {error.start}); add an extract stage",
                )
                texts[row] = ""
        column = pa.array(texts, pa.large_string())
    nothing = pa.nulls(batch.num_rows, pa.string())
    columns = [batch["id"], column, batch["domain"], batch["url"], nothing, batch["timestamp"], batch["meta"]]
    state.batch = pa.RecordBatch.from_arrays(columns, schema=DOCUMENT)
    _drop(state, fates)


def _run_step(step: Step, task: MeasureTask, state: Measured) -> None:
    try:
        _apply(step, task, state)
    except Exception as error:
        if machine_fault(error):
            raise
        _apply_one_by_one(step, task, state)


def machine_fault(error: Exception) -> bool:
    """The recipe's or the machine's fault (a model that isn't there, a full disk), no document's."""
    return isinstance(error, JacorpusError) or (isinstance(error, OSError) and error.errno is not None)


def _apply_one_by_one(step: Step, task: MeasureTask, state: Measured) -> None:
    """Find the documents a step can't stand; they fail, the others go on."""
    survivors: list[Measured] = []
    for row in range(state.batch.num_rows):
        mask = np.arange(state.batch.num_rows) == row
        one = Measured(state.batch, state.rows, dict(state.columns), dict(state.signatures))
        one.keep(mask)
        try:
            _apply(step, task, one)
        except Exception as error:
            if machine_fault(error):
                raise
            reason = "oom" if isinstance(error, MemoryError) else type(error).__name__
            state.fates[int(state.rows[row])] = (step.label, reason, f"{error}"[:200])
            continue
        state.fates.update(one.fates)
        if one.batch.num_rows:
            survivors.append(one)
    if survivors:
        _join(state, survivors)
    else:
        state.keep(np.zeros(state.batch.num_rows, bool))


def _join(state: Measured, ones: list[Measured]) -> None:
    state.batch = pa.concat_batches([one.batch for one in ones])
    state.rows = np.concatenate([one.rows for one in ones])
    state.columns = {name: _concat([one.columns[name] for one in ones]) for name in ones[0].columns}
    state.signatures = {
        label: {name: _concat([one.signatures[label][name] for one in ones]) for name in columns}
        for label, columns in ones[0].signatures.items()
    }


def _concat(columns: list[Column]) -> Column:
    if isinstance(columns[0], np.ndarray):
        return np.concatenate(columns)
    return pa.concat_arrays(columns)


def _apply(step: Step, task: MeasureTask, state: Measured) -> None:
    if step.kind == "transform":
        applied = step.stage.apply(state.batch)
        state.batch = applied.batch
        state.columns.update({f"{step.label}.{name}": c for name, c in applied.columns.items()})
        _drop(state, {f.row: (step.label, f.reason, f.detail) for f in applied.failures})
    elif step.kind == "signal":
        measured = _measure_guarded(step, task, state) if step.guards else step.stage.measure(state.batch)
        state.columns.update({f"{step.label}.{name}": c for name, c in measured.items()})
    else:
        state.signatures[step.label] = step.stage.sign(state.batch)


def _measure_guarded(step: Step, task: MeasureTask, state: Measured) -> dict[str, Column]:
    """A costly signal on what the rules before it left; null elsewhere."""
    alive = np.ones(state.batch.num_rows, bool)
    for index in step.guards:
        rule = task.rules[index]
        column = state.columns.get(rule.signal)
        if column is not None and rule.tier is None and (rule.domains is None or task.source.domain in rule.domains):
            alive &= ~rule.fails(pa.array(column) if isinstance(column, np.ndarray) else column)
    if not alive.any():
        return {name: pa.nulls(len(alive), kind) for name, kind in step.stage.columns().items()}
    measured = step.stage.measure(state.batch.filter(pa.array(alive)))
    places = pa.array(np.where(alive, np.cumsum(alive) - 1, 0), mask=~alive)
    return {name: (pa.array(c) if isinstance(c, np.ndarray) else c).take(places) for name, c in measured.items()}
