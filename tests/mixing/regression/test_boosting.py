"""Boosting: steps, few runs, and the names' order."""

import numpy as np

from mixing.regression.boosting import REGMIX, Boosting
from tests.mixing.regression.synthetic import mixtures, power_law, stairs, swarm


def test_steps_are_found() -> None:
    runs, at = swarm(stairs, 200), mixtures(300, 5)
    error = Boosting().fit(runs.shares, runs.losses).losses(at) - stairs(at)
    assert np.sqrt(np.mean(error**2)) < 0.35 * runs.losses.std()


def test_with_few_runs_it_does_better_than_with_the_settings_of_regmix() -> None:
    runs, at = swarm(power_law, 30, noise=0.05), mixtures(300, 5)
    ours, theirs = (fit.fit(runs.shares, runs.losses).losses(at) - power_law(at) for fit in (Boosting(), REGMIX))
    assert np.mean(ours**2) < 0.5 * np.mean(theirs**2)


def test_five_runs_do() -> None:
    runs = swarm(power_law, 5)
    assert np.isfinite(Boosting().fit(runs.shares, runs.losses).losses(mixtures(3, 1))).all()


def test_losses_stay_within_those_of_the_runs() -> None:
    runs = swarm(power_law, 40)
    found = Boosting().fit(runs.shares, runs.losses).losses(np.eye(4))
    spread = np.ptp(runs.losses, axis=0)
    assert (found > runs.losses.min(0) - 0.05 * spread).all()
    assert (found < runs.losses.max(0) + 0.05 * spread).all()
