import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.kernels.spans import replace_spans, replace_spans_naive
from tests.strategies import japanese_texts

PIECES = ["", "<電話>", "x"]


def as_array(spans):
    return np.array(spans, np.int64).reshape(-1, 4)


@settings(max_examples=100, deadline=None)
@given(japanese_texts, st.data())
def test_equals_the_naive_twin(texts, data):
    spans = []
    for document, text in enumerate(texts):
        cuts = sorted(data.draw(st.lists(st.integers(0, len(text or "")), max_size=6)))
        bytes_at = [len((text or "")[:cut].encode()) for cut in cuts]
        pairs = zip(bytes_at[::2], bytes_at[1::2], strict=False)
        spans += [(document, a, b, data.draw(st.integers(0, 2))) for a, b in pairs]
    got = replace_spans(pa.array(texts, pa.large_string()), as_array(spans), PIECES)
    assert got.to_pylist() == replace_spans_naive(texts, spans, PIECES)


def test_a_slice_keeps_its_own_offsets():
    array = pa.array(["abc", "電話です", "z"]).slice(1)
    assert replace_spans(array, as_array([(0, 0, 6, 2), (1, 1, 1, 2)]), PIECES).to_pylist() == ["xです", "zx"]
    assert replace_spans(array, as_array([]), []).to_pylist() == ["電話です", "z"]


@pytest.mark.parametrize("spans", [[(0, 0, 2, 0), (0, 1, 3, 0)], [(1, 0, 1, 0), (0, 0, 1, 0)], [(0, 2, 9, 0)]])
def test_wrong_spans_are_refused(spans):
    with pytest.raises(ValueError, match="spans"):
        replace_spans(pa.array(["abc", "def"]), as_array(spans), PIECES)
