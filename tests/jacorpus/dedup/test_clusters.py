"""Clusters out of edges, and the keeper of each."""

import random

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.dedup import clusters
from jacorpus.dedup.clusters import cluster_rows, cluster_table, keepers, rehydration_weight
from jacorpus.kernels.unionfind import components_naive
from jacorpus.schema import CLUSTERS, EDGES

edge_lists = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.sampled_from([0.7, 0.8, 1.0])), max_size=40)


def _tables(edges: list[tuple[int, int, float]], size: int) -> list[pa.Table]:
    rows = [{"a": min(a, b), "b": max(a, b), "similarity": s} for a, b, s in edges if a != b]
    return [pa.Table.from_pylist(rows[i : i + size], schema=EDGES) for i in range(0, len(rows), size)]


@settings(max_examples=100, deadline=None)
@given(edge_lists, st.sampled_from([1, 3, 100]), st.randoms())
def test_clusters_equal_the_naive_ones(edges, size: int, draw) -> None:
    expected = components_naive(31, [a for a, _, _ in edges], [b for _, b, _ in edges])
    touched = sorted({row for a, b, _ in edges if a != b for row in (a, b)})
    draw.shuffle(edges)
    old, clusters.EDGES_AT_ONCE = clusters.EDGES_AT_ONCE, 2
    try:
        table = cluster_rows(_tables(edges, size))
    finally:
        clusters.EDGES_AT_ONCE = old
    assert table.column("row").to_pylist() == touched
    assert table.column("root").to_pylist() == [expected[row] for row in touched]
    assert table.column("size").to_pylist() == [expected.count(expected[row]) for row in touched]
    best = [max(s for a, b, s in edges if a != b and row in (a, b)) for row in touched]
    assert np.allclose(table.column("similarity").to_numpy(), best)


def test_keeper_is_the_best_that_is_alive() -> None:
    rows = np.array([2, 3, 5, 8, 9, 11], np.uint64)
    roots = np.array([2, 2, 2, 8, 8, 8], np.uint64)
    ids = pa.array([bytes([99 - row]) * 16 for row in rows.tolist()], pa.binary(16))
    length = np.array([10, 30, 30, 5, 5, 5])
    none = np.zeros(6, np.int64)
    alive = np.ones(6, np.bool_)
    assert keepers(rows, roots, alive, none, length, ids).tolist() == [5, 5, 5, 11, 11, 11]  # length, then id
    priority = np.array([1, 0, 0, -1, -1, 0])
    assert keepers(rows, roots, alive, priority, length, ids).tolist() == [2, 2, 2, 11, 11, 11]
    alive = np.array([False, True, False, False, False, False])
    assert keepers(rows, roots, alive, priority, length, ids).tolist() == [3, 3, 3, -1, -1, -1]
    order = random.Random(1).sample(range(6), 6)
    shuffled = keepers(
        rows[order], roots[order], alive[order], priority[order], length[order], ids.take(pa.array(order))
    )
    assert shuffled.tolist() == [[3, 3, 3, -1, -1, -1][i] for i in order]


def test_cluster_table_names_the_smallest_id_and_the_keeper() -> None:
    roots = cluster_rows([pa.table([[4, 6], [5, 9], [0.8, 0.9]], schema=EDGES)])
    ids = pa.chunked_array([[b"d" * 16, b"a" * 16], [b"b" * 16, b"c" * 16]], pa.binary(16))
    table = cluster_table(roots, ids, np.array([4, 4, -1, -1]))
    assert table.schema == CLUSTERS
    assert table.column("cluster_id").to_pylist() == [b"a" * 16] * 2 + [b"b" * 16] * 2
    assert table.column("kept_id").to_pylist() == [b"d" * 16] * 2 + [None] * 2
    assert table.column("cluster_size").to_pylist() == [2, 2, 2, 2]


def test_nothing_to_cluster() -> None:
    empty = cluster_rows([])
    none = np.zeros(0, np.int64)
    ids = pa.array([], pa.binary(16))
    kept = keepers(none.astype(np.uint64), none.astype(np.uint64), none.astype(np.bool_), none, none, ids)
    assert len(cluster_table(empty, ids, kept)) == 0


def test_weights_are_those_of_fineweb2() -> None:
    sizes = [1, 2, 3, 4, 5, 99, 100, 999, 1000, 10**6]
    assert rehydration_weight(np.array(sizes)).tolist() == [1, 2, 3, 3, 5, 5, 8, 8, 1, 1]
