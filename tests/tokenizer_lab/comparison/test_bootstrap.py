"""Intervals that hold the truth, draws that are the same for all."""

import numpy as np
import pytest

from tokenizer_lab.comparison.bootstrap import DRAWS, Resampling, interval


def test_every_draw_takes_as_many_units_as_there_are() -> None:
    times = Resampling(np.arange(7)).times
    assert times.shape == (DRAWS, 7)
    assert (times.sum(1) == 7).all()


def test_draws_are_the_same_again() -> None:
    columns = np.arange(10, dtype=np.float64).reshape(5, 2)
    np.testing.assert_array_equal(Resampling(np.arange(5)).sums(columns), Resampling(np.arange(5)).sums(columns))


def test_documents_of_one_source_are_drawn_together() -> None:
    sums = Resampling(np.array([0, 0, 1])).sums(np.array([[1.0], [1.0], [10.0]]))
    assert set(sums[:, 0]) == {4.0, 12.0, 20.0}


def test_the_interval_is_that_of_theory() -> None:
    """Means of 400 numbers of deviation 1: about 1.96 / 20 to either side."""
    values = np.random.Generator(np.random.PCG64(5)).normal(10, 1, 400)
    found = interval(values.mean(), Resampling(np.arange(400)).ratios(values, np.ones(400)))
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)
    assert found.low < found.value < found.high


def test_paired_draws_see_what_separate_ones_hide() -> None:
    """Two tokenizers that differ by 1 % everywhere differ clearly, however unlike the documents are."""
    random = np.random.Generator(np.random.PCG64(6))
    tokens = random.lognormal(5, 2, 200)
    chars = tokens * random.uniform(1, 3, 200)
    draws = Resampling(np.arange(200))
    one, two = draws.ratios(chars, tokens), draws.ratios(chars, tokens * 1.01)
    assert np.percentile(one, 2.5) < np.percentile(two, 97.5)
    assert (one / two - 1).min() > 0.009


def test_draws_over_nothing_are_left_out() -> None:
    ratios = Resampling(np.arange(2)).ratios(np.array([1.0, 0.0]), np.array([1.0, 0.0]))
    assert np.isnan(ratios).any()
    assert interval(1.0, ratios).high == 1.0
