"""The white space kernel against its twin, on texts made of nothing but corners."""

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.kernels.whitespace import clean_naive, clean_whitespace
from tests.jacorpus.normalize.documents import read_texts
from tests.strategies import japanese_text

corners = st.text(
    st.sampled_from("\n\n\n \t\r\v\f\x00\x7f\x85\xad\xa0\u3000\u200b\u200d\u2028\u2060\ufeffaあ…！Âé"), max_size=40
)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.one_of(st.none(), corners, japanese_text), max_size=8),
    st.integers(0, 3),
    st.integers(0, 8),
    st.integers(0, 3),
)
def test_equals_naive_and_is_idempotent(texts, start, length, blank_lines):
    array = pa.array(texts, pa.large_string()).slice(start, length)
    once = clean_whitespace(array, blank_lines)
    once.validate(full=True)
    assert once.to_pylist() == [clean_naive(text or "", blank_lines) for text in array.to_pylist()]
    assert clean_whitespace(once, blank_lines) is once


def test_equals_naive_on_real_texts(real_data):
    texts = read_texts(real_data / "ja" / "docs.jsonl.zst", 500)
    texts += [text.replace("\n", "\r\n") for text in texts[:50]]
    assert clean_whitespace(pa.array(texts)).to_pylist() == [clean_naive(text, 1) for text in texts]
