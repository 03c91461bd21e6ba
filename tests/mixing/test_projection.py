"""The KL projection: against grid search, the optimality conditions and the readable twin; limits that barely hold."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

import mixing.projection
from jacorpus.errors import RecipeError
from mixing.limits import Bound, Limits
from mixing.projection import project, project_naive

SEEDS = st.integers(0, 2**32 - 1)


def instance(seed: int, kind: str, k: int = 0) -> tuple[np.ndarray, Limits]:
    """A point and limits that some mixture keeps: boxes, languages x types.

    kind: plain; narrow (widths down to 0); vanishing (the mixture has zeros, so that limits may force some); uneven
    (points from 1 to 1e-300).
    """
    draw = np.random.default_rng(seed)
    k = k or int(draw.integers(1, 25))
    inside = draw.dirichlet(np.full(k, draw.choice([0.3, 3.0])))
    if kind == "vanishing":
        inside = np.where(draw.random(k) < 0.4, 0, inside) if k > 1 else inside
        inside = inside / inside.sum() if inside.sum() else np.eye(k)[0]
    members = [row for row in np.eye(k, dtype=bool) if draw.random() < 0.5]
    for classes in (2, 5):
        of_class = draw.integers(0, classes, k)
        members += [of_class == value for value in range(classes) if draw.random() < 0.8]
    bounds = []
    for i, each in enumerate(members):
        width = draw.choice([0.05, 0.2, 1.0]) if kind in ("plain", "uneven") else draw.choice([0, 0, 1e-6, 0.05])
        total = min(1.0, float(inside[each].sum()))
        lower = max(0.0, total - width * draw.random())
        bounds.append(Bound(f"limit {i}", each, lower, min(1.0, total + width * draw.random())))
    point = 10 ** draw.uniform(-300, 0, k) if kind == "uneven" else draw.dirichlet(np.ones(k)) + 1e-9
    return point, Limits.of([f"d{i:02}" for i in range(k)], bounds)


def error_of_optimality(point: np.ndarray, limits: Limits, weights: np.ndarray) -> float:
    """By how much log(weights / point) is no sum of multipliers of active bounds, of the right signs; as L1 of weights.

    0 if and only if the weights are the projection. What vanishes is left out: its own bound of 0 explains it.
    """
    seen = np.flatnonzero((point > 0) & (weights > 1e-13))
    reasons = [np.ones(len(point)), -np.ones(len(point))]
    boxes = zip(np.eye(len(point)), limits.lower, limits.upper, strict=True)
    for row, lower, upper in (*boxes, *zip(limits.matrix, *limits.spans.T, strict=True)):
        reasons += [row] if row @ weights <= lower + 1e-11 else []
        reasons += [-row] if row @ weights >= upper - 1e-11 else []
    matrix, goal = np.array(reasons).T[seen], np.log(weights[seen]) - np.log(point[seen])
    root = np.sqrt(weights[seen])
    found, _ = nnls(matrix * root[:, None], goal * root, maxiter=10_000)
    return float(np.abs((matrix @ found - goal) * weights[seen]).sum())


def kl(weights: np.ndarray, point: np.ndarray) -> float:
    return sum(a * math.log(a / p) for a, p in zip(weights, point, strict=True) if a > 0)


def by_grid(point: np.ndarray, limits: Limits) -> np.ndarray:
    """The projection of three domains: a grid over two of them, ever finer around its best."""
    centre, width = np.array([limits.extent(0), limits.extent(1)]).mean(1), 0.5
    best, found = math.inf, np.zeros(3)
    while width > 1e-8:
        for steps in product(np.linspace(-width, width, 13), repeat=2):
            first, second = np.maximum(centre + steps, 0)
            weights = np.array([first, second, 1 - first - second])
            if limits.violation(weights) <= 1e-12 and kl(weights, point) < best:
                best, found = kl(weights, point), weights
        centre, width = (found[:2] if best < math.inf else centre), width * 0.6
    return found


@pytest.mark.parametrize("seed", range(4))
def test_three_domains_by_grid_search(seed: int) -> None:
    draw = np.random.default_rng(seed)
    point, inside = draw.dirichlet(np.ones(3)), draw.dirichlet(np.full(3, 3.0))
    pair = np.roll([True, True, False], seed)
    total = inside[pair].sum()
    bounds = [
        Bound("pair", pair, max(0, total - 0.05), min(1, total + 0.05)),
        *(Bound("box", row, a / 2, (1 + a) / 2) for row, a in zip(np.eye(3, dtype=bool), inside, strict=True)),
    ]
    limits = Limits.of("abc", bounds)
    assert np.abs(project(point, limits) - by_grid(point, limits)).max() < 1e-6


@pytest.mark.parametrize("kind", ["plain", "narrow", "vanishing", "uneven"])
@given(SEEDS)
@settings(max_examples=60)
def test_projections_keep_the_limits_and_are_optimal(kind: str, seed: int) -> None:
    point, limits = instance(seed, kind)
    weights = project(point, limits)
    assert limits.violation(weights) <= 1e-12
    assert error_of_optimality(point, limits, weights) <= 1e-11


def test_the_measure_of_optimality_can_fail() -> None:
    point, limits = np.array([0.5, 0.3, 0.2]), Limits.of("abc", [Bound("a", np.array([True, False, False]), 0, 0.4)])
    right = project(point, limits)
    assert error_of_optimality(point, limits, right) < 1e-12
    assert error_of_optimality(point, limits, right + np.array([0, 1e-6, -1e-6])) > 1e-7
    assert error_of_optimality(point, limits, np.array([0.3, 0.42, 0.28])) > 0.1


@given(SEEDS)
@settings(max_examples=25)
def test_the_readable_twin_agrees(seed: int) -> None:
    point, limits = instance(seed, "plain")
    naive = project_naive(point, limits, rounds=3000)
    if limits.violation(naive) > 1e-13 or error_of_optimality(point, limits, naive) > 1e-12:
        return  # it needs more rounds
    assert np.abs(project(point, limits) - naive).sum() < 1e-9


def test_the_readable_twin_gets_there() -> None:
    """So that the test above compares something."""
    there = [
        limits.violation(project_naive(p, limits, 3000)) < 1e-13
        for p, limits in (instance(s, "plain") for s in range(9))
    ]
    assert sum(there) >= 6


@pytest.mark.parametrize("kind", ["plain", "narrow", "vanishing", "uneven"])
@given(SEEDS)
@settings(max_examples=30)
def test_the_order_of_domains_changes_nothing(kind: str, seed: int) -> None:
    point, limits = instance(seed, kind)
    order = np.random.default_rng(seed).permutation(len(point))
    bounds = [Bound(each.label, each.members[order], each.lower, each.upper) for each in limits.bounds]
    shuffled = Limits.of([limits.names[i] for i in order], reversed(bounds))
    assert project(point[order], shuffled).tolist() == project(point, limits)[order].tolist()


@given(SEEDS)
@settings(max_examples=30)
def test_scale_and_repetition_change_nothing(seed: int) -> None:
    point, limits = instance(seed, "plain")
    once = project(point, limits)
    assert np.abs(project(point * 1e-200, limits) - once).max() < 1e-14
    assert np.abs(project(once, limits) - once).max() < 1e-14


def test_without_limits_a_point_is_only_scaled() -> None:
    assert project(np.array([1.0, 2.0, 5.0]), Limits.simplex("abc")).tolist() == [0.125, 0.25, 0.625]


def test_one_cap_by_hand() -> None:
    limits = Limits.of("abc", [Bound("a", np.array([True, False, False]), 0, 0.4)])
    assert project(np.array([0.6, 0.1, 0.3]), limits).tolist() == pytest.approx([0.4, 0.15, 0.45], abs=1e-15)


def test_equal_totals_are_proportional_fitting() -> None:
    """2 x 2 with margins fixed: the odds ratio stays, a quadratic equation."""
    rows = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1]], bool)
    totals = (0.3, 0.7, 0.6, 0.4)
    limits = Limits.of("abcd", [Bound(str(i), row, t, t) for i, (row, t) in enumerate(zip(rows, totals, strict=True))])
    a, b, c, d = project(np.array([0.1, 0.2, 0.3, 0.4]), limits)
    assert a * d / (b * c) == pytest.approx(0.1 * 0.4 / (0.2 * 0.3), rel=1e-12)
    assert (a + b, a + c) == pytest.approx((0.3, 0.6), abs=1e-14)


@pytest.mark.parametrize("other", [1e-12, 1e-200, 5e-324])
def test_extremely_uneven_points(other: float) -> None:
    point = np.array([1.0, other, 2 * other if other > 1e-300 else other, 1.0])
    limits = Limits.of("abcd", [Bound("bc", np.array([False, True, True, False]), 0.5, 0.5)])
    expected = [0.25, 1 / 6, 1 / 3, 0.25] if other > 1e-300 else [0.25] * 4
    assert project(point, limits).tolist() == pytest.approx(expected, abs=1e-13)


def test_zeros_stay_zero() -> None:
    limits = Limits.of("abc", [Bound("a", np.array([True, False, False]), 0, 0.4)])
    assert project(np.array([0.7, 0.0, 0.3]), limits).tolist() == pytest.approx([0.4, 0, 0.6])
    with pytest.raises(RecipeError, match=r"a \(at most 0\.4\); b has no weight to begin with.*0\.6 of the weight"):
        project(np.array([0.7, 0.0, 0.0]), limits)


@pytest.mark.parametrize("members", [[False, True, False], [False, True, True]])
def test_weight_that_limits_ask_of_zeros_is_refused(members: list[bool]) -> None:
    limits = Limits.of("abc", [Bound("ja >= 0.3", np.array(members), 0.3, 1)])
    with pytest.raises(RecipeError, match=r"ja >= 0\.3; b has no weight to begin with"):
        project(np.array([1.0, 0.0, 0.0]), limits)


def test_one_mixture_alone_is_found() -> None:
    shares = np.array([0.1, 0.2, 0.3, 0.4])
    one = np.eye(4, dtype=bool)
    point = np.array([1e-300, 1.0, 1e-9, 0.3])
    fixed = [Bound(str(i), one[i], shares[i], shares[i]) for i in range(4)]
    capped = [Bound(str(i), one[i], 0, shares[i]) for i in range(4)]
    pairs = [Bound("ab", one[0] | one[1], 0.3, 1), Bound("ac", one[0] | one[2], 0.4, 1)]
    for bounds in (fixed, capped, [*capped, *pairs], [*fixed[:2], *pairs, Bound("d", one[3], 0.4, 1)]):
        limits = Limits.of("abcd", bounds)
        found = project(point, limits)
        assert limits.violation(found) <= 1e-12
        assert found.tolist() == pytest.approx(shares.tolist(), abs=1e-12)


def test_weights_that_totals_alone_force_to_zero() -> None:
    """ab and ac have half each and a is capped at 0, so d vanishes though no bound says so."""
    one = np.eye(4, dtype=bool)
    bounds = [Bound("ab", one[0] | one[1], 0.5, 1), Bound("ac", one[0] | one[2], 0.5, 1), Bound("a", one[0], 0, 0)]
    found = project(np.array([0.25, 0.25, 0.25, 0.25]), Limits.of("abcd", bounds))
    assert found.tolist() == pytest.approx([0, 0.5, 0.5, 0], abs=1e-12)


def test_a_total_of_nothing_and_one_of_everything() -> None:
    half = np.array([True, True, False, False])
    for bound in (Bound("none", half, 0, 0), Bound("all", ~half, 1, 1)):
        found = project(np.array([0.4, 0.3, 0.2, 0.1]), Limits.of("abcd", [bound]))
        assert found.tolist() == pytest.approx([0, 0, 2 / 3, 1 / 3], abs=1e-12)


def test_a_multiplier_that_rises_for_ever_costs_no_digits() -> None:
    """abc has all, so that d vanishes only as its multiplier grows; b stays at its cap to the last digit."""
    one = np.eye(4, dtype=bool)
    bounds = [Bound("abc", ~one[3], 1, 1), Bound("b", one[1], 0, 0.06684396), Bound("d", one[3], 0, 0.0025)]
    point = np.array([0.724, 0.136, 0.118, 0.022])
    found = project(point, Limits.of("abcd", bounds))
    rest = (1 - 0.06684396) / (0.724 + 0.118)
    assert found.tolist() == pytest.approx([0.724 * rest, 0.06684396, 0.118 * rest, 0], abs=1e-13)


def test_where_all_is_clipped_but_two() -> None:
    """Slopes say nothing until a multiplier has passed by 600 e-folds."""
    one = np.eye(5, dtype=bool)
    point = np.array([1.0, 1e-250, 1e-260, 1.0, 1e-270])
    boxes = [Bound(f"box {i}", one[i], 0.1, 0.3) for i in range(5)]
    limits = Limits.of("abcde", [*boxes, Bound("bc", one[1] | one[2], 0.45, 1), Bound("ce", one[2] | one[4], 0.35, 1)])
    found = project(point, limits)
    assert limits.violation(found) <= 1e-12
    assert error_of_optimality(point, limits, found) <= 1e-11


@pytest.mark.parametrize("point", [[0.5, -0.5], [math.nan, 1.0], [math.inf, 1.0], [0.0, 0.0], [0.2, 0.3, 0.5]])
def test_points_that_are_no_weights_are_refused(point: list[float]) -> None:
    with pytest.raises(RecipeError, match="within limits"):
        project(np.array(point), Limits.simplex("ab"))


def test_impossible_limits_are_named() -> None:
    one = np.eye(3, dtype=bool)
    bounds = [Bound("ab >= 0.6", one[0] | one[1], 0.6, 1), Bound("bc >= 0.6", one[1] | one[2], 0.6, 1)]
    with pytest.raises(RecipeError, match=r"ab >= 0\.6; bc >= 0\.6; b <= 0\.1"):
        project(np.ones(3), Limits.of("abc", [*bounds, Bound("b <= 0.1", one[1], 0, 0.1)]))


@pytest.mark.parametrize("answer", [np.full(6, 1 / 6), np.zeros(6), np.full(6, math.nan)])
def test_what_misses_the_limits_is_never_returned(answer: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """If all fails the answer is not the nearest, but within the limits."""
    point, limits = instance(3, "plain", k=6)
    monkeypatch.setattr(mixing.projection._Dual, "solved", lambda self: answer)
    assert limits.violation(answer) > 1e-3
    assert limits.violation(project(point, limits)) <= 1e-12
