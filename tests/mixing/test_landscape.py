"""What lies around an answer: against grids of all mixtures of three domains, and against solving again."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from mixing.domains import Domains
from mixing.landscape import EPSILON, PIECES, effects, epsilon_ranges, fronts
from mixing.objective import Objective
from mixing.problem import problem_of
from mixing.settings import mixing_settings
from mixing.solve import solve
from tests.mixing.worlds import Words, domains, words_of, world

THREE = domains(a=100, b=200, c=300)
SIX = domains(ja_web=1_000_000, en_web=30_000_000, ja_wiki=300_000, en_wiki=900_000, ja_books=10_000, en_code=500_000)
WISHES: list[dict[str, Any]] = [
    {},
    {"bounds": {"a": [0.1, 0.45]}},
    {"keep": {"c": 0.01}},
    {"worst_case": 0.5},
    {"prior_strength": 0.1, "bounds": {"c": 0.3}},
    {"worst_case": 0.3, "keep": {"b": 0.02}},
]
STEPS = 100


def objective(table: dict[str, Any], some: Domains = SIX, seed: int = 0, own: bool = True) -> Objective:
    words = words_of(some, seed)
    if not own:
        words = replace(words, held_out=world(len(some), seed=seed + 100))
    return Objective.of(problem_of(mixing_settings(table), some), words)


def grid(task: Objective) -> tuple[np.ndarray, np.ndarray]:
    """(all mixtures of three domains that keep limits and losses, in steps of 1/100; F of each)."""
    steps = np.arange(STEPS + 1) / STEPS
    some = np.array([(a, b, max(1 - a - b, 0.0)) for a in steps for b in steps if a + b <= 1 + 1e-12])
    some = some[[task.problem.limits.violation(each) <= 1e-9 for each in some]]
    losses = np.array([task.losses(each) for each in some])
    kept = np.array([np.all(task.over(each) <= 1e-9) for each in losses])
    return some[kept], np.array([task.value(*each) for each in zip(some[kept], losses[kept], strict=True)])


@pytest.mark.parametrize("number", range(len(WISHES)))
def test_ranges_are_those_of_all_mixtures_as_good(number: int) -> None:
    """The edge of the grid's mixtures as good lies within two of its steps of the true one, inside of it."""
    task = objective({"target": {"a": 0.6, "b": 0.4}, **WISHES[number]}, THREE, seed=number, own=False)
    found = solve(task)
    some, values = grid(task)
    assert found.value <= values.min() + 1e-9
    good = some[values <= found.value + EPSILON * abs(found.value)]
    for i, each in enumerate(epsilon_ranges(task, found.weights)):
        assert each.name == task.problem.domains.names[i]
        assert each.low <= good[:, i].min() + 1e-4
        assert each.high >= good[:, i].max() - 1e-4
        assert good[:, i].min() - each.low <= 2.5 / STEPS
        assert each.high - good[:, i].max() <= 2.5 / STEPS


def test_ranges_of_another_mixtures_problem_are_those_around_the_best() -> None:
    """They say what is as good as the best; the mixture that was asked about need not be."""
    task = objective({"target": {"ja": 1.0}})
    natural, best = task.problem.domains.natural, solve(task).weights
    assert task.value(natural) > (1 + EPSILON) * task.value(best)
    around, of_best = epsilon_ranges(task, natural), epsilon_ranges(task, best)
    assert np.array([(r.low, r.high) for r in around]) == pytest.approx(
        np.array([(r.low, r.high) for r in of_best]), abs=2e-3
    )
    web = task.problem.domains.index("en-web")
    assert around[web].high < natural[web]


def test_ranges_hold_the_answer_and_limits_hold_them() -> None:
    task = objective(
        {"target": {"ja": 1.0}, "bounds": {"en-code": [0.1, 0.2]}, "held_out": ["ja-books"], "tokens": 1e6}
    )
    found = solve(task)
    told: list[tuple[str, int, int]] = []
    ranges = epsilon_ranges(task, found.weights, lambda *each: told.append(each))
    for each, weight in zip(ranges, found.weights, strict=True):
        assert each.low - 1e-9 <= weight <= each.high + 1e-9
    by_name = {each.name: each for each in ranges}
    assert 0.1 - 1e-9 <= by_name["en-code"].low <= by_name["en-code"].high <= 0.2 + 1e-9
    assert (by_name["ja-books"].low, by_name["ja-books"].high) == (0, 0)
    assert told[-1][1:] == (6, 6)


def test_ranges_leave_out_mixtures_that_break_what_is_kept() -> None:
    task = objective({"target": {"ja": 1.0}, "keep": {"en": 0.02}})
    outside = solve(objective({"target": {"ja": 1.0}})).weights
    assert task.over(task.losses(outside)).max() > 0.01
    assert task.value(outside) < solve(task).value  # better, and not allowed
    worst = replace(task, problem=replace(task.problem, keep=()))
    assert epsilon_ranges(worst, outside)[5].high > epsilon_ranges(task, outside)[5].high + 0.01
    ranges, within = epsilon_ranges(task, outside), epsilon_ranges(task, solve(task).weights)
    assert np.array([(r.low, r.high) for r in ranges]) == pytest.approx(
        np.array([(r.low, r.high) for r in within]), abs=2e-3
    )


def test_effects_are_what_solving_without_the_limit_gains() -> None:
    table = {"target": {"ja": 1.0}, "languages": {"ja": [0, 0.4]}, "bounds": {"en-wiki": [0.2, 1], "ja-books": 0.05}}
    task = objective({**table, "held_out": ["en-code"], "types": {"web": 0.9}})
    found = solve(task)
    told = effects(task, found.weights)
    assert {(each.label, each.side) for each in told} == {
        ("language ja <= 0.4", "upper"),
        ("en-wiki >= 0.2", "lower"),
        ("ja-books <= 0.05", "upper"),
    }
    assert [each.gain for each in told] == sorted((each.gain for each in told), reverse=True)
    for each in told:
        freed = replace(task, problem=task.problem.freed_of(each.label))
        again = solve(freed)
        assert each.gain == pytest.approx(found.value - again.value, abs=3e-5)
        assert each.gain > 1e-4
        assert freed.value(each.weights) == pytest.approx(again.value, abs=2e-5)


def test_limits_that_do_not_bind_have_no_effect() -> None:
    task = objective({"target": {"ja": 1.0}, "bounds": {"en-web": 0.9}, "languages": {"ja": [0.1, 1]}})
    assert effects(task, solve(task).weights) == ()


@pytest.mark.parametrize(
    "table",
    [
        {"target": {"ja": 1.0, "en": 1.0}},
        {"target": {"ja": 1.0}},
        {"target": {"ja-web": 1.0, "en-web": 3.0, "wiki": 1.0}, "languages": {"ja": [0.3, 0.5]}},
        {"target": {"ja": 1.0, "en": 1.0}, "keep": {"en": 0.05}},
    ],
)
def test_fronts_fall_one_way_and_rise_the_other(table: dict[str, Any]) -> None:
    """Their ends are the best for one target alone; no random mixture within the limits is better in both."""
    task = objective(table, seed=1)
    limits, sets = task.problem.limits, task.surrogate.sets
    found = fronts(task, solve(task).weights)
    words = list(task.problem.words) + (["the rest"] if len(task.problem.words) == 1 else [])
    assert [(each.first, each.second) for each in found] == [
        (one, other) for i, one in enumerate(words) for other in words[i + 1 :]
    ]
    some = [task.problem.within(each) for each in np.random.default_rng(1).dirichlet(np.ones(6), size=60)]
    losses = np.array([task.losses(each) for each in some if np.all(task.over(task.losses(each)) <= 0)]).reshape(-1, 6)
    for each in found:
        assert len(each.points) == PIECES + 1
        for before, after in pairwise(each.points):
            assert after[0] >= before[0] - 1e-4
            assert after[1] <= before[1] + 1e-4
        rows = []
        for word in (each.first, each.second):
            mine = task.problem.words.get(word) or [s for s in sets if s not in task.problem.words[each.first]]
            rows.append(np.array([(name in mine) / len(mine) for name in sets], float))
        for row, (end, place) in zip(rows, ((each.points[0], 0), (each.points[-1], 1)), strict=True):
            assert end[place] == pytest.approx(solve(replace(task, target=row)).value, abs=2e-4)
        for first, second, weights in each.points:
            assert limits.violation(weights) <= 1e-9
            assert (first, second) == pytest.approx(tuple(row @ task.losses(weights) for row in rows))
            better = (losses @ rows[0] < first - 2e-4) & (losses @ rows[1] < second - 2e-4)
            assert not better.any()


def test_no_front_without_two_words_or_with_too_many() -> None:
    all_sets = objective({"target": dict.fromkeys(SIX.names, 1.0)})
    assert fronts(all_sets, all_sets.problem.prior) == ()
    one = domains(a=10, b=(20, 0))
    alone = Objective.of(problem_of(mixing_settings({}), one), Words(world(2), world(1, held_out=1), ("a",)))
    assert fronts(alone, alone.problem.prior) == ()
