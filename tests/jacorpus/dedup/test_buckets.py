"""Ranges cover the line of keys once; buckets hold what shares a key."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.dedup.buckets import KEYS, SORT_BYTES, distinct_pairs, edge_table, partitions_for, ranges


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 40), st.integers(1, 100))
def test_ranges_cover_each_key_once(bands: int, partitions: int) -> None:
    pieces = [piece for partition in range(partitions) for piece in ranges(partition, partitions, bands)]
    end = (0, -1)
    for band, first, last in pieces:
        assert (band, first) == ((end[0], end[1] + 1) if end[1] + 1 < KEYS else (end[0] + 1, 0))
        assert first <= last < KEYS
        end = (band, last)
    assert end == (bands - 1, KEYS - 1)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=60), st.sampled_from([0, 1 << 40]))
def test_distinct_pairs(pairs: list[tuple[int, int]], offset: int) -> None:
    a, b = (np.array([pair[side] for pair in pairs], np.uint64) + np.uint64(offset) for side in (0, 1))
    index, number = distinct_pairs(a, b)
    distinct = [pairs[i] for i in index]
    assert sorted(distinct) == sorted(set(pairs))
    assert [distinct[i] for i in number] == pairs


def test_edges_are_sorted_and_named_once() -> None:
    table = edge_table(
        np.array([3, 1, 3], np.uint64), np.array([4, 9, 4], np.uint64), np.ones(3, np.float32), unresolved=2
    )
    assert table.column("a").to_pylist() == [1, 3]
    assert table.schema.metadata == {b"unresolved": b"2"}


def test_partitions() -> None:
    assert partitions_for(0, 14, 1 << 30) == 1
    assert partitions_for(1 << 30, 14, 1 << 30) == 14 * SORT_BYTES
