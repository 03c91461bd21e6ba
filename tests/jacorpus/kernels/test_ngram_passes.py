"""Counting in passes: the limits are made small, so that short texts take the way of very long ones."""

import random
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jacorpus.kernels import ngram_passes
from jacorpus.kernels.repetition import (
    duplicated_types_naive,
    frequent_occurrences_naive,
    repetition,
    top_count_naive,
)
from tests.strategies import japanese_texts

NS = (1, 2, 3, 5, 10, 32)
few_letters = st.lists(st.text("あいう𠮷\n\0", max_size=300), max_size=4)


@settings(max_examples=100, deadline=None)
@given(st.one_of(japanese_texts, few_letters), st.sampled_from([2, 4, 16, 64]))
@example(["", None, "あ", "ああ", "あ" * 500, "ab" * 300, "いろは" * 90 + "ほへと"], 4)
def test_counts_equal_the_naive_ones(texts: list[str | None], slots: int) -> None:
    with mock.patch.multiple(ngram_passes, LONG=0, SLOTS=slots):
        got = repetition(pa.array(texts, pa.large_string()), NS[::-1], NS, (), True)
    for row, text in enumerate(text or "" for text in texts):
        assert got.top_NT[row].tolist() == [top_count_naive(text, n) for n in NS[::-1]]
        types = np.stack([got.repeated_ND[row], got.types_ND[row]], axis=-1)
        assert types.tolist() == [list(duplicated_types_naive(text, n)) for n in NS]
        assert got.frequent_N[row] == frequent_occurrences_naive(text)


@pytest.mark.parametrize("times", [1, 70_000])
def test_long_texts_equal_those_counted_in_one_piece(times: int) -> None:
    draw = random.Random(3)
    text = "".join(draw.choices("あいうえおかきくけこ漢字𠮷、。", k=300_000)) + "くりかえし" * times
    array = pa.array(["短い文。", text], pa.large_string())
    whole = repetition(array, (2, 3, 4), (5, 6, 10), (), True)
    with mock.patch.multiple(ngram_passes, LONG=1000, SLOTS=1 << 14):
        passes = repetition(array, (2, 3, 4), (5, 6, 10), (), True)
    assert all(np.array_equal(a, b) for a, b in zip(whole, passes, strict=True))
