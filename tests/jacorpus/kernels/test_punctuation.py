"""The punctuation vote against its twin and against the twin's definition on real texts."""

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.kernels.punctuation import vote_naive, vote_punctuation
from tests.jacorpus.normalize.documents import read_texts
from tests.strategies import japanese_text

marks = st.text(st.sampled_from("、，。．あア漢々〇〻（）」』］〕】〉》「【〔ー１Ｚａ^a1 \n𠮷😀é，．"), max_size=40)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.one_of(st.none(), marks, japanese_text), max_size=8), st.integers(0, 3), st.integers(0, 8))
def test_equals_naive_and_is_idempotent(texts, start, length):
    array = pa.array(texts, pa.large_string()).slice(start, length)
    result, replaced = vote_punctuation(array)
    result.validate(full=True)
    assert list(zip(result.to_pylist(), replaced.tolist(), strict=True)) == [
        vote_naive(text or "") for text in array.to_pylist()
    ]
    again, none = vote_punctuation(result)
    assert again is result
    assert not none.any()


def test_equals_naive_on_real_texts(real_data):
    texts = read_texts(real_data / "ja" / "docs.jsonl.zst", 300)
    texts += [text.replace("、", "，").replace("。", "．") for text in texts]
    result, replaced = vote_punctuation(pa.array(texts))
    assert list(zip(result.to_pylist(), replaced.tolist(), strict=True)) == [vote_naive(text) for text in texts]
    assert replaced.any()
