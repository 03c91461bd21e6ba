"""Duplicate clusters: how many of which size, and the largest with what their members change."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jacorpus.report.excerpts import Texts
from jacorpus.report.ledger import id_halves
from jacorpus.report.passages import differing, excerpt
from jacorpus.report.report import Bar, Bars, Column, Curve, Excerpt, Excerpts, Line, Piece, Series, Table

SIZES = ((2, 2), (3, 4), (5, 9), (10, 99), (100, 999), (1000, None))


def summary(dedup: Sequence[dict[str, Any]]) -> Table:
    """One row a dedup stage of the manifest."""
    columns = (
        Column("stage"),
        Column("clusters", "count"),
        Column("documents in them", "count"),
        Column("largest", "count"),
        Column("pairs", "count"),
    )
    rows = tuple((d["label"], d["clusters"], d["documents"], d["largest"], d["pairs"]) for d in dedup)
    return Table(
        "Clusters found",
        columns,
        rows,
        "A cluster keeps one of its documents at most: the best among those the rules keep. "
        "Below, what only the duplicate holds is struck out, what only the kept one holds is green.",
    )


def curves(dedup: Sequence[dict[str, Any]], stages: Sequence[dict[str, Any]]) -> list[Curve]:
    """The chance that a pair of a given similarity is found, for stages that look for near duplicates."""
    minhash = {stage["label"]: stage["options"] for stage in stages if stage["use"] == "dedup.minhash"}
    return [_curve(one, minhash[one["label"]]) for one in dedup if one["label"] in minhash]


def _curve(one: dict[str, Any], options: dict[str, Any]) -> Curve:
    from jacorpus.dedup.bands import detection
    from jacorpus.dedup.minhash import Minhash

    stage = Minhash(**{**options, "index": ""})  # the manifest names it by content
    bands, rows = stage.shape()
    grid = [i / 50 for i in range(51)]
    line = Line(f"{bands} bands of {rows} rows", tuple((s, float(detection(s, bands, rows))) for s in grid))
    return Curve(
        f"{one['label']}: chance that a pair is looked at",
        "Jaccard similarity of the pair",
        "probability",
        (line,),
        ((stage.threshold, f"kept apart below {stage.threshold:g}"),),
        one.get("estimate", ""),
    )


def sizes(path: Path, label: str) -> Bars:
    """How many clusters of which size."""
    totals = _clusters_by_size(path)
    bars = tuple(
        Bar(_range(low, high), (float(sum(n for size, n in totals.items() if low <= size <= (high or size))),))
        for low, high in SIZES
    )
    return Bars(f"{label}: clusters by number of documents", "count", (Series("clusters"),), bars)


def largest(path: Path, label: str, texts: Texts | None, clusters: int, members: int) -> list[Excerpts]:
    """The ``clusters`` largest, each with its keeper and up to ``members`` duplicates compared with it."""
    chosen = _largest_clusters(path, clusters)
    rows = _members(path, [cluster for _, cluster in chosen], members)
    ids = {row[name] for own in rows.values() for row in own for name in ("id", "kept_id") if row[name]}
    known = texts(sorted(ids)) if texts else {}
    return [_cluster(label, size, rows[cluster], known) for size, cluster in chosen]


def _range(low: int, high: int | None) -> str:
    return f"{low:,} or more" if high is None else str(low) if low == high else f"{low} to {high}"


def _batches(path: Path, columns: list[str]) -> list[pa.RecordBatch]:
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    return table.select(columns).to_batches(max_chunksize=1 << 17)


def _clusters_by_size(path: Path) -> dict[int, int]:
    """Size -> clusters. A cluster of n documents has n rows."""
    rows: dict[int, int] = {}
    for batch in _batches(path, ["cluster_size"]):
        for size, count in zip(*np.unique(batch["cluster_size"].to_numpy(), return_counts=True), strict=True):
            rows[int(size)] = rows.get(int(size), 0) + int(count)
    return {size: count // size for size, count in sorted(rows.items())}


def _largest_clusters(path: Path, clusters: int) -> list[tuple[int, bytes]]:
    """(size, cluster id), largest first, then by id."""
    best: set[tuple[int, bytes]] = set()
    for batch in _batches(path, ["cluster_id", "cluster_size"]):
        floor = sorted((size for size, _ in best), reverse=True)[clusters - 1] if len(best) >= clusters else 0
        large = batch.filter(pc.greater_equal(batch["cluster_size"], floor))
        pairs = pa.table(large).group_by(["cluster_id", "cluster_size"]).aggregate([])
        best |= {(row["cluster_size"], row["cluster_id"]) for row in pairs.to_pylist()}
        best = set(sorted(best, key=lambda pair: (-pair[0], pair[1]))[:clusters])
    return sorted(best, key=lambda pair: (-pair[0], pair[1]))


def _members(path: Path, clusters: list[bytes], members: int) -> dict[bytes, list[dict[str, Any]]]:
    """Of each cluster the members of smallest draw, its keeper aside."""
    found: dict[bytes, list[dict[str, Any]]] = {cluster: [] for cluster in clusters}
    wanted = pa.array(clusters, pa.binary(16))
    for batch in _batches(path, ["id", "cluster_id", "kept_id", "similarity"]):
        own = batch.filter(pc.is_in(batch["cluster_id"], wanted))
        draws = id_halves(own["id"])[:, 1].tolist() if len(own) else []
        for row, draw in zip(own.to_pylist(), draws, strict=True):
            if row["id"] != row["kept_id"]:
                found[row["cluster_id"]].append({**row, "draw": draw})
        for cluster in clusters:
            found[cluster] = sorted(found[cluster], key=lambda row: (row["draw"], row["id"]))[:members]
    return found


def _cluster(label: str, size: int, rows: list[dict[str, Any]], texts: dict[bytes, str]) -> Excerpts:
    keeper = rows[0]["kept_id"] if rows else None
    against = keeper or (rows[0]["id"] if rows else None)
    shown = []
    if keeper:
        shown.append(
            Excerpt("kept", (("id", keeper.hex()),), excerpt(texts[keeper], []) if keeper in texts else (), "kept")
        )
    for row in rows:
        facts = [("id", row["id"].hex())]
        if row["similarity"] is not None:
            facts.append(("estimated similarity", f"{row['similarity']:.3f}"))
        title, pieces = "duplicate", _compared(texts.get(row["id"]), texts.get(against or b""))
        if row["id"] == against:
            title, pieces = "the first", excerpt(texts[against], []) if against in texts else ()
        elif row["id"] in texts and not pieces:
            title = "duplicate, the same text"
        shown.append(Excerpt(title, tuple(facts), pieces, "dropped"))
    note = "" if keeper else "No member survived the rules, so none is kept; the others are compared with the first."
    return Excerpts(f"{label} · {size:,} documents", tuple(shown), None, "plain", note)


def _compared(text: str | None, other: str | None) -> tuple[Piece, ...]:
    """Nothing where the texts are the same or one is unknown."""
    return differing(text, other) if text is not None and other is not None and text != other else ()
