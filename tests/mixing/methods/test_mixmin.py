"""MixMin: a known mixture is recovered, the paper's EM finds no less, draws and certificate are honest."""

import numpy as np
import pytest

from mixing.evidence import Evidence
from mixing.method import Answer
from mixing.methods.mixmin import Mixmin
from mixing.problem import Problem, problem_of
from mixing.settings import mixing_settings
from tests.mixing.worlds import Words, domains, world


def problem(k: int, **table: object) -> Problem:
    some = domains(**{f"d{i}": 1000 for i in range(k)})
    return problem_of(mixing_settings({"draws": 0, "target": {"d0": 1.0}, **table}), some)


def answer(task: Problem, words: Words) -> Answer:
    return Mixmin().weights(task, Evidence(tables_of=lambda: words))


def by_em(sources: np.ndarray, held_out: np.ndarray, steps: int = 1000) -> np.ndarray:
    """w_i <- w_i E[p_i / sum_j w_j p_j], the expectation over held-out text: after MixMin, arXiv 2502.10510."""
    weights = np.full(len(sources), 1 / len(sources))
    for _ in range(steps):
        weights = weights * ((sources / (weights @ sources)) @ held_out)
    return weights


@pytest.mark.parametrize("seed", range(6))
def test_a_known_mixture_is_recovered(seed: int) -> None:
    """To the accuracy that a gap of 1e-5 bits per byte gives weights; EM finds the same one."""
    sources = world(6, words=40, seed=seed)
    truth = (np.random.default_rng(seed).dirichlet(np.ones(6)) + 0.1) / 1.6
    held_out = truth @ sources
    found = answer(problem(6), Words(sources, held_out[None], ("d0",)))
    assert np.abs(found.weights - truth).sum() < 2e-3
    assert np.abs(by_em(sources, held_out) - truth).sum() < 1e-6


@pytest.mark.parametrize("seed", range(6))
def test_em_finds_no_less(seed: int) -> None:
    """Also where the target is no mixture of the sources and many get nothing."""
    sources, held_out = world(8, words=12, seed=seed), world(1, words=12, seed=seed + 50)
    words = Words(sources, held_out, ("d0",))
    found = answer(problem(8), words)
    assert words.losses(found.weights)[0] <= words.losses(by_em(sources, held_out[0]))[0] + 1e-5
    assert found.certificate is not None
    assert found.certificate.proof
    assert 0 <= found.certificate.gap <= 1e-5
    assert found.facts["objective"] == pytest.approx(words.losses(found.weights)[0], abs=1e-12)


def test_draws_are_repetitions_of_the_answer() -> None:
    sources = world(3, words=10, seed=2)
    truth = np.array([0.5, 0.3, 0.2])
    words = Words(sources, (truth @ sources)[None], ("d0",))
    found = answer(problem(3, draws=12), words)
    assert found.replicates.shape == (12, 3)
    assert found.replicates.sum(1) == pytest.approx(np.ones(12))
    assert len(np.unique(found.replicates.round(6), axis=0)) == 12
    assert np.abs(found.replicates.mean(0) - truth).max() < 0.05
    assert np.array_equal(answer(problem(3, draws=12), words).replicates, found.replicates)
    assert not np.array_equal(answer(problem(3, draws=12, seed=100), words).replicates, found.replicates)
    assert answer(problem(3), words).replicates.shape == (0, 3)


def test_limits_and_wishes_are_kept() -> None:
    words = Words(world(4, seed=1), world(4, seed=1), ("d0", "d1", "d2", "d3"))
    task = problem(4, bounds={"d0": 0.4}, keep={"d3": 0.01}, prior="uniform", draws=3)
    found = answer(task, words)
    assert found.weights[0] == pytest.approx(0.4)
    assert words.losses(found.weights)[3] <= 1.01 * words.losses(task.prior)[3] + 1e-7
    assert all(task.limits.violation(each) <= 1e-9 for each in found.replicates)


def test_losses_that_are_not_convex_prove_nothing() -> None:
    words = Words(world(3), world(1, held_out=1), ("d0",), convex=False)
    found = answer(problem(3), words)
    assert found.certificate is not None
    assert not found.certificate.proof
    assert "not convex" in found.certificate.reason
