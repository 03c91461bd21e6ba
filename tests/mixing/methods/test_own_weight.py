"""Own weight: the target's own domains, as far as limits go."""

import numpy as np
import pytest

from mixing.evidence import Evidence
from mixing.methods.own_weight import OwnWeight
from mixing.problem import problem_of
from mixing.settings import mixing_settings
from tests.mixing.worlds import domains

SOME = domains(ja_web=600, en_web=1000, ja_wiki=300, ja_news=0)  # en-web, ja-news, ja-web, ja-wiki


def weights(table: dict) -> np.ndarray:
    problem = problem_of(mixing_settings(table), SOME)
    found = OwnWeight().weights(problem, Evidence()).weights
    assert problem.limits.violation(found) <= 1e-12
    return found


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        ({"target": {"ja-web": 1}}, [0, 0, 1, 0]),
        ({"target": {"ja-web": 3, "ja-wiki": 1}}, [0, 0, 0.75, 0.25]),
        ({"target": {"ja": 1}}, [0, 0, 0.5, 0.5]),  # ja-news has held-out text and nothing to train on
        ({}, [1 / 3, 0, 1 / 3, 1 / 3]),
        ({"target": {"ja": 1}, "held_out": ["ja-web"]}, [0, 0, 0, 1]),
        ({"target": {"ja-web": 1}, "bounds": {"ja-web": 0.4}}, [0.6 * 10 / 13, 0, 0.4, 0.6 * 3 / 13]),
        ({"target": {"ja": 1}, "bounds": {"ja-web": 0.4}}, [0, 0, 0.4, 0.6]),
        ({"target": {"ja-web": 1}, "bounds": {"en-web": [0.1, 1]}}, [0.1, 0, 0.9, 0]),
        ({"target": {"ja-web": 1}, "held_out": ["ja-web"]}, [10 / 13, 0, 0, 3 / 13]),  # none of its own: the prior
        ({"target": {"ja-web": 1}, "bounds": {"ja-web": 0.4}, "prior": {"en-web": 1}}, [0.6, 0, 0.4, 0]),
    ],
)
def test_all_on_its_own_and_the_rest_as_in_the_prior(table: dict, wanted: list[float]) -> None:
    assert weights(table) == pytest.approx(wanted, abs=1e-7)
