"""Power law: its own world with few runs, what domains are worth, sense where no run is."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mixing.regression import power_law as module
from mixing.regression.power_law import PowerLaw
from tests.mixing.regression.synthetic import WORTH, mixtures, power_law, swarm


def test_its_own_world_is_recovered() -> None:
    runs, at = swarm(power_law, 60), mixtures(200, 5)
    fitted = PowerLaw(pulls=(1e-6,), steps=2000).fit(runs.shares, runs.losses)
    np.testing.assert_allclose(fitted.losses(at), power_law(at), atol=2e-3)
    np.testing.assert_allclose(fitted.rates, WORTH, atol=0.02)


def test_ten_runs_are_enough_to_rank() -> None:
    runs, at = swarm(power_law, 10, noise=0.02), mixtures(300, 5)
    fitted = PowerLaw().fit(runs.shares, runs.losses)
    for predicted, true in zip(fitted.losses(at).T, power_law(at).T, strict=True):
        assert np.corrcoef(predicted.argsort().argsort(), true.argsort().argsort())[0, 1] > 0.95


@given(st.integers(0, 10**6))
def test_losses_fall_with_every_share_and_are_convex(seed: int) -> None:
    draw = np.random.default_rng(seed)
    runs = swarm(lambda shares: draw.normal(size=(len(shares), 2)), 12, seed % 7)  # any losses at all
    fitted = PowerLaw(steps=30).fit(runs.shares, runs.losses)
    one, other = draw.dirichlet(np.full(4, 0.3), 2)
    assert (fitted.gradient(one)[1] <= 0).all()
    assert (fitted.losses((one + other) / 2) <= (fitted.losses(one) + fitted.losses(other)) / 2 + 1e-9).all()
    assert fitted.convex


def test_it_stays_sensible_where_no_run_is() -> None:
    runs = swarm(power_law, 12, noise=0.1)
    at_corners = PowerLaw().fit(runs.shares, runs.losses).losses(np.eye(4))
    assert np.abs(at_corners - runs.losses.mean(0)).max() < 10 * runs.losses.std()


def test_the_jacobian_is_that_of_the_residuals() -> None:
    runs, draw = swarm(power_law, 9), np.random.default_rng(0)
    problem = module._Problem(runs.shares, runs.losses[:, 0], 0.3)
    at = draw.normal(size=8) * 0.7
    by_difference = [
        (problem.residuals(at + step) - problem.residuals(at - step)) / 2e-6 for step in 1e-6 * np.eye(len(at))
    ]
    np.testing.assert_allclose(problem.jacobian(at), np.transpose(by_difference), rtol=1e-5, atol=1e-6)
