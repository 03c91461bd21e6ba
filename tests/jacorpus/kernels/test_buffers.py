from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacorpus.kernels.buffers import text_array, text_buffers
from tests.strategies import japanese_texts


@given(japanese_texts, st.sampled_from([pa.string(), pa.large_string()]), st.integers(0, 3))
def test_buffers_hold_each_text_of_a_slice(texts, kind, start):
    array = pa.array(texts, kind).slice(min(start, len(texts)))
    offsets, data = text_buffers(array)
    got = [bytes(data[a:b]).decode() for a, b in pairwise(offsets)]
    assert got == [text or "" for text in array.to_pylist()]
    rebuilt = text_array(offsets, data)
    assert rebuilt.to_pylist() == got


def test_buffers_refuse_numbers():
    with pytest.raises(TypeError, match="string"):
        text_buffers(pa.array(np.arange(3)))
