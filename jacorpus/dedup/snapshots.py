"""Signatures of older crawls, kept so that a new crawl is compared with them without reading their text again.

An index is a folder with one subfolder a snapshot (a finished run) and ``index.json``, which names what decides
the values of signatures: the stage, its scheme, k, seed, n and normalization. A stage that would sign otherwise
is refused. Old documents are numbered before new ones, so the join, and with it every cluster, is that of one
run over all snapshots together. What was published stays: a new document never takes the place of an old one;
where a new document shows two published ones to be duplicates, one of them is superseded and listed in
``retract.arrow``.

    index = open_index(folder, stage, "dedup.minhash")
    parts = index.joint(new_parts)                      # then join and cluster_rows as ever
    matched = matches(edges, clusters, index.rows)      # which old document each new one matched
    gone = retractions(clusters, kept, documents, index)
    add_snapshot(folder, stage, "dedup.minhash", "2024-33", new_parts, new_documents, gone)

Legend: R documents of the index, N new ones; row: number over both, old ones first.
"""

import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jacorpus.errors import InputError, RecipeError
from jacorpus.schema import ID
from jacorpus.stage import SignaturePart

FORMAT = 1
UNSIGNED = ("threshold", "verify", "partition_bytes", "bands", "rows", "index")
"""Options that change what is joined but no stored value (bands and rows enter through the schema)."""

INDEXED = pa.schema(
    [
        pa.field("id", ID, nullable=False),
        pa.field("published", pa.bool_(), nullable=False),  # kept by its run and not retracted since
        pa.field("bytes", pa.int64(), nullable=False),  # length of the text, for choosing among published ones
        pa.field("priority", pa.int64(), nullable=False),
    ]
)
"""One row a document of a snapshot, in the order of its signatures."""

MATCHES = pa.schema(
    [
        pa.field("row", pa.uint64(), nullable=False),  # of the new document among the new ones
        pa.field("matched", pa.uint64(), nullable=False),  # row of the old document
        pa.field("similarity", pa.float32()),  # null: joined through other new documents only
    ]
)
"""One row for each new document whose cluster holds an old one."""

RETRACT = pa.schema(
    [
        pa.field("id", ID, nullable=False),
        pa.field("snapshot", pa.string(), nullable=False),
        pa.field("kept_id", ID, nullable=False),  # published document that stands for it from now on
        pa.field("similarity", pa.float32()),
    ]
)
"""Rows of retract.arrow: published documents that a later snapshot superseded."""


@dataclass(frozen=True)
class Snapshot:
    """One finished run in the index. signatures: (file, rows) in order. retract: file, where it superseded any.
    run: key of its signatures."""

    name: str
    signatures: tuple[tuple[str, int], ...]
    retract: bool
    run: str = ""

    @property
    def rows(self) -> int:
        """Documents of the snapshot."""
        return sum(rows for _, rows in self.signatures)


@dataclass(frozen=True)
class Index:
    """An opened index. Rows number its documents: snapshots in the order they were added."""

    folder: Path
    snapshots: tuple[Snapshot, ...]

    @property
    def rows(self) -> int:
        """R."""
        return sum(snapshot.rows for snapshot in self.snapshots)

    def parts(self) -> list[SignaturePart]:
        """Signature files of all snapshots."""
        files = [
            (self.folder / snapshot.name / name, rows)
            for snapshot in self.snapshots
            for name, rows in snapshot.signatures
        ]
        firsts = accumulate((rows for _, rows in files), initial=0)
        return [SignaturePart(path, first, rows) for (path, rows), first in zip(files, firsts, strict=False)]

    def before(self, run: str) -> "Index":
        """Without the run with these signatures and all later ones: a run made again is not older than itself."""
        runs = [snapshot.run for snapshot in self.snapshots]
        return Index(self.folder, self.snapshots[: runs.index(run)]) if run in runs else self

    def joint(self, parts: Sequence[SignaturePart]) -> list[SignaturePart]:
        """Old parts and then the new ones, shifted by R."""
        return self.parts() + [SignaturePart(part.path, part.first_row + self.rows, part.rows) for part in parts]

    def documents(self) -> pa.Table:
        """Schema INDEXED over all R rows; a retracted document counts as not published."""
        import pyarrow.compute as pc

        tables = [_read(self.folder / snapshot.name / "documents.arrow", INDEXED) for snapshot in self.snapshots]
        table = pa.concat_tables([INDEXED.empty_table(), *tables]).combine_chunks()
        gone = [self.folder / snapshot.name / "retract.arrow" for snapshot in self.snapshots if snapshot.retract]
        if gone:
            ids = pa.concat_tables([_read(path, RETRACT) for path in gone]).column("id").combine_chunks()
            still = pc.and_(table.column("published"), pc.invert(pc.is_in(table.column("id"), ids)))
            table = table.set_column(1, INDEXED.field("published"), still)
        return table

    def names(self, rows: np.ndarray) -> list[str]:
        """Snapshot of each row."""
        ends = np.cumsum([snapshot.rows for snapshot in self.snapshots])
        return [self.snapshots[place].name for place in np.searchsorted(ends, rows, side="right")]


def settings_of(stage: Any, use: str) -> dict[str, Any]:
    """What decides the signatures of a stage: its name, options and columns."""
    options = {field.name: getattr(stage, field.name) for field in fields(stage) if field.name not in UNSIGNED}
    columns = {field.name: str(field.type) for field in stage.signature_schema()}
    if hasattr(stage, "shape"):
        options["bands x rows"] = " x ".join(map(str, stage.shape()))
    return {"use": use, **options, "columns": columns}


def open_index(folder: Path, stage: Any, use: str) -> Index:
    """The index in a folder, for a stage that signs as it was signed.

    Raises InputError where there is none or a file is short, RecipeError where the settings differ.
    """
    path = folder / "index.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no signature index ({error}); name a folder that add_snapshot wrote") from error
    if content.get("format") != FORMAT:
        raise RecipeError(
            f"{path} has format {content.get('format')}, this version reads {FORMAT}; sign the old crawls again"
        )
    ours, theirs = settings_of(stage, use), content["settings"]
    differing = [
        f"{name} is {theirs.get(name)!r} there and {ours.get(name)!r} here"
        for name in sorted({*ours, *theirs})
        if ours.get(name) != theirs.get(name) and name != "columns"
    ]
    if differing or ours["columns"] != theirs["columns"]:
        what = "; ".join(differing) or "their columns differ"
        raise RecipeError(
            f"the signatures in {folder} were made otherwise: {what}; use the same options or sign them again"
        )
    snapshots = tuple(
        Snapshot(
            entry["name"], tuple((name, rows) for name, rows in entry["signatures"]), entry["retract"], entry["run"]
        )
        for entry in content["snapshots"]
    )
    index = Index(folder, snapshots)
    for part in index.parts():
        _read(part.path, stage.signature_schema(), part.rows)
    return index


def add_snapshot(
    folder: Path,
    stage: Any,
    use: str,
    name: str,
    parts: Sequence[SignaturePart],
    documents: pa.Table,
    retract: pa.Table | None = None,
    run: str = "",
) -> None:
    """Add a finished run to the index in a folder, which is made where it is missing.

    parts: its signatures, as they were joined. documents: schema INDEXED, one row for each row of the parts in
    their order. retract: schema RETRACT, what it superseded. ``index.json`` is replaced last, so a killed run
    leaves the index as it was. Raises RecipeError where the name is taken or the settings differ.
    """
    rows = sum(part.rows for part in parts)
    if documents.num_rows != rows:
        raise ValueError(f"{documents.num_rows} documents for {rows} signatures")
    exists = (folder / "index.json").exists()
    old = open_index(folder, stage, use).snapshots if exists else ()
    if name in {snapshot.name for snapshot in old}:
        raise RecipeError(f"{folder} already has a snapshot {name!r}; give this one another name")
    target = folder / name
    temporary = folder / f".{name}.part"
    for left_over in (temporary, target):
        shutil.rmtree(left_over, ignore_errors=True)
    temporary.mkdir(parents=True)
    signatures = []
    for number, part in enumerate(sorted(parts, key=lambda part: part.first_row)):
        file = f"signatures-{number:05d}.arrow"
        shutil.copyfile(part.path, temporary / file)
        signatures.append((file, part.rows))
    _write(temporary / "documents.arrow", documents.cast(INDEXED))
    if retract is not None and len(retract):
        _write(temporary / "retract.arrow", retract.cast(RETRACT))
    os.replace(temporary, target)
    added = Snapshot(name, tuple(signatures), retract is not None and len(retract) > 0, run)
    content = {
        "format": FORMAT,
        "settings": settings_of(stage, use),
        "snapshots": [
            {
                "name": entry.name,
                "rows": entry.rows,
                "signatures": entry.signatures,
                "retract": entry.retract,
                "run": entry.run,
            }
            for entry in (*old, added)
        ],
    }
    waiting = folder / ".index.json.part"
    waiting.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    os.replace(waiting, folder / "index.json")


def matches(edges: Iterable[pa.Table], clusters: pa.Table, old_rows: int) -> pa.Table:
    """Schema MATCHES: the old document each new one matched: the most similar one it has an edge to (smallest row
    where equal), else the first of its cluster.

    edges: schema EDGES over joint rows, streamed; clusters: cluster_rows' table; old_rows: R.
    """
    border = np.uint64(old_rows)
    found = [(np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.float32))]
    for table in edges:
        a, b, similarity = (table.column(name).to_numpy() for name in ("a", "b", "similarity"))
        crossing = (a < border) & (b >= border)
        found.append((b[crossing], a[crossing], similarity[crossing]))
    new, old, similarity = (np.concatenate(side) for side in zip(*found, strict=True))
    order = np.lexsort((old, -similarity, new))
    new, old, similarity = new[order], old[order], similarity[order]
    best = np.flatnonzero(np.r_[True, new[1:] != new[:-1]]) if len(new) else np.zeros(0, np.int64)
    row, root = clusters.column("row").to_numpy(), clusters.column("root").to_numpy()
    wanted = (row >= border) & (root < border)
    row, matched = row[wanted], root[wanted].copy()
    direct = np.searchsorted(row, new[best])
    matched[direct] = old[best]
    value, absent = np.zeros(len(row), np.float32), np.ones(len(row), np.bool_)
    value[direct], absent[direct] = similarity[best], False
    return pa.table([row - border, matched, pa.array(value, mask=absent)], schema=MATCHES)


def preferred(priority: np.ndarray, published: np.ndarray) -> np.ndarray:
    """int64: priorities with every published document above every other one, for ``decide.keepers``."""
    priority = priority.astype(np.int64)
    span = int(priority.max() - priority.min()) + 1 if len(priority) else 1
    return priority + np.where(published, span, 0)


def retractions(clusters: pa.Table, kept: np.ndarray, documents: pa.Table, index: Index) -> pa.Table:
    """Schema RETRACT: published old documents whose cluster now keeps another one.

    clusters: cluster_rows' table over joint rows. kept: int64, the joint row kept for each of its rows (-1: none),
    chosen with ``preferred``. documents: schema INDEXED over the old rows, then the new ones.
    """
    row = clusters.column("row").to_numpy().astype(np.int64)
    published = documents.column("published").to_numpy()[row]
    gone = (row < index.rows) & published & (kept >= 0) & (kept != row)
    ids = documents.column("id").combine_chunks()
    similarity = clusters.column("similarity").filter(pa.array(gone))
    columns = [ids.take(pa.array(row[gone])), index.names(row[gone]), ids.take(pa.array(kept[gone])), similarity]
    return pa.table(columns, schema=RETRACT)


def _write(path: Path, table: pa.Table) -> None:
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table.combine_chunks())


def _read(path: Path, schema: pa.Schema, rows: int | None = None) -> pa.Table:
    """A file of the index, memory-mapped. Raises InputError where it is missing, damaged or short."""
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path} is missing or damaged ({error}); restore the index from a copy") from error
    if not table.schema.equals(schema) or rows not in (None, table.num_rows):
        raise InputError(f"{path} does not hold what index.json says; restore the index from a copy")
    return table
