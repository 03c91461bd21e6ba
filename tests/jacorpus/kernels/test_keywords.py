"""Keyword hits equal those of a regular expression, and the cases that made published filters err."""

import io

import numpy as np
import orjson
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.kernels.keywords import (
    japanese_chars,
    japanese_chars_naive,
    keyword_hits,
    keyword_hits_naive,
    word_table,
)
from tests.strategies import japanese_texts

WORDS = st.lists(
    st.one_of(st.text("アスaあ漢ー🍣é", min_size=1, max_size=5), st.text(min_size=1, max_size=3)),
    min_size=1,
    max_size=8,
)
DENSE = st.lists(st.text("アスaあ漢ー🍣é\0", max_size=30), max_size=6)


def assert_equal(array: pa.Array, words: list[str], whole: bool) -> None:
    table = word_table(words, whole)
    for fast, naive in zip(keyword_hits(array, table), keyword_hits_naive(array, table), strict=True):
        assert np.array_equal(fast, naive)


@given(st.one_of(japanese_texts, DENSE), WORDS, st.booleans())
@settings(max_examples=150, deadline=None)
def test_equals_the_regular_expression(texts: list[str | None], words: list[str], whole: bool) -> None:
    words = [*words, "予備"]
    texts = [None if text is None else text.encode("utf-8", "ignore").decode() for text in texts]
    words = [word.encode("utf-8", "ignore").decode() for word in words]
    array = pa.array(texts, pa.large_string())
    assert_equal(array, words, whole)
    assert_equal(array[1:], words, whole)
    assert_equal(pa.array(texts, pa.string()), words, whole)


def test_katakana_counts_only_as_a_whole_run() -> None:
    texts = pa.array(["アスパラガス", "アスとアス、アスー", "はアス", "ァアス"])
    assert keyword_hits(texts, word_table(["アス"]))[0].tolist() == [0, 2, 1, 0]
    assert keyword_hits(texts, word_table(["アス"], whole_katakana=False))[0].tolist() == [1, 3, 1, 1]


def test_the_longest_word_wins_and_hits_do_not_overlap() -> None:
    hits, types, chars = keyword_hits(
        pa.array(["悪い言葉悪い", "悪悪悪"]), word_table(["悪", "悪い言葉", "言葉", "悪い"])
    )
    assert (hits.tolist(), types.tolist(), chars.tolist()) == ([2, 3], [2, 1], [6, 3])


def test_order_and_repeats_of_the_list_do_not_matter() -> None:
    assert word_table(["b", " a ", "", "b"]).words == word_table(["a", "b"]).words


def test_a_word_does_not_reach_into_the_next_document() -> None:
    assert keyword_hits(pa.array(["広", "告", "広告"]), word_table(["広告"]))[0].tolist() == [0, 0, 1]


def test_an_empty_list_is_an_error() -> None:
    with pytest.raises(ValueError, match="empty"):
        word_table(["", " "])


@given(japanese_texts)
@settings(max_examples=100, deadline=None)
def test_japanese_chars_equal_the_naive_ones(texts: list[str | None]) -> None:
    array = pa.array([None if text is None else text.encode("utf-8", "ignore").decode() for text in texts], pa.string())
    assert np.array_equal(japanese_chars(array), japanese_chars_naive(array))


def test_real_lists_on_real_text(real_data) -> None:
    with open(real_data / "ja" / "docs.jsonl.zst", "rb") as file:
        lines = io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file))
        array = pa.array([orjson.loads(next(lines))["text"][:2000] for _ in range(60)])
    for name in ("adult", "discrimination", "advertisement"):
        path = real_data / "noisy" / "ngwords" / f"hojichar_{name}_keywords_ja.txt"
        assert_equal(array, path.read_text("utf-8").splitlines(), True)
    assert np.array_equal(japanese_chars(array), japanese_chars_naive(array))
