"""Frequent substrings, and the longest at each place, equal a plain count of all substrings."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer_lab.kernels import unigram_seeds
from tokenizer_lab.kernels.unigram_seeds import Seeds, frequent_naive, frequent_substrings

segment = st.lists(st.integers(1, 4), min_size=1, max_size=30).map(tuple)
weighted = st.dictionaries(segment, st.integers(1, 400), max_size=8)


def laid(found: dict[tuple[int, ...], int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    codes = [code for each in found for code in [*each, 0]]
    starts = np.cumsum([0, *(len(each) + 1 for each in found)])
    return np.array(codes, np.uint16), starts.astype(np.int64), np.array(list(found.values()), np.int64)


def strings(seeds: Seeds) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = [()]
    for parent, last in zip(seeds.parent[1:].tolist(), seeds.last[1:].tolist(), strict=True):
        found.append((*found[parent], last))
    return found


def check(segments: dict[tuple[int, ...], int], least: int, most_length: int) -> None:
    codes, starts, weights = laid(segments)
    seeds = frequent_substrings(codes, starts, weights, 5, least, most_length)
    names = strings(seeds)
    naive = frequent_naive(segments.items(), least, most_length)
    counted = {name: int(count) for name, count in zip(names, seeds.count, strict=True) if count}
    assert counted == naive
    assert [len(name) for name in names] == seeds.length.tolist()
    assert (seeds.parent[1:] < np.arange(1, len(names))).all()
    for start, stop in pairwise(starts.tolist()):
        for i in range(start, stop - 1):
            here = tuple(codes[i : stop - 1].tolist())
            longest = max(n for n in range(1, len(here) + 1) if here[:n] in naive)
            assert names[seeds.longest[i]] == here[:longest]
        assert seeds.longest[stop - 1] == 0


@settings(max_examples=80, deadline=None)
@given(weighted, st.integers(1, 500), st.integers(1, 9))
def test_equal_to_the_twin(segments: dict[tuple[int, ...], int], least: int, most_length: int) -> None:
    check(segments, least, most_length)


@pytest.mark.parametrize(("room", "cells"), [(8, 1 << 26), (8, 2), (1 << 16, 1)])
def test_small_tables_change_nothing(monkeypatch: pytest.MonkeyPatch, room: int, cells: int) -> None:
    monkeypatch.setattr(unigram_seeds, "_FIRST_ROOM", room)
    monkeypatch.setattr(unigram_seeds, "_MOST_SKETCH", cells)
    random = np.random.default_rng(0)
    check({tuple(random.integers(1, 5, 40).tolist()): int(random.integers(1, 5)) for _ in range(60)}, 2, 8)


def test_nothing() -> None:
    seeds = frequent_substrings(*laid({}), 5, 2, 16)
    assert len(seeds.longest) == 0
    assert len(seeds.parent) == 6
