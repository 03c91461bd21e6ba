"""Worlds with known answers, and what DoReMi makes of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacorpus.errors import RecipeError
from mixing.capacity import z_channel, z_channel_capacity
from mixing.steering.doremi import DoReMiController
from mixing.tabular import (
    TabularRun,
    TabularWorld,
    numbered,
    pseudo_count_error,
    pseudo_count_error_naive,
)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).sum())


def even(world: TabularWorld, **settings: Any) -> DoReMiController:
    return DoReMiController(dict.fromkeys(world.names, 1.0), **settings)


def drawn(seed: int, k: int = 5, V: int = 20) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(V, 0.5), k), rng.dirichlet(np.full(k, 3.0))


class Watching:
    """Answers with fixed weights and keeps what it heard."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.weights, self.heard = weights, []

    def update(self, stats: dict[str, Any]) -> Mapping[str, float]:
        self.heard.append(stats)
        return self.weights


@pytest.mark.parametrize("q", [0.1, 0.3, 0.5])
def test_doremi_reaches_a_channels_capacity(q: float) -> None:
    world, truth = TabularWorld.per_domain(z_channel(q)), z_channel_capacity(q).weights
    run = world.run(even(world, smoothing=0.0), 4000)
    assert distance(run.mean, truth) < 2e-3
    assert distance(run.late, truth) < 1e-9
    clipped = world.run(even(world, smoothing=0.0, clip="token"), 4000)
    assert distance(clipped.late, truth) > 0.1, "clipping by token moves the fixed point"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_doremi_reaches_capacity_in_many_worlds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.full(int(rng.integers(10, 201)), rng.choice([0.1, 0.3, 1.0])), int(rng.integers(2, 9)))
    world = TabularWorld.per_domain(P)
    run = world.run(even(world, smoothing=0.0))
    assert distance(run.late, world.best.weights) < 2e-3
    assert distance(run.mean, world.best.weights) < 3e-3


@pytest.mark.parametrize(
    ("settings", "within"),
    [({"smoothing": 0.0}, 1e-3), ({"clip": "token"}, 1e-3), ({"clip": "domain"}, 1e-3), ({"decay": True}, 5e-3)],
)
def test_a_reference_of_the_same_kind_makes_its_own_mixture_the_answer(settings: dict[str, Any], within: float) -> None:
    P, weights = drawn(3)
    world = TabularWorld.mixture(P, weights)
    controller = DoReMiController(dict(zip(world.names, weights, strict=True)), **settings)
    assert distance(world.run(controller, 3000).late, weights) < within
    assert distance(world.best.weights, weights) < 1e-8
    assert abs(world.best.nats) < 1e-12


def test_an_even_pull_misses_it() -> None:
    P, weights = drawn(3)
    world = TabularWorld.mixture(P, weights)
    run = world.run(even(world, mode="faithful", eta=0.1), 3000)
    assert distance(run.late, weights) > 0.01


@given(st.integers(0, 1000))
def test_no_weights_are_worth_more_than_zero_against_ones_own_kind(seed: int) -> None:
    P, reference = drawn(seed)
    world = TabularWorld.mixture(P, reference)
    weights = np.random.default_rng(seed).dirichlet(np.full(5, 0.5))
    pooled, best = weights @ P, reference @ P
    assert world.value(weights) == pytest.approx(-(pooled * np.log(pooled / best)).sum(), abs=1e-12)
    assert world.value(weights) <= 1e-14
    assert world.value(reference) == pytest.approx(0, abs=1e-14)


def test_a_larger_reference_lies_between() -> None:
    P, weights = drawn(8)
    world = TabularWorld.larger(P, weights, 0.6)
    run = world.run(even(world, smoothing=0.0), 3000)
    assert distance(run.late, world.best.weights) < 1e-3
    values = [TabularWorld.larger(P, weights, share).best.nats for share in (0.0, 0.3, 0.6, 1.0)]
    assert values == sorted(values)


def test_unclipped_doremi_on_best_replies_is_the_arimoto_blahut_iteration() -> None:
    P, _ = drawn(1)
    world = TabularWorld.per_domain(P)
    run = world.run(even(world, smoothing=0.0), 50, learner="best_reply")
    weights = np.full(5, 0.2)
    for row in run.trajectory:
        weights = weights * np.exp((P * np.log(P / (weights @ P))).sum(1))
        weights /= weights.sum()
        np.testing.assert_allclose(row, weights, atol=1e-13)


def totals(run: TabularRun, names: tuple[str, ...]) -> np.ndarray:
    """Weights of domains whose parts are named NAME/NN, [T, k]."""
    found = np.zeros((len(run.trajectory), len(names)))
    for i, part in enumerate(run.names):
        found[:, names.index(part.partition("/")[0])] += run.trajectory[:, i]
    return found


@pytest.mark.parametrize("reference", ["per_domain", "mixture"])
@pytest.mark.parametrize("copies", [2, 4, 10])
def test_cutting_a_domain_into_copies_changes_nothing_anchored(reference: str, copies: int) -> None:
    P, prior = drawn(5)
    world = TabularWorld.per_domain(P) if reference == "per_domain" else TabularWorld.mixture(P, prior)
    parts, named = world.split("domain002", copies), dict(zip(world.names, prior, strict=True))
    own = {n: named[n.partition("/")[0]] / (copies if "/" in n else 1) for n in parts.names}
    change = {}
    for mode in ("anchored", "faithful"):
        whole = world.run(DoReMiController(named, mode), 500)
        cut = totals(parts.run(DoReMiController(own, mode), 500), world.names)
        change[mode] = np.abs(cut - whole.trajectory).sum(1).max()
    assert change["anchored"] < 1e-12
    assert change["faithful"] > 1e-2


def test_a_step_is_a_gradient_step_on_the_weighted_loss() -> None:
    P, weights = drawn(2, k=3, V=6)
    world = TabularWorld.per_domain(P)
    watching = Watching(dict(zip(world.names, weights * 7, strict=True)))
    run = world.run(watching, 2, lr=0.5)
    np.testing.assert_allclose(run.trajectory, [weights, weights])
    first = np.exp(0.5 * (weights @ P - 1 / 6))
    q = first / first.sum()
    heard = watching.heard[1]
    assert heard["step"] == 1
    for i, name in enumerate(world.names):
        assert heard["loss"][name] == pytest.approx(-(P[i] @ np.log(q)))
        assert heard["excess"][name] == pytest.approx(P[i] @ np.log(P[i] / q))
        assert heard["clipped_excess"][name] == pytest.approx(P[i] @ np.maximum(np.log(P[i] / q), 0))


def test_batches_are_drawn_by_seed_and_may_lack_a_domain() -> None:
    P, weights = drawn(2)
    world = TabularWorld.per_domain(P)
    heard = []
    for seed in (0, 0, 1):
        watching = Watching(dict(zip(world.names, weights, strict=True)))
        world.run(watching, 30, batch=6, seed=seed)
        heard.append(watching.heard)
    assert heard[0] == heard[1] != heard[2]
    assert all(sum(stats["tokens"].values()) == 6 for stats in heard[0])
    lacking = [stats for stats in heard[0] if not all(stats["tokens"].values())]
    assert lacking
    assert all({n for n, count in s["tokens"].items() if count} == set(s["excess"]) for s in lacking)


def test_large_batches_are_near_expectations() -> None:
    P, _ = drawn(2)
    world = TabularWorld.per_domain(P)
    exact = world.run(even(world), 300).mean
    assert distance(world.run(even(world), 300, batch=200_000).mean, exact) < 2e-3
    assert distance(world.run(even(world), 300, batch=16).mean, exact) > 2e-2


def test_a_controller_of_other_domains_is_told() -> None:
    with pytest.raises(RecipeError, match="the world has domain000, domain001"):
        TabularWorld.per_domain(z_channel(0.5)).run(Watching({"a": 1.0}), 1)


def test_names_stay_sorted_when_a_domain_is_cut() -> None:
    world = TabularWorld(np.eye(3), np.eye(3), ("a", "a.b", "c")).split("a", 2)
    assert world.names == ("a.b", "a/00", "a/01", "c")
    assert world.distributions.tolist() == np.eye(3)[[1, 0, 0, 2]].tolist()
    assert numbered(2) == ("domain000", "domain001")


@pytest.mark.parametrize(("V", "n", "mass"), [(2, 12, 1.0), (3, 8, 0.5), (4, 6, 3.0), (3, 5, 0.0)])
def test_pseudo_counts_err_as_lemma_1_says(V: int, n: int, mass: float) -> None:
    rng = np.random.default_rng(V)
    p, prior = rng.dirichlet(np.ones(V)), rng.dirichlet(np.ones(V))
    closed = pseudo_count_error(p, prior, n, mass)
    assert closed == pytest.approx(pseudo_count_error_naive(p, prior, n, mass), abs=1e-12)
    assert closed > 0
