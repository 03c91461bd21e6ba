"""Counts of scripts and their runs equal those over a string of classes."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings

from jacorpus.kernels.word_estimate import COUNTS, script_runs, script_runs_naive
from tests.strategies import japanese_texts


@given(japanese_texts)
@settings(max_examples=150, deadline=None)
def test_equals_the_naive_twin(texts: list[str | None]) -> None:
    array = pa.array(texts, pa.large_string())
    assert np.array_equal(script_runs(array), script_runs_naive(array))
    assert np.array_equal(script_runs(array[1:]), script_runs_naive(array[1:]))


def test_counted_by_hand() -> None:
    counts = script_runs(pa.array(["カタカナ・ﾊﾝｶｸ、ABC 2024年のdata。"]))[0].tolist()
    assert dict(zip(COUNTS, counts, strict=True)) == {
        "hiragana": 1,
        "kanji": 1,
        "katakana_runs": 2,
        "letter_runs": 2,
        "digit_runs": 1,
        "symbols": 3,
        "symbol_free_chars": 21,
    }
