"""First occurrences against the naive twin."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.kernels.occurrence import first_occurrence, first_occurrence_naive


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 20).map(lambda value: value << 40 | value % 3), max_size=60))
def test_equals_naive(keys: list[int]) -> None:
    assert first_occurrence(np.array(keys, np.uint64)).tolist() == first_occurrence_naive(keys)


def test_many_keys() -> None:
    keys = np.random.default_rng(0).integers(0, 50_000, 100_000).astype(np.uint64)
    _, index, inverse = np.unique(keys, return_index=True, return_inverse=True)
    assert (first_occurrence(keys) == index[inverse]).all()
