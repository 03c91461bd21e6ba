"""Older crawls in a run: which index a dedup step joins with, what of its clusters concerns this run, and how a
finished run is added to an index.

Rows over both crawls number the R old documents first. What is published stays: the keeper of a cluster that
holds a published document is chosen among the published ones, whatever the rules make of the new ones.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jacorpus.decide import Clusters, Members, Older, id_words, keepers
from jacorpus.dedup.snapshots import INDEXED, Index, add_snapshot, matches, open_index, retractions
from jacorpus.errors import RecipeError
from jacorpus.keys import key_of
from jacorpus.schema import ID
from jacorpus.shards import read_batches, read_table
from jacorpus.stage import SignaturePart
from jacorpus.store import Store

if TYPE_CHECKING:
    from jacorpus.phases import Part
    from jacorpus.plan import Step


def open_older(store: Store, parts: Sequence["Part"], step: "Step") -> Index | None:
    """The index a step names, up to this very run where it was added; None where it names none."""
    folder = getattr(step.stage, "index", "")
    if not folder:
        return None
    keys = [part.task.key for part in parts if step.applies(part.payload.source.domain)]
    return open_index(Path(folder), step.stage, step.use).before(_run_key(store, keys, step.label))


def _run_key(store: Store, keys: Sequence[str], label: str) -> str:
    """What tells a run's signatures from another's: the checksums of their files."""
    results = [store.done(key) or {} for key in keys]
    return key_of([result["parts"][f"signatures-{label}.arrow"]["sha256"] for result in results if _rows(result)])


def _rows(result: dict[str, Any]) -> int:
    rows: int = result["counts"]["documents"] if result else 0
    return rows


def split_older(joint: Clusters, table: pa.Table, index: Index) -> tuple[Clusters, pa.Table]:
    """The clusters of this run's documents with what older crawls keep of them, and what is superseded (RETRACT).

    joint: clusters over joint rows; table: the same as ``cluster_rows`` gave them.
    """
    documents = index.documents()
    old = joint.rows < index.rows
    rows, roots = joint.rows[old], joint.roots[old]
    words = id_words(documents["id"].combine_chunks())
    published = documents["published"].to_numpy()
    sizes, priority = documents["bytes"].to_numpy()[rows], documents["priority"].to_numpy()[rows]
    among = Clusters(joint.label, rows, roots, joint.sizes[old], joint.similarity[old])
    kept = keepers(among, Members(words[rows, 0], words[rows, 1], sizes, priority), published)
    gone = retractions(table.filter(pa.array(old)), kept, documents, index)
    keeper_of = np.full(index.rows, -1, np.int64)  # by root: the smallest row, an old one where there is any
    keeper_of[roots] = kept
    rows, roots = joint.rows[~old] - index.rows, joint.roots[~old]
    keeper = np.full(len(rows), -1, np.int64)
    keeper[roots < index.rows] = keeper_of[roots[roots < index.rows]]
    there = keeper >= 0
    names = np.full(len(rows), None, object)
    names[there] = index.names(keeper[there])
    high, low = np.zeros(len(rows), np.uint64), np.zeros(len(rows), np.uint64)
    high[there], low[there] = words[keeper[there], 0], words[keeper[there], 1]
    older = Older(high, low, pa.array(names, pa.string()))
    _, first, inverse = np.unique(roots, return_index=True, return_inverse=True)
    found = Clusters(joint.label, rows, rows[first][inverse], joint.sizes[~old], joint.similarity[~old], older)
    return found, gone


MATCHED = pa.schema(
    [
        pa.field("label", pa.string(), nullable=False),
        pa.field("row", pa.uint64(), nullable=False),  # over all rows of signals/, in manifest order
        pa.field("matched_id", ID, nullable=False),
        pa.field("snapshot", pa.string(), nullable=False),
        pa.field("similarity", pa.float32()),  # null: joined through other new documents only
    ]
)
"""Rows of matched.arrow: the older document that each new one matched."""


def matched_older(label: str, edge_files: Sequence[Path], table: pa.Table, index: Index) -> pa.Table:
    """Schema MATCHED. table: clusters over joint rows as ``cluster_rows`` gave them."""
    edges = (pa.Table.from_batches([batch]) for path in edge_files for batch in read_batches(path))
    found = matches(edges, table, index.rows)
    old = found["matched"].to_numpy().astype(np.int64)
    ids = index.documents()["id"].combine_chunks().take(pa.array(old))
    labels = pa.array([label] * len(old), pa.string())
    columns = [labels, found["row"], ids, pa.array(index.names(old), pa.string()), found["similarity"]]
    return pa.table(columns, schema=MATCHED)


def _refuse_known_ids(folder: Path, step: "Step", documents: pa.Table, name: str) -> None:
    """Two crawls whose files have the same paths would share ids; nobody could tell their documents apart."""
    if not (folder / "index.json").exists():
        return
    known = open_index(folder, step.stage, step.use).documents()["id"].combine_chunks()
    twice = pc.sum(pc.is_in(documents["id"], known)).as_py() or 0
    if twice:
        raise RecipeError(
            f"{twice:,} documents of {name!r} have ids that {folder} already holds: the files of both crawls have the "
            "same paths below their glob; put the month into the path or the domain"
        )


def index_run(out: Path, folder: Path, name: str) -> int:
    """Add a finished run's signatures to the index in ``folder``, made where missing; returns its documents.

    Raises RecipeError where the name is taken, the settings differ, or the run has not one ``dedup.minhash``.
    """
    from jacorpus.output.finished import finished
    from jacorpus.output.validate import load_resolved
    from jacorpus.plan import pipeline_of

    run = finished(out)
    if not name or name.startswith(".") or "/" in name or name == "index.json":
        raise RecipeError(f"{name!r} is no name for a snapshot: it becomes a folder's name")
    steps = [step for step in pipeline_of(load_resolved(run)).dedups() if step.use == "dedup.minhash"]
    if len(steps) != 1:
        raise RecipeError(f"{out} has {len(steps)} stages dedup.minhash; an index takes a run with one")
    step, store = steps[0], Store(out / "work")
    kept = [batch.filter(pc.equal(batch["state"], "kept"))["id"] for batch in run.audit()]
    kept_ids = pa.chunked_array(kept, INDEXED.field("id").type).combine_chunks()
    parts, tables, first = [], [], 0
    entries = [e for e in run.manifest["signals"] if step.applies(e["domain"]) and e["documents"]]
    for entry in entries:
        path = store.part(entry["key"], f"signatures-{step.label}.arrow")
        parts.append(SignaturePart(path, first, entry["documents"]))
        first += entry["documents"]
        signals = read_table(out / entry["path"], ["id", "bytes"])
        published = pc.is_in(signals["id"], kept_ids)
        priority = pa.array(np.full(entry["documents"], entry["priority"], np.int64))
        sizes = signals["bytes"].cast(pa.int64())
        tables.append(pa.table([signals["id"], published, sizes, priority], schema=INDEXED))
    documents = pa.concat_tables([INDEXED.empty_table(), *tables])
    retract = read_table(out / "retract.arrow") if "retract" in run.manifest else None
    taken = (folder / "index.json").exists() and name in {
        one.name for one in open_index(folder, step.stage, step.use).snapshots
    }
    if not taken:  # a name that is taken is the plainer mistake: add_snapshot names it
        _refuse_known_ids(folder, step, documents, name)
    key = _run_key(store, [entry["key"] for entry in entries], step.label)
    add_snapshot(folder, step.stage, step.use, name, parts, documents, retract, key)
    return first
