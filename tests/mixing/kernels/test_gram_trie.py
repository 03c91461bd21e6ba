"""Counts of grams against dictionaries of tuples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixing.kernels.gram_trie import GramTrie, counts_naive, events_naive

EOS = 4
rows = st.lists(st.lists(st.integers(0, 4), max_size=9), max_size=5)


def flat(documents: list[list[int]], gap: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ids, starts, ends; ``gap`` foreign tokens lie before each document."""
    sizes = np.array([len(row) + gap for row in documents], np.int64)
    ends = np.cumsum(sizes)
    return np.array([t for row in documents for t in [3] * gap + row], np.uint32), ends - sizes + gap, ends


def ends_of(documents: list[list[int]], pattern: int) -> np.ndarray:
    return np.array([bool(pattern >> i & 1) for i in range(len(documents))], bool)


@settings(max_examples=200)
@given(rows, rows, st.integers(1, 3), st.sampled_from([-1, EOS]), st.integers(0, 31), st.integers(0, 2))
def test_counts_equal_naive(held, text, order, eos, pattern, gap):
    trie = GramTrie(order, eos)
    last = trie.add(*flat(held, gap), ends_of(held, pattern))
    seen, followed = trie.count(*flat(text, gap), ends_of(text, pattern >> 1))
    seen_naive, followed_naive = counts_naive(text, ends_of(text, pattern >> 1).tolist(), order, eos)
    events = [grams for row, end in zip(held, ends_of(held, pattern), strict=True)
              for grams in events_naive(row, end, order, eos)]  # fmt: skip
    assert len(last) == len(events)
    for node, grams in zip(last.tolist(), events, strict=True):
        for gram in reversed(grams):
            assert node > 0
            assert seen[node] == seen_naive[gram]
            assert followed[trie.parents[node]] == followed_naive[gram[:-1]]
            node = int(trie.suffixes[node])
        assert node == 0


def test_documents_do_not_touch_and_ends_count():
    trie = GramTrie(2, 9)
    whole = np.array([True, True])
    held = [[1, 2], [3, 1]]
    last = trie.add(*flat(held), whole)
    assert len(last) == 6  # two tokens and an end each
    seen, followed = trie.count(*flat([[1], [2, 3, 1]]), whole)
    assert followed[0] == 6
    by_event = seen[last].tolist()
    # (end 1) (1 2) (2 end) (end 3) (3 1) (1 end): never (1 2), for 1 and 2 are in different documents
    assert by_event == [1, 0, 0, 0, 1, 2]


@pytest.mark.parametrize("order", [1, 3])
def test_a_trie_that_grows_keeps_what_it_had(order):
    draw = np.random.default_rng(0)
    ids = draw.integers(0, 3000, 50_000, dtype=np.uint32)
    whole = np.array([True])
    trie, first = GramTrie(order), None
    for start in range(0, 50_000, 10_000):
        last = trie.add(ids, np.array([start]), np.array([start + 10_000]), whole)
        first = last if first is None else first
    again = GramTrie(order)
    assert (again.add(ids, np.array([0]), np.array([10_000]), whole) == first).all()
    assert (trie.parents[1:] < np.arange(1, trie.size)).all()
    seen, followed = trie.count(ids, np.array([0]), np.array([50_000]), whole)
    assert followed[0] == 50_000
    assert (seen[1:] > 0).all() or order > 1  # grams across the cuts are not in the trie, tokens all are
    assert seen[trie.parents == 0][1:].sum() == 50_000


def test_large_ids_are_told_apart():
    ids = np.array([2**32 - 1, 2**31, 0, 2**32 - 1], np.uint32)
    trie = GramTrie(2)
    whole = np.array([True])
    last = trie.add(ids, np.array([0]), np.array([4]), whole)
    assert trie.count(ids, np.array([0]), np.array([4]), whole)[0][trie.suffixes[last[1:]]].tolist() == [1, 1, 2]
