"""Weighted sums of rows: the kernel against its twin."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer_lab.kernels.weighted_rows import weighted_rows, weighted_rows_naive


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 6), st.floats(-3, 3, width=32)), max_size=6), max_size=6))
def test_equal_to_the_twin(sums: list[list[tuple[int, float]]]) -> None:
    matrix = np.random.default_rng(0).standard_normal((7, 5)).astype(np.float32)
    offsets = np.cumsum([0, *map(len, sums)])
    ids = np.array([row for terms in sums for row, _ in terms], np.int64)
    weights = np.array([weight for terms in sums for _, weight in terms], np.float32)
    made = weighted_rows(offsets, ids, weights, matrix)
    assert made.tolist() == weighted_rows_naive(offsets, ids, weights, matrix).tolist()
    assert made.shape == (len(sums), 5)


def test_a_slice_of_columns_is_read_rightly() -> None:
    matrix = np.arange(24, dtype=np.float32).reshape(4, 6)[:, ::2]
    made = weighted_rows(np.array([0, 2]), np.array([1, 3]), np.array([0.5, 2.0]), matrix)
    assert made.tolist() == (0.5 * matrix[1] + 2 * matrix[3])[None].tolist()
