"""Intervals hold what they say, by simulation."""

import math

import numpy as np
import pytest

from jacorpus.report.numbers import Interval
from mixing.intervals import MANY, clear, interval_of, paired, student
from tests.mixing.worlds import world

TRIALS = 1500


def _held(hits: int) -> bool:
    """95 % of the trials, give or take what 1500 of them vary by (4 standard errors)."""
    return abs(hits / TRIALS - 0.95) < 4 * math.sqrt(0.05 * 0.95 / TRIALS)


@pytest.mark.parametrize("repetitions", [2, 3, 8, 20, MANY, 400])
def test_another_repetition_is_inside(repetitions: int) -> None:
    """The weight is an answer of its own, its replicates are draws."""
    draw, hits = np.random.default_rng(repetitions), 0
    for _ in range(TRIALS):
        one, *many = draw.normal(0.5, 0.02, size=repetitions + 2)
        (found,) = interval_of(np.array([0.5]), np.array(many[1:])[:, None])
        hits += found.low <= one <= found.high
    slack = 0.01 if repetitions == MANY else 0.0  # percentiles of 100 hold 94 %
    assert _held(round(hits + slack * TRIALS))


@pytest.mark.parametrize("repetitions", [2, 3, 8, 20])
def test_where_the_answer_is_the_mean_the_truth_is_inside(repetitions: int) -> None:
    """Seeds: their mean is the answer."""
    draw, hits = np.random.default_rng(repetitions), 0
    for _ in range(TRIALS):
        many = draw.normal(0.5, 0.02, size=(repetitions, 1))
        (found,) = interval_of(many.mean(0), many)
        hits += found.low <= 0.5 <= found.high
    assert _held(hits)


@pytest.mark.parametrize("repetitions", [2, 3, 8, 30])
def test_paired_differences(repetitions: int) -> None:
    draw, hits = np.random.default_rng(repetitions), 0
    for _ in range(TRIALS):
        found = paired(draw.normal(0.1, 1.0, size=repetitions))
        hits += found.low <= 0.1 <= found.high
        assert found.low <= found.value <= found.high
    assert _held(hits)


def test_one_difference_tells_nothing() -> None:
    found = paired(np.array([0.5]))
    assert (found.value, found.low, found.high) == (0.5, -math.inf, math.inf)
    assert not clear(found)


def test_clear_is_without_zero() -> None:
    assert clear(Interval(1.0, 0.1, 2.0))
    assert clear(Interval(-1.0, -2.0, -0.1))
    assert not clear(Interval(1.0, 0.0, 2.0))
    assert not clear(Interval(0.0, 0.0, 0.0))


@pytest.mark.parametrize("repetitions", [0, 1, 2, 5, 50, 200])
def test_intervals_lie_within_shares_and_around_the_weight(repetitions: int) -> None:
    for seed in range(20):
        weights, many = world(1, 6, seed)[0], world(repetitions, 6, seed + 1) if repetitions else np.zeros((0, 6))
        for weight, found in zip(weights, interval_of(weights, many), strict=True):
            assert 0 <= found.low <= found.value <= found.high <= 1
            assert found.value == weight
            assert (found.low < found.high) == (repetitions >= 2)


def test_order_of_repetitions_changes_nothing() -> None:
    weights, many = world(1, 4, 0)[0], world(9, 4, 1)
    for one, other in zip(interval_of(weights, many), interval_of(weights, many[::-1]), strict=True):
        assert (one.low, one.high) == pytest.approx((other.low, other.high))


def test_student() -> None:
    """Tables of the distribution."""
    assert [round(student(n), 3) for n in (2, 3, 5, 20, 10_000)] == [12.706, 4.303, 2.776, 2.093, 1.96]
