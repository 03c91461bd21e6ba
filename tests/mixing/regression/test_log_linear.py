"""Log-linear: its own world with its constants, a run gone wrong, the gauge."""

import numpy as np

from mixing.regression.log_linear import LogLinear
from tests.mixing.regression.synthetic import SLOPES, log_linear, mixtures, swarm


def test_its_own_world_is_recovered() -> None:
    runs, at = swarm(log_linear, 60), mixtures(200, 5)
    fitted = LogLinear(pull=1e-6, steps=2000).fit(runs.shares, runs.losses)
    np.testing.assert_allclose(fitted.losses(at), log_linear(at), atol=1e-4)
    np.testing.assert_allclose(fitted.slopes, SLOPES - SLOPES.max(axis=1, keepdims=True), atol=2e-3)
    np.testing.assert_allclose(fitted.scale.losses(fitted.floor), 0.8, atol=2e-3)


def test_the_usual_pull_moves_it_little() -> None:
    runs, at = swarm(log_linear, 30), mixtures(200, 5)
    fitted = LogLinear().fit(runs.shares, runs.losses)
    assert np.sqrt(np.mean((fitted.losses(at) - log_linear(at)) ** 2)) < 0.03 * runs.losses.std()


def test_a_run_gone_wrong_hardly_bends_the_rest() -> None:
    runs, at = swarm(log_linear, 40), mixtures(200, 5)
    spoiled = runs.losses.copy()
    spoiled[7] += 5 * runs.losses.std()
    robust = LogLinear().fit(runs.shares, spoiled).losses(at) - log_linear(at)
    squares = LogLinear(huber=1e6).fit(runs.shares, spoiled).losses(at) - log_linear(at)
    assert np.abs(robust).mean() < 0.35 * np.abs(squares).mean()


def test_less_text_never_lowers_a_loss() -> None:
    runs, at = swarm(log_linear), mixtures(50, 5)
    fitted = LogLinear().fit(runs.shares, runs.losses)
    assert (fitted.losses(at * 0.8) >= fitted.losses(at) - 1e-12).all()
    assert fitted.convex
    assert (fitted.slopes.max(axis=1) == 0).all()
