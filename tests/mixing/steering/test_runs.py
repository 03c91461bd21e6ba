"""One run a seed, by the problem's domains and within its limits."""

import numpy as np
import pytest

from jacorpus.errors import RecipeError
from mixing.evidence import Evidence
from mixing.limits import Bound, Limits
from mixing.problem import Problem
from mixing.steering.doremi import DoReMiController
from mixing.steering.runs import POINTS, kept_limits, most_gain, steer_seeds
from tests.mixing.steering.tabular_proxy import TabularProxy
from tests.mixing.worlds import domains

P = {"a": [0.8, 0.1, 0.1], "b": [0.1, 0.8, 0.1], "c": [0.2, 0.2, 0.6]}
CAP = Bound("a <= 0.2", np.array([True, False, False]), 0.0, 0.2)


def problem(bounds: tuple[Bound, ...] = (), prior: tuple[float, ...] = (0.2, 0.3, 0.5)) -> Problem:
    some = domains(a=1000, b=1000, c=1000)
    return Problem(some, {"a": 1.0}, False, Limits(some.names, bounds), np.array(prior), seeds=2, seed=7)


def evidence(proxy: TabularProxy) -> Evidence:
    return Evidence(proxy_of=lambda: proxy)


def made(prior, project, limits) -> DoReMiController:  # type: ignore[no-untyped-def]
    return DoReMiController(prior, project=project, limits=limits)


def test_each_seed_has_a_run() -> None:
    proxy = TabularProxy(P, steps=700)
    found = steer_seeds(problem(), evidence(proxy), made, tokens=123, reference="per_domain")
    assert [(each["seed"], each["tokens"], each["reference"]) for each in proxy.asked] == [
        (7, 123, "per_domain"),
        (8, 123, "per_domain"),
    ]
    first = found.trajectories[0]
    assert first.shape == (700, 3)
    np.testing.assert_allclose(found.means(late=False)[0], first.mean(0))
    np.testing.assert_allclose(found.means(late=True)[1], found.trajectories[1][350:].mean(0))
    assert len(found.thinned) == POINTS
    np.testing.assert_array_equal(found.thinned[[0, -1]], first[[0, -1]])
    assert found.facts == {"steps": 700.0, "T x lr": 700.0, "batch tokens": 200}


def test_domains_without_a_prior_have_no_weight_and_no_part_in_limits() -> None:
    some = problem((CAP,), (0.2, 0.0, 0.8))
    found = steer_seeds(some, evidence(TabularProxy(P, 50)), made, reference="per_domain")
    assert not found.trajectories[0][:, 1].any()
    assert max(some.limits.violation(row) for row in found.trajectories[0]) < 1e-12


def test_a_domain_that_cant_be_trained_on_is_told() -> None:
    proxy = TabularProxy({"a": P["a"], "b": P["b"]})
    with pytest.raises(RecipeError, match="weighs c, which the run has no text of"):
        steer_seeds(problem(), evidence(proxy), made, reference="per_domain")


def test_limits_are_kept_at_each_step() -> None:
    language = Bound("a and b >= 0.7", np.array([True, True, False]), 0.7, 1.0)
    some = problem((CAP, language))
    found = steer_seeds(some, evidence(TabularProxy(P, 100)), made, reference="per_domain")
    for trajectory in found.trajectories:
        assert max(some.limits.violation(row) for row in trajectory) < 1e-12
    keep, limits = kept_limits(some, ("a", "b", "c"))
    assert limits == [[["a"], 0.0, 0.2], [["a", "b"], 0.7, 1.0]]
    assert keep is not None
    np.testing.assert_allclose(keep(np.array([0.5, 0.2, 0.3])), [0.2, 0.5, 0.3], atol=1e-12)
    assert kept_limits(problem(), ("a", "b", "c")) == (None, None)


def test_gains_are_within_limits() -> None:
    drive, weights = np.array([3.0, 1.0, 0.0]), np.array([0.1, 0.4, 0.5])
    assert most_gain(problem(), drive, weights) == pytest.approx(3.0 - 0.7)
    assert most_gain(problem((CAP,)), drive, weights) == pytest.approx(0.6 + 0.8 - 0.7)
    assert most_gain(problem((CAP,)), drive, np.array([0.2, 0.8, 0.0])) == pytest.approx(0)
