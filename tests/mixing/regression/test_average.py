"""Averages: the mean of what members say."""

import numpy as np

from mixing.regression.average import Average, FittedAverage
from mixing.regression.choose import FITS
from tests.mixing.regression.synthetic import mixtures, power_law, swarm


def test_it_is_the_mean_of_its_members() -> None:
    runs, at = swarm(power_law, noise=0.05), mixtures(9, 1)
    names = ("ridge", "power_law", "boosting")
    average = Average({name: FITS[name] for name in names}).fit(runs.shares, runs.losses)
    each = [FITS[name].fit(runs.shares, runs.losses).losses(at) for name in names]
    np.testing.assert_allclose(average.losses(at), np.mean(each, axis=0), rtol=1e-12)


def test_it_is_smooth_and_convex_where_all_members_are() -> None:
    runs = swarm(power_law)
    fits = {name: fit.fit(runs.shares, runs.losses) for name, fit in FITS.items()}

    def of(*names: str) -> FittedAverage:
        return FittedAverage({name: fits[name] for name in names})

    assert of("power_law", "log_linear").convex
    assert not of("power_law", "ridge").convex
    assert of("power_law", "ridge").differentiable
    assert not of("power_law", "boosting").differentiable
    jacobian = of("power_law", "ridge").gradient(np.full(4, 0.25))[1]
    mean = (fits["power_law"].gradient(np.full(4, 0.25))[1] + fits["ridge"].gradient(np.full(4, 0.25))[1]) / 2
    np.testing.assert_allclose(jacobian, mean, rtol=1e-12)
