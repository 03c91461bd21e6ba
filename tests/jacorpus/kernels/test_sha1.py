"""SHA-1 of short code-point strings against hashlib."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.kernels.sha1 import sha1_hash32, sha1_hash32_naive
from tests.strategies import japanese_chars


@settings(max_examples=100, deadline=None)
@given(st.text(japanese_chars, max_size=60), st.text(japanese_chars, max_size=3))
def test_equals_hashlib(text: str, before: str) -> None:
    points = np.array([ord(char) for char in before + text], np.uint32)
    block = np.zeros(4 * 60 // 64 * 64 + 192, np.uint8)
    ours = sha1_hash32(points, len(before), len(points), block, np.zeros(80, np.uint32))
    assert int(ours) == sha1_hash32_naive(text)
