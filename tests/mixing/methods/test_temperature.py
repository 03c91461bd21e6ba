"""Temperature: closed forms at both ends and between."""

import numpy as np
import pytest

from mixing.evidence import Evidence
from mixing.methods.natural import Natural
from mixing.methods.temperature import Temperature
from mixing.methods.uniform import Uniform
from mixing.problem import problem_of
from mixing.settings import mixing_settings
from tests.mixing.worlds import domains

SOME = domains(a=1, b=16, c=0, d=81, e=10_000)
PROBLEM = problem_of(mixing_settings({"held_out": ["e"]}), SOME)


@pytest.mark.parametrize(("tau", "same_as"), [(1.0, Natural()), (0.0, Uniform())])
def test_its_ends_are_natural_and_uniform(tau: float, same_as: Natural | Uniform) -> None:
    """Also where a domain has no tokens: 0 to the power 0 is 1."""
    found = Temperature(tau).weights(PROBLEM, Evidence()).weights
    assert found == pytest.approx(same_as.weights(PROBLEM, Evidence()).weights, abs=1e-15)


def test_a_quarter_power() -> None:
    found = Temperature(0.25).weights(PROBLEM, Evidence())
    assert found.weights == pytest.approx(np.array([1, 2, 0, 3, 0]) / 6)
    assert found.facts == {"tau": 0.25}


def test_a_lower_tau_lifts_the_small_ones() -> None:
    shares = [Temperature(tau).weights(PROBLEM, Evidence()).weights for tau in (1.0, 0.7, 0.3, 0.0)]
    assert np.all(np.diff([each[0] for each in shares]) > 0)
    assert np.all(np.diff([each[3] for each in shares]) < 0)
