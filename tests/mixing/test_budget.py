"""The budget planner beside brute force and beside a solver of others, within limits of every kind."""

from collections.abc import Sequence

import numpy as np
import pytest

from jacorpus.errors import RecipeError
from mixing.budget import Budget, Spending, epoch_bounds, spend
from mixing.limits import Bound, Limits
from mixing.repeats import effective, next_value
from mixing.scaling import law_named

LAW = law_named("besiroglu")


def instance(seed: int, most: int = 12, caps: bool = True) -> Budget:
    """Random sources, pools and limits around a mixture that keeps them all."""
    draw = np.random.default_rng(seed)
    k = int(draw.integers(2, most + 1))
    names = tuple(f"s{i:02}" for i in range(k))
    unique, tokens = np.exp(draw.uniform(np.log(1e8), np.log(3e12), k)), float(np.exp(draw.uniform(23, 30)))
    pools = tuple(f"l{i % int(draw.integers(1, min(k, 4) + 1))}" for i in range(k))
    inside, bounds = draw.dirichlet(np.ones(k)), []
    if caps and draw.random() < 0.6:
        bounds += epoch_bounds(names, unique, tokens, np.maximum(draw.choice([1, 2, 4], k), inside * tokens / unique))
    groups = [np.array([p == pool for p in pools]) for pool in sorted(set(pools))] + [draw.random(k) < 0.5]
    for number, members in enumerate(groups):
        if draw.random() < 0.6 and members.any():
            total, room = inside[members].sum(), draw.choice([0, 0.02, 0.2])
            bounds.append(Bound(f"group {number}", members, min(1, max(0, total - room)), min(1, total + room)))
    for i in range(k):
        if draw.random() < 0.2:
            bounds.append(Bound(names[i], np.arange(k) == i, inside[i] / 2, min(1, inside[i] * 1.5)))
    importance = {pool: float(draw.uniform(0.1, 1)) for pool in sorted(set(pools))}
    quality = draw.uniform(0.3, 1.5, k) if draw.random() < 0.5 else None
    return Budget(names, unique, pools, tokens, LAW, Limits(names, tuple(bounds)), importance, quality)


def lower_bound(budget: Budget) -> float:
    """What no mixture can go below, by linear programs (HiGHS): tangents lie over h and under s^-b.

    Variables: shares x [k], worth t [k] <= tangents of h, z [J] >= tangents of the data terms. New tangents where the
    last program ended.
    """
    from scipy.optimize import linprog

    k, J = len(budget.names), len(budget.weights)
    D, limits = budget.tokens, budget.limits
    most = budget.members @ (budget.worth * effective(D, budget.unique))
    x_points = [np.concatenate([[0.0, u / D], np.geomspace(u / D, 1 + u / D, 12)]) for u in budget.unique]
    s_points = [np.geomspace(top * 1e-4, top, 12) for top in most]
    found = 0.0
    for _ in range(40):
        rows, right = [], []
        for i in range(k):
            for point in x_points[i]:
                h, slope = effective(D * point, budget.unique[i]) / D, next_value(D * point, budget.unique[i])
                row = np.zeros(2 * k + J)
                row[k + i], row[i] = 1.0, -slope
                rows.append(row)
                right.append(h - slope * point)
        for j in range(J):
            for point in s_points[j]:
                term, slope = LAW.data_term(point), -LAW.b * LAW.data_term(point) / point
                row = np.zeros(2 * k + J)
                row[2 * k + j], row[k : 2 * k] = -1.0, slope * D * budget.members[j] * budget.worth
                rows.append(row)
                right.append(slope * point - term)
        for line, (low, high) in zip(limits.matrix, limits.spans, strict=True):
            rows += [np.concatenate([sign * line, np.zeros(k + J)]) for sign in (1, -1)]
            right += [high, -low]
        cost = np.concatenate([np.zeros(2 * k), budget.weights])
        total = np.concatenate([np.ones(k), np.zeros(k + J)])[None]
        bounds = [*zip(limits.lower, limits.upper, strict=True), *[(0, None)] * (k + J)]
        end = linprog(cost, np.array(rows), right, total, [1.0], bounds)
        if end.status:
            break
        found, x = max(found, float(end.fun)), end.x[:k]
        if budget.value(x) <= found * (1 + 1e-6):
            break
        x_points = [np.append(points, one) for points, one in zip(x_points, x, strict=True)]
        have = D * budget.members @ (budget.worth * end.x[k : 2 * k])
        s_points = [np.append(points, max(one, 1.0)) for points, one in zip(s_points, have, strict=True)]
    return found


def test_as_good_as_another_convex_solver_says_anything_can_be() -> None:
    for seed in range(24):
        budget = instance(seed)
        mine = spend(budget)
        assert budget.limits.violation(mine.shares) < 1e-9
        assert mine.gap < 1e-6 * mine.value
        bound = lower_bound(budget)
        assert bound * (1 - 1e-7) <= mine.value <= bound * (1 + 1e-4)


def brute(budget: Budget, steps: int = 150) -> float:
    """The least value on a grid of the simplex of three, made finer around its best."""
    best, center, width = np.inf, np.full(3, 1 / 3), 1.0
    for _ in range(4):
        axis = np.linspace(-width, width, steps)
        a, b = (grid.ravel() for grid in np.meshgrid(center[0] + axis, center[1] + axis))
        points = np.stack([a, b, 1 - a - b], 1)
        within = (points >= budget.limits.lower).all(1) & (points <= budget.limits.upper).all(1)
        totals = points @ budget.limits.matrix.T
        within &= ((totals >= budget.limits.spans[:, 0]) & (totals <= budget.limits.spans[:, 1])).all(1)
        points = points[within]
        have = (budget.worth * effective(budget.tokens * points, budget.unique)) @ budget.members.T
        values = LAW.data_term(have) @ budget.weights
        if values.min() < best:
            best, center = values.min(), points[values.argmin()]
        width /= 12
    return float(best)


@pytest.mark.parametrize("seed", range(4))
def test_as_good_as_brute_force(seed: int) -> None:
    draw = np.random.default_rng(seed)
    names, pools = ("a", "b", "c"), ("ja", "ja", "en")
    unique = np.exp(draw.uniform(np.log(1e10), np.log(1e12), 3))
    bounds = [*epoch_bounds(names, unique, 2e12, 8.0), Bound("ja", np.array([True, True, False]), 0.2, 0.7)]
    budget = Budget(names, unique, pools, 2e12, LAW, Limits(names, tuple(bounds)), {"ja": 0.7, "en": 0.3})
    if not budget.limits.possible:
        bounds = bounds[-1:]
        budget = Budget(names, unique, pools, 2e12, LAW, Limits(names, tuple(bounds)), {"ja": 0.7, "en": 0.3})
    mine, other = spend(budget).value, brute(budget)
    assert mine <= other * (1 + 1e-6)
    assert other <= mine * (1 + 1e-4)


def plain(unique: Sequence[float], pools: Sequence[str], tokens: float, bounds: Sequence[Bound] = ()) -> Budget:
    names = tuple("abcdefg"[: len(unique)])
    importance = dict.fromkeys(sorted(set(pools)), 1.0)
    return Budget(names, np.array(unique), tuple(pools), tokens, LAW, Limits(names, tuple(bounds)), importance)


def test_one_pool_beyond_its_text_is_seen_equally_often() -> None:
    """Past the first epoch equal worth of the next token means equal epochs."""
    found = spend(plain([1e9, 3e9, 6e9], ["ja"] * 3, 50e9))
    assert found.shares == pytest.approx([0.1, 0.3, 0.6], abs=1e-5)
    assert found.active == []


def test_equal_pools_of_ample_text_share_alike() -> None:
    assert spend(plain([1e13, 1e13], ["en", "ja"], 1e11)).shares == pytest.approx([0.5, 0.5], abs=1e-5)


def test_better_text_is_repeated_before_worse_is_touched() -> None:
    """h' falls to .5 only after 11.7 epochs: a source worth half waits until then."""
    budget = plain([1e10, 1e13], ["ja", "ja"], 8e10)
    found = spend(Budget(**{**budget.__dict__, "quality": np.array([1.0, 0.5])}))  # type: ignore[arg-type]
    assert found.shares[0] > 0.999
    more = Budget(**{**budget.__dict__, "quality": np.array([1.0, 0.5]), "tokens": 1e12})  # type: ignore[arg-type]
    assert spend(more).shares[0] * 1e12 / 1e10 == pytest.approx(1 + 15.387756 * np.log(2), rel=1e-3)


def test_caps_hold_and_are_named() -> None:
    names, unique = ("a", "b", "c"), np.array([1e9, 1e10, 1e12])
    bounds = epoch_bounds(names, unique, 1e11, 4.0)
    assert [bound.label for bound in bounds] == ["a <= 0.04 (4 epochs)", "b <= 0.4 (4 epochs)"]
    found = spend(plain(unique.tolist(), ["ja", "ja", "en"], 1e11, bounds))
    assert found.shares[:2] == pytest.approx([0.04, 0.4], abs=1e-6)
    assert [label for label, _ in found.active] == ["a <= 0.04 (4 epochs)", "b <= 0.4 (4 epochs)"]


def test_fixed_totals_are_kept_exactly() -> None:
    bound = Bound("ja = 0.5", np.array([True, True, False]), 0.5, 0.5)
    found = spend(plain([1e9, 1e10, 1e12], ["ja", "ja", "en"], 1e11, [bound]))
    assert found.shares[:2].sum() == pytest.approx(0.5, abs=1e-12)
    assert found.shares[1] == pytest.approx(10 * found.shares[0], rel=1e-3)


def test_a_point_with_no_freedom_is_the_answer() -> None:
    bounds = [Bound("a", np.array([True, False]), 0.3, 0.3)]
    found = spend(plain([1e9, 1e10], ["ja", "ja"], 1e11, bounds))
    assert found.shares == pytest.approx([0.3, 0.7])
    assert found.gap == 0


def test_sources_in_another_order_than_their_names_are_refused() -> None:
    with pytest.raises(RecipeError, match="order of their names"):
        Budget(("b", "a"), np.ones(2), ("ja", "en"), 1e11, LAW, Limits(("b", "a")), {"ja": 1.0})


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(RecipeError, match=r"a <= 0.04 \(4 epochs\).*finds no place"):
        spend(plain([1e9, 1e10], ["ja", "ja"], 1e11, epoch_bounds(("a", "b"), np.array([1e9, 1e10]), 1e11, 4.0)))
    with pytest.raises(RecipeError, match="the loss of `ja` counts, and the limits leave it no token"):
        spend(plain([1e9, 1e10], ["ja", "en"], 1e11, [Bound("no a", np.array([True, False]), 0.0, 0.0)]))
    with pytest.raises(RecipeError, match="no source is of `fr`"):
        Budget(("a",), np.ones(1), ("ja",), 1.0, LAW, Limits(("a",)), {"fr": 1.0})
    with pytest.raises(RecipeError, match="no pool's loss counts"):
        Budget(("a",), np.ones(1), ("ja",), 1.0, LAW, Limits(("a",)), {"ja": 0.0})


def test_slopes_are_those_of_the_value() -> None:
    budget = instance(5)
    shares = spend(budget).shares * 0.9 + 0.1 / len(budget.names)
    gradient, hessian = budget.slopes(shares)
    step = 1e-6
    for i in range(len(shares)):
        moved = shares + step * np.eye(len(shares))[i]
        assert (budget.value(moved) - budget.value(shares)) / step == pytest.approx(gradient[i], rel=1e-3, abs=1e-6)
        change = (budget.slopes(moved)[0] - gradient) / step
        assert change == pytest.approx(hessian[i], rel=1e-2, abs=1e-3 * np.abs(hessian).max())


def test_the_value_is_the_data_term_of_effective_tokens() -> None:
    budget = plain([1e9, 1e10], ["ja", "ja"], 1e11)
    shares = np.array([0.2, 0.8])
    worth = effective(1e11 * shares, budget.unique).sum()
    assert budget.value(shares) == pytest.approx(LAW.B / worth**LAW.b)
    assert isinstance(spend(budget), Spending)
