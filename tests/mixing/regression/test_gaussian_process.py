"""Gaussian process: against scikit-learn's at the same kernel, its likelihood's slopes, lengths that tell domains
apart."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from mixing.regression import gaussian_process as module
from mixing.regression.gaussian_process import GaussianProcess, places
from tests.mixing.regression.synthetic import K, mixtures, power_law, swarm, waves


def test_at_its_kernel_it_predicts_what_scikit_learn_does() -> None:
    pytest.importorskip("sklearn")
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel

    runs, at = swarm(waves, noise=0.1), mixtures(30, 2)
    fitted = GaussianProcess().fit(runs.shares, runs.losses)
    standard = fitted.scale.standard(runs.losses)
    for j, kernel in enumerate(fitted.kernels):
        theirs = GaussianProcessRegressor(
            ConstantKernel(np.exp(kernel[K]), "fixed") * RBF(np.exp(kernel[:K]), "fixed"),
            alpha=np.exp(kernel[K + 1]),
            optimizer=None,
        ).fit(places(runs.shares), standard[:, j])
        expected = fitted.scale.center[j] + fitted.scale.spread[j] * theirs.predict(places(at))
        np.testing.assert_allclose(fitted.losses(at)[:, j], expected, rtol=1e-8)


def test_the_kernel_makes_the_runs_likelier_than_its_neighbors_do() -> None:
    """The posterior, written plainly, has no better point within a few percent of the kernel found."""
    runs = swarm(waves, noise=0.1)
    at = places(runs.shares)
    fitted = GaussianProcess().fit(runs.shares, runs.losses)
    standard = fitted.scale.standard(runs.losses)[:, 0]
    middle = 0.5 * np.log(2 * at.var(axis=0).sum() + module.FLOOR)

    def posterior(logs: np.ndarray) -> float:
        matrix = np.exp(logs[K]) * module.similarity(at, at, np.exp(logs[:K])) + np.exp(logs[-1]) * np.eye(len(at))
        prior = -0.5 * np.sum((logs[:K] - middle) ** 2)
        return float(multivariate_normal(np.zeros(len(at)), matrix).logpdf(standard) + prior)

    best = posterior(fitted.kernels[0])
    for step in 0.05 * np.vstack([np.eye(K + 2), -np.eye(K + 2)]):
        assert posterior(fitted.kernels[0] + step) < best + 1e-6


def test_a_domain_that_does_not_matter_gets_a_great_length() -> None:
    runs = swarm(lambda shares: np.sin(4 * np.sqrt(shares[:, :1])) + 0 * shares, 60, noise=0.02)
    lengths = np.exp(GaussianProcess().fit(runs.shares, runs.losses[:, :1]).kernels[0, :K])
    assert lengths[0] * 2 < lengths[1:].min()


def test_lengths_of_a_part_of_the_runs_serve_all() -> None:
    runs, at = swarm(waves, 120, noise=0.05), mixtures(200, 5)
    whole = GaussianProcess().fit(runs.shares, runs.losses).losses(at) - waves(at)
    some = GaussianProcess(most=50).fit(runs.shares, runs.losses).losses(at) - waves(at)
    assert np.sqrt(np.mean(some**2)) < 1.5 * np.sqrt(np.mean(whole**2))


def test_runs_that_are_there_twice_do_no_harm() -> None:
    runs = swarm(power_law, 20)
    twice = GaussianProcess().fit(np.tile(runs.shares, (2, 1)), np.tile(runs.losses, (2, 1)))
    assert np.isfinite(twice.losses(mixtures(9, 1))).all()
