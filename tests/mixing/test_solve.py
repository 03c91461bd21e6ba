"""The solver: against other solvers, brute force and its own certificate, with every kind of wish and limit."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from jacorpus.errors import RecipeError
from mixing.objective import Objective
from mixing.problem import Problem, problem_of
from mixing.settings import mixing_settings
from mixing.solve import bound, descend, solve
from tests.mixing.worlds import Words, domains, words_of, world

SOME = domains(ja_web=1_000_000, en_web=30_000_000, ja_wiki=300_000, en_wiki=900_000, ja_books=10_000, en_code=500_000)
TASKS: list[dict[str, Any]] = [
    {"target": {"ja": 1.0}},
    {"target": {"ja": 1.0}, "languages": {"ja": [0.0, 0.5]}, "bounds": {"en-code": [0.1, 1.0]}},
    {"target": {"ja": 2.0, "en-wiki": 1.0}, "types": {"web": [0.3, 0.4]}, "tokens": 2e6, "epochs": 4},
    {"target": {"ja": 1.0}, "languages": {"ja": 0.5}, "keep": {"en": 0.02}},
    {"target": {"ja": 1.0, "en": 1.0}, "worst_case": 0.5, "prior_strength": 0.05},
    {"target": {"ja-web": 1.0}, "worst_case": 0.3, "keep": {"en": 0.02, "books": 0.0}, "languages": {"ja": [0.1, 0.6]}},
]


def problem(table: dict[str, Any]) -> Problem:
    return problem_of(mixing_settings(table), SOME)


def objective(table: dict[str, Any], seed: int = 0) -> Objective:
    return Objective.of(problem(table), words_of(SOME, seed))


def by_trust_constr(task: Objective) -> float:
    """F of another algorithm of another kind, with an epigraph variable."""
    from scipy.optimize import Bounds, LinearConstraint, NonlinearConstraint

    limits, k = task.problem.limits, len(SOME)
    rows = [np.append(np.ones(k), 0.0)] + [np.append(group.members.astype(float), 0) for group in limits.groups]
    low, high = [1.0, *(g.lower for g in limits.groups)], [1.0, *(g.upper for g in limits.groups)]
    rules: list[Any] = [LinearConstraint(np.array(rows), low, high)]

    def soft(x: np.ndarray) -> np.ndarray:
        return np.maximum(x[:k], 1e-9)

    if task.problem.worst_case:
        rules.append(NonlinearConstraint(lambda x: x[k] - task.excess(task.losses(soft(x))), 0, np.inf))
    if task.problem.keep:
        rules.append(NonlinearConstraint(lambda x: -task.over(task.losses(soft(x))), 0, np.inf))
    found = minimize(
        lambda x: task.wanted(task.losses(soft(x))) + task.pull(soft(x))[0] + task.problem.worst_case * x[k],
        np.append(task.problem.prior, 1.0),
        method="trust-constr",
        constraints=rules,
        bounds=Bounds(np.append(limits.lower, -5), np.append(limits.upper, 5)),
        options={"maxiter": 1500, "gtol": 1e-9, "xtol": 1e-10},
    )
    return float(found.fun)


@pytest.mark.parametrize("number", range(len(TASKS)))
def test_no_other_solver_finds_less(number: int) -> None:
    task = objective(TASKS[number])
    found = solve(task)
    assert found.value == pytest.approx(task.value(found.weights), abs=1e-12)
    assert found.value <= by_trust_constr(task) + 2e-5
    assert found.gap <= 2e-5
    assert task.problem.limits.violation(found.weights) <= 1e-9
    assert np.all(task.over(found.losses) <= 1e-9)
    assert found.certificate.proof


@pytest.mark.parametrize("number", range(len(TASKS)))
def test_the_bound_is_below_every_mixture(number: int) -> None:
    """Also at points that are far from the optimum."""
    task = objective(TASKS[number], seed=3)
    draw, limits = np.random.default_rng(5), task.problem.limits
    some = [task.problem.within(each) for each in draw.dirichlet(np.ones(len(SOME)), size=40)]
    allowed = [task.value(each) for each in some if np.all(task.over(task.losses(each)) <= 0)]
    best = solve(task).value
    for each in some[:8]:
        assert bound(task, each) <= best + 1e-9
    assert min(allowed, default=np.inf) >= best - 1e-9
    assert limits.violation(some[0]) <= 1e-9


def test_three_domains_by_brute_force() -> None:
    some = domains(a=100, b=100, c=100)
    table = world(3, words=5, seed=2)
    task = Objective.of(
        problem_of(mixing_settings({"target": {"a": 0.6, "b": 0.4}, "bounds": {"a": [0.1, 0.45]}}), some),
        Words(table, world(3, words=5, seed=9), some.names),
    )
    steps = np.linspace(0, 1, 401)
    best = min(
        task.value(np.array([a, b, max(1 - a - b, 0.0)]))
        for a in steps[(steps >= 0.1) & (steps <= 0.45)]
        for b in steps
        if a + b <= 1 + 1e-12
    )
    found = solve(task).value
    assert found <= best + 1e-12
    assert best - found < 2e-5


def test_a_known_mixture_is_recovered() -> None:
    """Held-out text that is a mixture of independent sources: MixMin's own check."""
    some = domains(a=1, b=1, c=1, d=1)
    sources = world(4, words=30, seed=1)
    truth = np.array([0.1, 0.2, 0.3, 0.4])
    task = Objective.of(
        problem_of(mixing_settings({"target": {"a": 1.0}}), some), Words(sources, (truth @ sources)[None], ("a",))
    )
    assert np.abs(solve(task, tolerance=1e-13).weights - truth).sum() < 1e-4


def test_order_of_domains_changes_nothing() -> None:
    """Names decide; the same world under names that sort otherwise gives the same mixture."""
    table, held_out = world(4, seed=4), world(4, seed=5)
    first = domains(a=100, b=200, c=300, d=400)
    second = domains(d=100, c=200, b=300, a=400)
    wishes = mixing_settings({"target": {"a": 0.5, "b": 0.5}, "bounds": {"c": [0.2, 1.0]}})
    turned = mixing_settings({"target": {"d": 0.5, "c": 0.5}, "bounds": {"b": [0.2, 1.0]}})
    one = solve(Objective.of(problem_of(wishes, first), Words(table, held_out, first.names)))
    other = solve(Objective.of(problem_of(turned, second), Words(table[::-1], held_out[::-1], second.names)))
    assert other.weights[::-1] == pytest.approx(one.weights, abs=2e-6)
    assert other.value == pytest.approx(one.value, abs=1e-9)


def test_repeats_are_worth_less() -> None:
    """A source too small for its share gets less of it, without a cap."""
    some = domains(a=1000, b=10_000_000)
    table = world(2, words=8, seed=7)
    plain = mixing_settings({"target": {"a": 1.0}, "tokens": 1e6, "repeats": False})
    words = Words(table, table, some.names)
    free = solve(Objective.of(problem_of(plain, some), words)).weights
    wise = solve(Objective.of(problem_of(replace(plain, repeats=True), some), words)).weights
    assert free[0] > 0.99
    assert wise[0] < 0.2


def test_losses_that_cannot_be_kept_are_named() -> None:
    table = {"target": {"ja": 1.0}, "keep": {"en": 0.0, "ja": 0.0}, "languages": {"ja": [0.9, 1.0]}}
    hard = objective({**table, "prior": {"en-web": 1.0}, "languages": {}})
    assert np.all(hard.over(solve(hard).losses) <= 1e-9)
    task = objective(table)
    strict = replace(task, problem=replace(task.problem, keep=(("en", {"en-web": 1.0}, -0.5),)))
    with pytest.raises(RecipeError, match=r"keep\.en = -0\.5 can't be met.*at best"):
        solve(strict)


def test_mirror_descent_alone_falls_at_every_step() -> None:
    task = objective(TASKS[1])
    values = [task.value(each) for each in descend(task, task.problem.limits, task.problem.prior)]
    assert len(values) > 5
    assert all(after <= before + 1e-12 for before, after in pairwise(values))
