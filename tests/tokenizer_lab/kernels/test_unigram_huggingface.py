"""The Unigram of ``tokenizers`` against its readable twin; against the library in test_huggingface.py."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import japanese_texts
from tokenizer_lab.kernels.unigram_huggingface import (
    ALWAYS,
    NO_PREFIX,
    UNLESS_MARKED,
    UnigramRules,
    unigram_huggingface,
    unigram_huggingface_naive,
    unigram_table,
)

BYTE_IDS = np.arange(1000, 1256).astype(np.uint32)


def rules(scores: dict[str, float], fallback: bool = True, prefix: int = NO_PREFIX, mark: bool = True) -> UnigramRules:
    pieces = {piece: id for id, piece in enumerate(scores, 1)}
    values = np.array([-9.0, *scores.values()])
    byte_ids = BYTE_IDS if fallback else None
    return UnigramRules(pieces, values, float(values.min()) - 10, 0, byte_ids, prefix, mark, mark)


def assert_equal(array: pa.Array, made: UnigramRules) -> None:
    ours = unigram_huggingface(array, unigram_table(made))
    for x, y in zip(ours, unigram_huggingface_naive(array, made), strict=True):
        assert x.dtype == y.dtype
        assert np.array_equal(x, y)
    bare = unigram_huggingface(array, unigram_table(made), sized=False)
    assert np.array_equal(bare[0], ours[0])
    assert np.array_equal(bare[1], ours[1])


few = st.text(st.sampled_from("ab日本▁𠮷"), min_size=1, max_size=5)
scored = st.dictionaries(few, st.sampled_from([-1.0, -2.0, -3.0, -0.1, -0.2, 0.0, -30.0]), max_size=20)
texts = st.lists(st.one_of(st.none(), st.text(st.sampled_from("ab日 ▁本𠮷é"), max_size=25)), max_size=6)


@settings(max_examples=200, deadline=None)
@given(scored, texts, st.booleans(), st.sampled_from([NO_PREFIX, ALWAYS, UNLESS_MARKED]), st.integers(0, 2))
def test_marks_ties_and_unknowns(
    scores: dict[str, float], texts: list[str | None], fallback: bool, prefix: int, start: int
) -> None:
    made = rules({**scores, "▁": -2.5}, fallback, prefix)
    assert_equal(pa.array(texts, pa.large_string()).slice(start), made)


@settings(max_examples=60, deadline=None)
@given(japanese_texts)
def test_any_text(texts: list[str | None]) -> None:
    pieces = ["日本", "日", "本語", "の", "です", "か\u3099", "𠮷", "A", "\n", "ｶﾞ", "😀", "。"]
    made = rules({piece: -1.0 - number / 7 for number, piece in enumerate(pieces)}, mark=False)
    assert_equal(pa.array(texts, pa.string()), made)


def test_a_mark_must_be_an_entry() -> None:
    with pytest.raises(ValueError, match="no entry of its own"):
        unigram_table(rules({"a": -1.0}))
