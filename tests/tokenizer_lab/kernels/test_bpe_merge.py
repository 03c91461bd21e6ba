"""Merging by rank: both fast ways equal the definition."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer_lab.kernels.bpe_merge import merge_long, merge_naive, merge_short, pair_table


@st.composite
def merges(draw) -> list[tuple[int, int, int]]:
    """(left, right, result) in order of rank over the bytes a-d; results may be shared and parts come later."""
    count = draw(st.integers(0, 12))
    symbols = st.one_of(st.integers(97, 100), st.integers(256, 256 + max(0, count - 1)))
    made: dict[tuple[int, int], int] = {}
    for i in range(count):
        made[draw(symbols), draw(symbols)] = 256 + draw(st.integers(0, i))
    return [(left, right, result) for (left, right), result in made.items()]


@settings(max_examples=200, deadline=None)
@given(merges=merges(), text=st.lists(st.integers(97, 100), min_size=1, max_size=40))
def test_equals_definition(merges, text):
    expected = merge_naive(text, {(a, b): m for m, (a, b, _) in enumerate(merges)}, [r for _, _, r in merges])
    columns = np.array(merges, np.int64).reshape(-1, 3)
    table = pair_table(columns[:, 0].copy(), columns[:, 1].copy(), np.arange(len(merges)), 64)
    results = columns[:, 2].copy()
    symbols = np.array(text, np.int64)
    left = merge_short(symbols, np.zeros(len(text), np.int64), len(text), table, np.uint64(63), results, 1)
    assert symbols[:left].tolist() == expected
    symbols = np.array(text, np.int64)
    left = merge_long(symbols, len(text), table, np.uint64(63), results)
    assert symbols[:left].tolist() == expected
