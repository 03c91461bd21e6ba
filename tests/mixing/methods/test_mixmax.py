"""MixMax: with each domain's own loss as reference it is the input that a channel's capacity is reached with."""

import math

import numpy as np
import pytest

from mixing.capacity import capacity, z_channel, z_channel_capacity
from mixing.evidence import Evidence
from mixing.method import Answer
from mixing.methods.mixmax import Mixmax, own_losses
from mixing.problem import Problem, problem_of
from mixing.settings import mixing_settings
from tests.mixing.worlds import Words, domains, world


def problem(k: int, **table: object) -> Problem:
    some = domains(**{f"d{i}": 1000 * (i + 1) for i in range(k)})
    return problem_of(mixing_settings({"draws": 0, **table}), some)


def answer(task: Problem, channel: np.ndarray, method: Mixmax = Mixmax()) -> Answer:  # noqa: B008
    words = Words(channel, channel, task.domains.names)
    return method.weights(task, Evidence(tables_of=lambda: words))


@pytest.mark.parametrize("seed", range(24))
def test_it_reaches_capacity(seed: int) -> None:
    """Inputs: channels with no fewer outputs than inputs, so that the best input is one."""
    draw = np.random.default_rng(seed)
    k = int(draw.integers(2, 9))
    outputs, spread = int(draw.integers(k, 30)), float(draw.choice([0.2, 0.5, 1.0, 3.0]))
    channel = draw.dirichlet(np.full(outputs, spread), size=k)
    truth, found = capacity(channel), answer(problem(k), channel)
    assert np.abs(found.weights - truth.weights).sum() <= 2e-3
    assert found.facts["worst excess"] == pytest.approx(truth.nats / math.log(2), abs=1e-6)
    assert found.certificate is not None
    assert found.certificate.gap <= 1e-5


@pytest.mark.parametrize("q", [0.1, 0.3, 0.5])
def test_the_z_channel(q: float) -> None:
    found = answer(problem(2), z_channel(q))
    assert found.weights == pytest.approx(z_channel_capacity(q).weights, abs=1e-4)


def test_over_the_prior_the_prior_is_the_answer() -> None:
    """No mixture is better than another on all domains, where held-out text is of the domains' own distributions."""
    task = problem(3, prior={"d0": 1, "d1": 5, "d2": 4})
    found = answer(task, world(3, words=6, seed=3), Mixmax("prior"))
    assert found.weights == pytest.approx(task.prior, abs=1e-4)
    assert found.facts["worst excess"] == pytest.approx(0, abs=1e-9)


def test_over_the_prior_by_brute_force() -> None:
    """Held-out text of other distributions."""
    task = problem(3)
    words = Words(world(3, words=6, seed=3), world(3, words=6, seed=30), task.domains.names)
    found = Mixmax("prior").weights(task, Evidence(tables_of=lambda: words))
    worst = (words.losses(found.weights) - words.losses(task.prior)).max()
    assert found.facts["worst excess"] == pytest.approx(worst, abs=1e-9)
    assert worst < -1e-3
    steps = np.linspace(0, 1, 201)
    grid = [np.array([a, b, max(1 - a - b, 0)]) for a in steps for b in steps if a + b <= 1 + 1e-12]
    best = min((words.losses(each) - words.losses(task.prior)).max() for each in grid)
    assert best - 5e-3 < worst <= best + 1e-6


def test_other_wishes_do_not_count_and_limits_do() -> None:
    channel = world(4, seed=5)
    free = answer(problem(4), channel).weights
    wishes = {"prior_strength": 3.0, "worst_case": 0.1, "keep": {"d0": 0.0}}
    assert answer(problem(4, **wishes), channel).weights == pytest.approx(free, abs=1e-9)
    bound = answer(problem(4, bounds={"d0": [0.6, 1]}), channel)
    assert bound.weights[0] == pytest.approx(0.6)
    assert float(bound.facts["worst excess"]) > capacity(channel).nats / math.log(2)


def test_references_are_of_a_domains_own_mixture_where_there_is_one() -> None:
    some = domains(a=100, b=0, c=100)
    table = world(3, words=6, seed=1)
    words = Words(table, table, some.names)
    task = problem_of(mixing_settings({"held_out": ["c"]}), some)
    found = own_losses(task, words)
    assert found[0] == pytest.approx(words.losses(np.array([1.0, 0, 0]))[0])
    assert found[1] == pytest.approx(words.losses(task.prior)[1])
    assert found[2] == pytest.approx(words.losses(np.array([0, 0, 1.0]))[2])


def test_draws() -> None:
    found = answer(problem(3, draws=5), world(3, words=6, seed=3))
    assert found.replicates.shape == (5, 3)
    assert 0 < np.abs(found.replicates - found.weights).sum(1).max() < 0.5
