"""The heap of pairs beside Python's."""

import heapq

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer_lab.kernels.pair_heap import pop, push


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.none(), st.tuples(st.integers(1, 4), st.integers(0, 5))), max_size=60))
def test_highest_count_then_smallest_key(steps) -> None:
    heap, size, expected = np.zeros((61, 2), np.int64), 0, []
    for step in steps:
        if step:
            push(heap, size, *step)
            heapq.heappush(expected, (-step[0], step[1]))
            size += 1
        elif size:
            count, key = heapq.heappop(expected)
            assert heap[0].tolist() == [-count, key]
            pop(heap, size)
            size -= 1
    while size:
        count, key = heapq.heappop(expected)
        assert heap[0].tolist() == [-count, key]
        pop(heap, size)
        size -= 1
