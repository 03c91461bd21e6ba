"""gather: copies runs of ids to their places, like its twin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer_lab.kernels.gather import gather, gather_naive


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 9), max_size=20),
    st.randoms(use_true_random=False),
    st.sampled_from([(np.uint32, np.uint32), (np.uint32, np.uint16), (np.uint16, np.uint32)]),
)
def test_equals_the_twin(sizes, random, kinds):
    values = np.arange(100, 100 + sum(sizes), dtype=kinds[0])
    lengths = np.array(sizes, np.int64)
    starts = np.cumsum(lengths) - lengths
    order = list(range(len(sizes)))
    random.shuffle(order)
    targets = np.zeros(len(sizes), np.int64)
    targets[order] = np.cumsum(lengths[order]) - lengths[order]
    ours, twin = np.zeros(sum(sizes), kinds[1]), np.zeros(sum(sizes), kinds[1])
    gather(values, starts, lengths, targets, ours)
    gather_naive(values, starts, lengths, targets, twin)
    assert (ours == twin).all()
    assert sorted(ours) == sorted(values)


def test_reads_what_is_read_only():
    values = np.arange(5, dtype=np.uint32)
    values.flags.writeable = False
    out = np.zeros(5, np.uint32)
    gather(values, np.array([3, 0]), np.array([2, 3]), np.array([0, 2]), out)
    assert out.tolist() == [3, 4, 0, 1, 2]


@pytest.mark.parametrize(("start", "length", "target"), [(-1, 1, 0), (4, 2, 0), (0, 2, 4), (0, -1, 0)])
def test_a_run_outside_its_array_is_refused(start, length, target):
    with pytest.raises(ValueError, match="outside"):
        gather(
            np.zeros(5, np.uint32), np.array([start]), np.array([length]), np.array([target]), np.zeros(5, np.uint32)
        )
