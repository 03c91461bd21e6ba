"""The decoder of eight characters against its naive twin."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from jacorpus.kernels.vectors import READ, eight_points, eight_points_naive, trailing_zeros


@njit
def _call(data, i, out, w, fold):
    return eight_points(data, np.uint64(i), out, np.uint64(w), fold)


@njit
def _zeros(bits):
    return trailing_zeros(np.uint64(bits))


_CHARS = st.characters(min_codepoint=0x800, max_codepoint=0xFFFF, exclude_categories=["Cs"])
_TOUCHED = st.sampled_from("\u3000\u3001\u3098\u3099\u309a\u309b\ufefe\ufeff\uff01\u2015あ")


@settings(max_examples=150, deadline=None)
@given(st.text(_CHARS | _TOUCHED, min_size=8, max_size=8), st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_points_and_bits_equal_naive(text: str, i: int, w: int, fold: bool) -> None:
    data = b"x" * i + text.encode() + b"\xff" * 4
    out = np.full(w + 9, 7, np.uint32)
    bits = _call(np.frombuffer(data, np.uint8), i, out, w, fold)
    points, expected = eight_points_naive(data, i, fold)
    assert (out[w : w + 8].tolist(), int(bits)) == (points, expected)
    assert points == [ord(char) for char in text]
    assert out[:w].tolist() == [7] * w  # nothing beside the eight is written
    assert out[w + 8] == 7


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=READ, max_size=READ), st.booleans())
def test_any_bytes_give_the_same_bits(data: bytes, fold: bool) -> None:
    bits = _call(np.frombuffer(data, np.uint8), 0, np.empty(8, np.uint32), 0, fold)
    assert int(bits) == eight_points_naive(data, 0, fold)[1]


def test_trailing_zeros() -> None:
    assert [_zeros(bits) for bits in (1, 2, 12, 128, 1 << 62)] == [0, 1, 2, 7, 62]
