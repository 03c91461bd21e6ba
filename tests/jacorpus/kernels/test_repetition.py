import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jacorpus.kernels.repetition import (
    covered_chars_naive,
    duplicated_types_naive,
    frequent_occurrences_naive,
    repetition,
    top_count_naive,
)
from tests.strategies import japanese_texts

NS = (1, 2, 3, 5, 7, 10)  # counted in packed words
ANY_N = (*NS, 11, 32)  # counted the general way
few_letters = st.lists(st.text("あいう𠮷\n", max_size=300), max_size=4)
phrases = st.sampled_from(["同じ文がまた出てくる。", "です", "   ", "——", "長いくりかえしの部分をここに置く", "x"])
repetitive = st.lists(st.lists(phrases, max_size=40).map("".join), max_size=4)


def check(texts, ns=NS):
    got = repetition(pa.array(texts, pa.large_string()), ns, ns, ns, True)
    texts = [text or "" for text in texts]
    assert got.chars_N.tolist() == [len(text) for text in texts]
    assert got.top_NT.tolist() == [[top_count_naive(text, n) for n in ns] for text in texts]
    types = np.stack([got.repeated_ND, got.types_ND], axis=-1)
    assert types.tolist() == [[list(duplicated_types_naive(text, n)) for n in ns] for text in texts]
    assert got.covered_NC.tolist() == [[covered_chars_naive(text, n) for n in ns] for text in texts]
    assert got.frequent_N.tolist() == [frequent_occurrences_naive(text) for text in texts]


@settings(max_examples=100, deadline=None)
@given(st.one_of(japanese_texts, few_letters, repetitive))
@example(["", None, "あ", "ああ", "あ" * 500, "ab" * 300, "いろは" * 90 + "ほへと"])
def test_counts_equal_the_naive_ones(texts):
    check(texts)
    check(texts, ANY_N)


@settings(max_examples=50, deadline=None)
@given(repetitive, st.sets(st.integers(5, 10), min_size=1, max_size=3))
def test_counts_do_not_depend_on_what_else_is_asked_for(texts, ns):
    array = pa.array(texts, pa.large_string())
    ns = sorted(ns)
    alone, packed, general = (repetition(array, types=(*ns, *more)) for more in ((), (4, 10), (11,)))
    for other in (packed, general):
        assert np.array_equal(alone.types_ND, other.types_ND[:, : len(ns)])
        assert np.array_equal(alone.repeated_ND, other.repeated_ND[:, : len(ns)])


def test_more_different_characters_than_fit_into_packed_words():
    text = "".join(chr(0x4E00 + i % 4085) for i in range(4100))
    check([text, text + "ab" * 9, text + "一二三四五" * 20], (2, 5, 10))


def test_commonest_of_many_equally_common():
    """No slot of the table stands out, so all n-grams are counted exactly."""
    text = "".join(chr(0x4E00 + i % 4000) for i in range(8003))
    check([text, text[:4001]], (2, 4))


def test_other_n_are_refused():
    with pytest.raises(ValueError, match="not 33"):
        repetition(pa.array(["あ"]), top=[33])


def test_counts_on_real_text(real_texts):
    check(real_texts, (2, 4, 5, 10))
