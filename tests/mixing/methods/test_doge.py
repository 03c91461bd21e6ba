"""DoGE as a method, on tables instead of tiny models."""

from typing import Any

import numpy as np

from mixing.evidence import Evidence
from mixing.limits import Bound, Limits
from mixing.method import Answer, method_named
from mixing.problem import Problem
from tests.mixing.steering.tabular_proxy import TabularProxy
from tests.mixing.worlds import domains

P = {
    "en-books": [0.60, 0.30, 0.05, 0.05],
    "en-web": [0.50, 0.35, 0.10, 0.05],
    "ja-books": [0.05, 0.05, 0.60, 0.30],
    "ja-web": [0.05, 0.10, 0.35, 0.50],
}


def asked(options: dict[str, Any], target: str = "", bounds: tuple[Bound, ...] = ()) -> tuple[Answer, TabularProxy]:
    some = domains(en_books=4000, en_web=3000, ja_books=1000, ja_web=2000)
    sets = {target: 1.0} if target else dict.fromkeys(some.names, 0.25)
    problem = Problem(some, sets, bool(target), Limits(some.names, bounds), some.natural, seeds=2)
    proxy = TabularProxy(P, steps=200)
    return method_named("doge", options).weights(problem, Evidence(proxy_of=lambda: proxy)), proxy


def test_a_targets_own_kind_gains() -> None:
    found, proxy = asked({}, "ja-web")
    prior = np.array([0.4, 0.3, 0.1, 0.2])
    assert found.weights[3] > 2 * prior[3]
    assert found.weights[2] > prior[2]
    assert found.weights[2] / found.weights[0] > prior[2] / prior[0]
    assert proxy.asked[0]["target"] == {"ja-web": 1.0}
    assert found.replicates.shape == (2, 4)
    assert found.notes == ()


def test_without_a_target_it_follows_the_priors_mixture() -> None:
    found, proxy = asked({})
    assert list(proxy.asked[0]["target"].values()) == [0.4, 0.3, 0.1, 0.2]
    assert "no target" in found.notes[0]
    faithful, _ = asked({"mode": "faithful"})
    assert faithful.trajectory is not None
    np.testing.assert_allclose(faithful.weights, faithful.trajectory.mean(0), atol=1e-12)


def test_a_stronger_pull_stays_nearer_to_the_prior() -> None:
    prior = np.array([0.4, 0.3, 0.1, 0.2])
    far = [np.abs(asked({"pull": pull}, "ja-web")[0].weights - prior).sum() for pull in (0.1, 1.0, 10.0)]
    assert far[0] > far[1] > far[2]
    assert far[2] < 0.15


def test_limits_are_kept() -> None:
    cap = Bound("ja-web <= 0.25", np.array([False, False, False, True]), 0.0, 0.25)
    found, _ = asked({}, "ja-web", (cap,))
    assert cap.total(found.weights) <= 0.25 + 1e-12
    assert cap.total(found.weights) > 0.24
