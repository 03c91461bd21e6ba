"""DoReMi as a method, on tables instead of tiny models."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jacorpus.errors import RecipeError
from mixing.capacity import capacity
from mixing.evidence import Evidence
from mixing.limits import Bound, Limits
from mixing.method import Answer, method_named
from mixing.methods.doremi import IS_THE_PRIOR
from mixing.problem import Problem
from mixing.steering.doremi import DoReMiController
from tests.mixing.steering.tabular_proxy import TabularProxy
from tests.mixing.worlds import domains, world

TABLE = world(4, words=10, seed=3)
NAMES = ("en-books", "en-web", "ja-books", "ja-web")


def problem(bounds: tuple[Bound, ...] = (), **given: Any) -> Problem:
    some = domains(en_books=4000, en_web=3000, ja_books=1000, ja_web=2000)
    return Problem(some, {"ja-web": 1.0}, False, Limits(some.names, bounds), some.natural, **given)


def asked(options: dict[str, Any], some: Problem, proxy: TabularProxy | None = None) -> tuple[Answer, list[Any]]:
    """(answer, what was told of progress)."""
    told: list[Any] = []
    proxy = proxy or TabularProxy(dict(zip(NAMES, TABLE, strict=True)), steps=400, batch=4000)
    evidence = Evidence(proxy_of=lambda: proxy, progress=lambda *at: told.append(at))
    return method_named("doremi", options).weights(some, evidence), told


def test_the_answer_is_the_capacity_achieving_input() -> None:
    found, _ = asked({}, problem())
    truth = capacity(TABLE).weights
    assert np.abs(found.weights - truth).sum() < 0.03
    assert found.replicates.shape == (3, 4)
    assert 0 < np.ptp(found.replicates, axis=0).max() < 0.05
    np.testing.assert_allclose(found.weights, found.replicates.mean(0), atol=1e-12)
    assert found.trajectory is not None
    assert found.trajectory.shape == (400, 4)
    assert found.certificate is not None
    assert not found.certificate.proof
    assert 0 <= found.certificate.gap < 0.02
    assert found.facts["clip"] == "none"
    assert {"steps", "T x lr", "eta", "c", "batch tokens"} <= set(found.facts)


def test_faithful_takes_the_whole_mean_and_clips_by_token() -> None:
    found, _ = asked({"mode": "faithful"}, problem(seeds=1))
    assert found.facts["clip"] == "token"
    assert found.trajectory is not None
    np.testing.assert_allclose(found.weights, found.trajectory.mean(0), atol=1e-12)


def test_against_a_mixture_the_answer_is_the_prior_and_that_is_said_first() -> None:
    found, told = asked({"reference": "mixture"}, problem())
    assert np.abs(found.weights - problem().prior).sum() < 0.03
    assert told[0][0] == IS_THE_PRIOR
    assert IS_THE_PRIOR in found.notes


def test_rounds_take_the_answer_before_as_the_reference() -> None:
    proxy = TabularProxy(dict(zip(NAMES, TABLE, strict=True)), steps=50)
    found, _ = asked({"reference": "mixture", "rounds": 2}, problem(seeds=1), proxy)
    first, second = (each["reference"] for each in proxy.asked)
    assert first == problem().domains.named(problem().prior)
    assert second != first
    assert len([note for note in found.notes if note.startswith("round")]) == 2


def test_limits_are_kept() -> None:
    cap = Bound("ja-web <= 0.1", np.array([False, False, False, True]), 0.0, 0.1)
    some = problem((cap,))
    some = replace(some, prior=some.within(some.prior))
    found, _ = asked({}, some)
    assert some.limits.violation(found.weights) < 1e-12
    assert found.weights[3] == pytest.approx(0.1)
    assert found.certificate is not None
    assert found.certificate.gap < 0.02, "what limits forbid is no gain"


def test_a_trained_model_is_the_reference_by_its_folder() -> None:
    proxy = TabularProxy(dict(zip(NAMES, TABLE, strict=True)), steps=5)
    asked({"reference": "larger", "larger": "out/model"}, problem(seeds=1), proxy)
    assert proxy.asked[0]["reference"] == Path("out/model")


def test_a_finished_run_that_was_only_read_has_no_certificate() -> None:
    proxy = TabularProxy(dict(zip(NAMES, TABLE, strict=True)), steps=5)
    run = proxy.steer(DoReMiController(dict.fromkeys(NAMES, 1.0)), reference="per_domain", seed=0)
    proxy.steer = lambda controller, **options: run  # type: ignore[method-assign]
    found, _ = asked({}, problem(seeds=1), proxy)
    assert found.certificate is None
    assert found.facts["steps"] == 5.0


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(RecipeError, match="can't follow a target"):
        asked({}, replace(problem(), given=True))
    for options in ({"reference": "larger"}, {"larger": "x"}, {"rounds": 2}, {"rounds": 0}):
        with pytest.raises(RecipeError):
            method_named("doremi", options)
