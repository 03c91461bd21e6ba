"""Word n-gram repetition equals the plain counting of tuples."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.kernels.word_ngrams import word_repetition, word_repetition_naive

WORDS = ("の", "猫", "ねこ", "ABC", "𠮷野")


def measure(documents: list[list[str]], max_n: int) -> tuple[list, list, list]:
    numbers = np.array([WORDS.index(word) for document in documents for word in document], np.int64)
    offsets = np.cumsum([0, *map(len, documents)])
    top, dup, repeated = word_repetition(offsets, numbers, np.array([len(word) for word in WORDS])[numbers], max_n)
    return top.tolist(), dup.tolist(), repeated.tolist()


@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=60), max_size=6), st.integers(2, 10))
@settings(max_examples=200, deadline=None)
def test_equals_the_naive_twin(documents: list[list[str]], max_n: int) -> None:
    assert measure(documents, max_n) == word_repetition_naive(documents, max_n)


def test_a_period_of_three() -> None:
    top, dup, repeated = measure([["の", "猫", "ねこ"] * 4], 3)
    assert top[0][2] == 4 * len("の 猫")
    assert dup[0][3] == 3 * 4  # the first three windows are new, then three whole repeats of 4 characters
    assert repeated[0][3] == 10
