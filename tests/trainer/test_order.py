"""The keyed permutation: one for every size and key, the same as its readable twin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.order import mixed, mixed_naive, named_key, numbered_keys, permuted, permuted_naive

KEYS = st.integers(0, 2**64 - 1)


@given(st.integers(1, 3000), KEYS)
@settings(max_examples=150)
def test_is_a_permutation(size, key):
    found = permuted(np.arange(size), size, np.array([key], np.uint64))
    assert sorted(found.tolist()) == list(range(size))


@given(st.integers(1, 2**44), st.data())
@settings(max_examples=100)
def test_is_its_readable_twin(size, data):
    index = data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=5))
    keys = data.draw(st.lists(KEYS, min_size=len(index), max_size=len(index)))
    found = permuted(np.array(index), size, np.array(keys, np.uint64))
    assert found.tolist() == [permuted_naive(*each) for each in zip(index, [size] * len(index), keys, strict=True)]
    assert mixed(np.array(keys, np.uint64)).tolist() == [mixed_naive(key) for key in keys]


def test_keys_and_epochs_give_other_orders():
    assert named_key(1, "ab") != named_key(1, "a", "b")
    keys = numbered_keys(named_key(7, "web"), np.arange(100))
    assert len(set(keys.tolist())) == 100
    orders = {tuple(permuted(np.arange(50), 50, key[None]).tolist()) for key in keys}
    assert len(orders) == 100


@pytest.mark.parametrize("size", [2, 3, 5, 10, 100])
def test_each_place_is_about_equally_likely(size):
    """Chi-squared of where index 0 and the last one go, over 20,000 keys."""
    keys = numbered_keys(3, np.arange(20_000))
    for index in (0, size - 1):
        had = np.bincount(permuted(np.full(20_000, index), size, keys), minlength=size)
        expected = 20_000 / size
        assert ((had - expected) ** 2 / expected).sum() < size - 1 + 5 * (2 * size) ** 0.5


def test_neighbors_do_not_stay_neighbors():
    found = permuted(np.arange(10_000), 10_000, numbered_keys(1, np.array([0])))
    assert (np.abs(np.diff(found)) == 1).sum() < 20  # 2 expected by chance
