"""Clusters: sizes, the largest, and what their members change."""

import pyarrow as pa

from jacorpus.report import duplicates
from jacorpus.schema import CLUSTERS


def write(path, clusters):
    """clusters: lists of (id byte, kept)."""
    rows = []
    for members in clusters:
        kept = next((bytes([i]) * 16 for i, is_kept in members if is_kept), None)
        for i, _ in members:
            row = {
                "row": i,
                "id": bytes([i]) * 16,
                "cluster_id": bytes([members[0][0]]) * 16,
                "kept_id": kept,
                "snapshot": None,
            }
            rows.append({**row, "cluster_size": len(members), "similarity": 0.8})
    with pa.ipc.new_file(path, CLUSTERS) as writer:
        writer.write_table(pa.Table.from_pylist(rows, CLUSTERS), max_chunksize=2)
    return path


def test_sizes_count_clusters_not_rows(tmp_path):
    path = write(
        tmp_path / "c.arrow", [[(1, True), (2, False)], [(3, True), (4, False)], [(5, True), (6, False), (7, False)]]
    )
    bars = duplicates.sizes(path, "minhash").bars
    assert [bar.values[0] for bar in bars] == [2, 1, 0, 0, 0, 0]


def test_largest_come_first_with_their_keeper_and_differences(tmp_path):
    path = write(tmp_path / "c.arrow", [[(1, True), (2, False)], [(5, False), (6, True), (7, False)]])
    texts = {bytes([i]) * 16: f"本文です{i}号。" for i in range(9)}
    first, second = duplicates.largest(path, "minhash", lambda ids: {i: texts[i] for i in ids}, 5, 2)
    assert (first.title, second.title) == ("minhash · 3 documents", "minhash · 2 documents")
    assert [e.title for e in first.excerpts] == ["kept", "duplicate", "duplicate"]
    assert [p.text for p in first.excerpts[1].pieces if p.mark] == ["5", "6"]


def test_only_the_largest_are_kept_across_batches(tmp_path):
    clusters = [[(10 * size + i, i == 0) for i in range(size)] for size in (2, 5, 3, 4)]
    path = write(tmp_path / "c.arrow", clusters)
    assert [e.title for e in duplicates.largest(path, "m", None, 2, 1)] == ["m · 5 documents", "m · 4 documents"]


def test_a_cluster_without_a_keeper_says_so(tmp_path):
    path = write(tmp_path / "c.arrow", [[(1, False), (2, False)]])
    (cluster,) = duplicates.largest(path, "exact", lambda ids: dict.fromkeys(ids, "同じ"), 3, 3)
    assert "none is kept" in cluster.note
    assert [e.title for e in cluster.excerpts] == ["the first", "duplicate, the same text"]


def test_the_curve_is_the_stage_s_own():
    stages = [{"label": "near", "use": "dedup.minhash", "options": {"threshold": 0.7, "bands": 14, "rows": 8}}]
    (curve,) = duplicates.curves([{"label": "near"}, {"label": "exact"}], stages)
    points = dict(curve.lines[0].points)
    assert abs(points[0.8] - 0.924) < 5e-4  # FineWeb-2's 14 x 8 at .8
    assert curve.marks[0][0] == 0.7
