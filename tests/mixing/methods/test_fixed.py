"""Fixed: the user's own weights, at any scale."""

import pytest

from jacorpus.errors import RecipeError
from mixing.evidence import Evidence
from mixing.methods.fixed import Fixed
from mixing.problem import problem_of
from mixing.settings import mixing_settings
from tests.mixing.worlds import domains

PROBLEM = problem_of(mixing_settings({}), domains(a=1, b=2, c=3))


def test_weights_as_written() -> None:
    assert Fixed({"c": 3, "a": 1}).weights(PROBLEM, Evidence()).weights.tolist() == [0.25, 0, 0.75]


@pytest.mark.parametrize(
    ("mixture", "says"),
    [
        ({}, "write mixture = "),
        ({"d": 1.0}, "no domain `d` here"),
        ({"a": -1.0}, "the weight of domain `a` must be a number, 0 or more"),
        ({"a": 0.0}, "has a weight above 0"),
    ],
)
def test_no_mixture_is_told(mixture: dict[str, float], says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        Fixed(mixture).weights(PROBLEM, Evidence())
