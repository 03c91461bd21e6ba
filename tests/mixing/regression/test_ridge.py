"""Ridge: its own world, and the closed form of runs left out against leaving them out."""

import numpy as np
import pytest

from mixing.regression import ridge
from mixing.regression.ridge import Ridge
from tests.mixing.regression.synthetic import curved_lines, mixtures, swarm


def test_its_own_world_is_recovered() -> None:
    runs, at = swarm(curved_lines, 60), mixtures(200, 5)
    fitted = Ridge().fit(runs.shares, runs.losses)
    error = fitted.losses(at) - curved_lines(at)
    assert np.abs(error).max() < 0.02 * runs.losses.std()  # but for the floor under the roots


@pytest.mark.parametrize("strength", [0.03, 1.0, 30.0])
def test_the_strength_chosen_has_the_least_error_on_runs_left_out(strength, monkeypatch) -> None:
    """The closed form against plain loops, with two strengths to choose from."""
    runs = swarm(curved_lines, 25, noise=0.3)
    pair = np.array([strength, 5.0])

    def left_out(one: float) -> np.ndarray:
        monkeypatch.setattr(ridge, "STRENGTHS", np.array([one]))
        features = Ridge().features(runs.shares)
        z = (features - features.mean(0)) / features.std(0)
        errors = []
        for i in range(len(z)):
            kept = np.arange(len(z)) != i
            x, y = np.column_stack([np.ones(kept.sum()), z[kept]]), runs.losses[kept]
            penalty = np.diag([0.0] + [one] * z.shape[1])
            weights = np.linalg.solve(x.T @ x + penalty, x.T @ y)
            errors.append(runs.losses[i] - np.r_[1, z[i]] @ weights)
        return (np.array(errors) ** 2).mean(0)

    errors = np.array([left_out(one) for one in pair])  # [2, J]
    at = mixtures(5, 1)
    alone = []
    for one in pair:
        monkeypatch.setattr(ridge, "STRENGTHS", np.array([one]))
        alone.append(Ridge().fit(runs.shares, runs.losses).losses(at))
    monkeypatch.setattr(ridge, "STRENGTHS", pair)
    both = Ridge().fit(runs.shares, runs.losses).losses(at)
    for j in range(2):
        np.testing.assert_allclose(both[:, j], alone[int(errors[:, j].argmin())][:, j], rtol=1e-10)


def test_only_proportions_count() -> None:
    runs = swarm(curved_lines)
    fitted = Ridge().fit(runs.shares, runs.losses)
    np.testing.assert_allclose(fitted.losses(mixtures(5, 1) * 0.7), fitted.losses(mixtures(5, 1)), rtol=1e-12)
