"""Clusters out of edges, and the keeper of each."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.dedup import clusters
from jacorpus.dedup.clusters import cluster_rows, rehydration_weight
from jacorpus.kernels.unionfind import components_naive
from jacorpus.schema import EDGES

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


def test_nothing_to_cluster() -> None:
    assert len(cluster_rows([])) == 0
    assert cluster_rows([EDGES.empty_table()]).schema == clusters.ROOTS


def test_weights_are_those_of_fineweb2() -> None:
    sizes = [1, 2, 3, 4, 5, 99, 100, 999, 1000, 10**6]
    assert rehydration_weight(np.array(sizes)).tolist() == [1, 2, 3, 3, 5, 5, 8, 8, 1, 1]
