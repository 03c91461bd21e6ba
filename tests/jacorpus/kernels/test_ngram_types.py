from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.kernels.ngram_types import pack
from jacorpus.kernels.repetition import duplicated_types_naive, repetition


def packed(text):
    codes = np.array([ord(char) for char in text], np.uint32)
    number_of, words = np.zeros(0x110000, np.uint16), np.zeros(len(text) + 10, np.uint64)
    fits = pack(codes, len(codes), number_of, np.zeros(len(text), np.uint32), words)
    assert not number_of.any()
    return fits, words


def test_words_hold_the_five_characters_before_and_ends_equal_nothing():
    fits, words = packed("いろはにほいろはにほ")
    assert fits
    assert words[4] == words[9]
    assert len({int(word) & 0xFFF for word in words[9:]}) == 11
    assert all(int(b) >> 12 == int(a) & (1 << 48) - 1 for a, b in pairwise(words))


@pytest.mark.parametrize(("different", "fits"), [(4085, True), (4086, False)])
def test_at_most_4085_different_characters_fit(different, fits):
    assert packed("".join(chr(0x4E00 + i) for i in range(different)) + "一")[0] is fits


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["あいうえおかき", "あいうえおかく", "いうえ", "お", "かき"]), max_size=200).map("".join)
)
def test_buckets_of_every_size(text):
    """Few pieces make large buckets (sorted), middling ones (pair by pair) and pairs."""
    got = repetition(pa.array([text], pa.large_string()), types=range(1, 11))
    want = [duplicated_types_naive(text, n) for n in range(1, 11)]
    assert list(zip(got.repeated_ND[0], got.types_ND[0], strict=True)) == want
