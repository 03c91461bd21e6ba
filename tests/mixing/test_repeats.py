"""The worth of repeated tokens: published values, slopes, and the inverse."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixing.repeats import R_STAR, curvature, effective, next_value, seen_for, value_at

SIZES = st.floats(1e3, 1e13)
EPOCHS = st.floats(0, 60)


def test_values_at_epochs_are_the_published_ones() -> None:
    table = {2: 0.984, 3: 0.958, 4: 0.931, 5: 0.904, 7: 0.853, 10: 0.781, 16: 0.661, 20: 0.596, 40: 0.379}
    assert {e: round(value_at(e), 3) for e in table} == table
    assert [round(next_value(e, 1.0), 3) for e in (4.0, 16.0, 40.0)] == [0.823, 0.377, 0.079]
    assert effective(1e9, 1.0) == pytest.approx(1 + R_STAR)
    assert [value_at(e) for e in (0, 0.5, 1)] == [1, 1, 1]


def test_it_is_not_the_smaller_of_two_lines() -> None:
    """The curve lies below d, and below its ceiling, from the first repeated token on."""
    d = np.linspace(1.01, 100, 1000)
    assert (effective(d, 1.0) < np.minimum(d, 1 + R_STAR)).all()
    assert effective(4.0, 1.0) < 0.96 * 4.0


@given(SIZES, EPOCHS)
def test_slope_and_curvature_are_those_of_the_curve(unique: float, epochs: float) -> None:
    seen, step = unique * epochs, unique * 1e-4
    difference = (effective(seen + step, unique) - effective(seen, unique)) / step
    assert difference == pytest.approx(next_value(seen, unique), rel=1e-4)
    bend = (next_value(seen + step, unique) - next_value(seen, unique)) / step
    assert bend * unique == pytest.approx(curvature(seen, unique) * unique, abs=1e-4 if abs(epochs - 1) > 0.01 else 0.1)


@given(SIZES, EPOCHS)
def test_the_inverse_gives_the_tokens_back(unique: float, epochs: float) -> None:
    seen = unique * epochs
    assert seen_for(effective(seen, unique), unique) == pytest.approx(seen, rel=1e-6)


def test_what_no_number_of_epochs_gives() -> None:
    assert seen_for(17.0, 1.0) == math.inf
    assert seen_for(1.0, 0.0) == math.inf


def test_a_source_without_tokens_is_worth_nothing() -> None:
    assert (effective(5.0, 0.0), next_value(5.0, 0.0), curvature(5.0, 0.0), seen_for(0.0, 0.0)) == (0, 0, 0, 0)
    many = effective(np.array([5.0, 5.0]), np.array([0.0, 10.0]))
    assert many.tolist() == [0, 5]
