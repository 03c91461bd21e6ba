"""Limits: what they allow, least cost against linear programs, conflicts named by an irreducible set."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from jacorpus.errors import RecipeError
from mixing.limits import Bound, Limits

SEEDS = st.integers(0, 2**32 - 1)
NAMES = ("en_web", "en_wiki", "ja_web", "ja_wiki")


def bound(label: str, names: str, lower: float = 0.0, upper: float = 1.0) -> Bound:
    """names: blank-separated, of NAMES."""
    return Bound(label, np.isin(NAMES, names.split()), lower, upper)


JA, EN, WEB = "ja_web ja_wiki", "en_web en_wiki", "en_web ja_web"


def limits(*bounds: Bound) -> Limits:
    return Limits.of(NAMES, bounds)


def random_limits(seed: int, axes: int, slack: float = 0.3, k: int = 0) -> Limits:
    """Boxes on some domains and intervals on the classes of each axis; around a mixture where slack is above 0."""
    draw = np.random.default_rng(seed)
    k = k or int(draw.integers(2, 12))
    inside = draw.dirichlet(np.full(k, 0.7))
    members = [row for row in np.eye(k, dtype=bool) if draw.random() < 0.6]
    for _ in range(axes):
        of_class = draw.integers(0, draw.integers(2, 5), k)
        members += [of_class == value for value in np.unique(of_class) if draw.random() < 0.8]
    found = []
    for i, each in enumerate(members):
        total = float(inside[each].sum()) if slack else draw.random()
        lower = max(0.0, total - (slack or 0.1) * draw.random()) * (draw.random() < 0.6)
        found.append(Bound(f"limit {i}", each, lower, min(1.0, total + (slack or 0.1) * draw.random())))
    return Limits.of([f"d{i}" for i in range(k)], found)


def program(limits: Limits, cost: np.ndarray) -> float | None:
    """The least cost by the plainest linear program; None if there is no mixture."""
    rows = np.array([each.members for each in limits.bounds], float).reshape(-1, len(cost))
    most, least = ([getattr(each, side) for each in limits.bounds] for side in ("upper", "lower"))
    matrix, right = np.vstack([rows, -rows]), np.append(most, -np.array(least))
    found = linprog(cost, A_ub=matrix, b_ub=right, A_eq=np.ones((1, len(cost))), b_eq=[1.0], bounds=(0, 1))
    return float(found.fun) if found.status == 0 else None


@pytest.mark.parametrize(
    ("lower", "upper", "words"),
    [
        (0.5, 0.3, "at least 0.5 and at most 0.3"),
        (-0.1, 1.0, "bound -0.1"),
        (0.0, 1.5, "bound 1.5"),
        (math.nan, 1.0, "bound nan"),
        (0.0, math.nan, "bound nan"),
    ],
)
def test_numbers_that_are_no_bounds_are_refused(lower: float, upper: float, words: str) -> None:
    with pytest.raises(RecipeError, match=f"`web`.*{words}"):
        Bound("web", np.array([True]), lower, upper)


def test_a_bound_is_on_as_many_domains_as_the_mixture_has() -> None:
    with pytest.raises(RecipeError, match="`web` is over 2 domains, the mixture has 4"):
        limits(Bound("web", np.ones(2, bool), 0, 1))


def test_members_are_kept_from_change() -> None:
    members = np.array([True, False])
    kept = Bound("web", members, 0, 1)
    members[1] = True
    assert kept.members.tolist() == [True, False]
    with pytest.raises(ValueError):
        kept.members[1] = True


def test_boxes_are_what_all_bounds_of_one_domain_leave() -> None:
    found = limits(
        bound("a", "ja_web", 0.1, 0.6), bound("b", "ja_web", 0.2, 0.7), bound("c", "en_web", 0, 0), bound("d", JA, 0.3)
    )
    assert found.lower.tolist() == [0, 0, 0.2, 0]
    assert found.upper.tolist() == [0, 1, 0.6, 1]
    assert [each.label for each in found.groups] == ["d"]
    assert found.disjoint
    assert not limits(bound("ja", JA), bound("web", WEB)).disjoint
    assert Limits.simplex(NAMES).upper.tolist() == [1, 1, 1, 1]


def test_violation_is_the_worst_miss() -> None:
    found = limits(bound("ja", JA, 0.5), bound("cap", "en_web", 0, 0.3))
    assert found.violation(np.array([0.3, 0.2, 0.25, 0.25])) == 0
    assert found.violation(np.array([0.4, 0.1, 0.25, 0.25])) == pytest.approx(0.1)
    assert found.violation(np.array([0.3, 0.3, 0.2, 0.2])) == pytest.approx(0.1)
    assert found.violation(np.array([0.3, 0.3, 0.3, 0.3])) == pytest.approx(0.2)
    assert found.violation(np.array([-0.05, 0.3, 0.45, 0.3])) == pytest.approx(0.05)
    assert found.violation(np.array([math.nan, 0.3, 0.4, 0.3])) == math.inf


def test_active_bounds_are_told_with_their_side() -> None:
    found = limits(
        bound("ja", JA, 0.5, 0.9),
        bound("cap", "en_web", 0, 0.3),
        bound("fixed", "en_wiki", 0.2, 0.2),
        bound("all", WEB),
    )
    assert found.active(np.array([0.3, 0.2, 0.25, 0.25])) == [("ja", "lower"), ("cap", "upper"), ("fixed", "upper")]
    assert found.active(np.array([0.0, 0.2, 0.4, 0.4])) == [("fixed", "upper")]


@given(SEEDS, st.integers(0, 2))
@settings(max_examples=60)
def test_least_cost_is_the_linear_program_s(seed: int, axes: int) -> None:
    """Greedy for boxes and one axis, HiGHS for two."""
    found = random_limits(seed, axes)
    cost = np.random.default_rng(seed).normal(size=len(found.names))
    weights = found.least(cost)
    assert found.violation(weights) <= 1e-12
    assert cost @ weights == pytest.approx(program(found, cost), abs=1e-9)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_least_cost_at_any_scale(scale: float) -> None:
    found = random_limits(5, 2, k=10)
    cost = np.random.default_rng(5).normal(size=10)
    assert found.least(cost * scale).tolist() == pytest.approx(found.least(cost).tolist(), abs=1e-12)


def test_extent_by_hand() -> None:
    found = limits(bound("ja", JA, 0.5, 0.6), bound("web", WEB, 0, 0.7), bound("cap", "ja_wiki", 0.1, 0.2))
    assert found.extent(2) == pytest.approx((0.3, 0.5))  # ja less ja_wiki
    assert found.extent(0) == pytest.approx((0.0, 0.4))  # web less the least ja_web
    assert Limits.simplex(["only"]).extent(0) == (1, 1)


def test_nearest_moves_least_in_sum() -> None:
    found = limits(bound("ja", JA, 0.5), bound("web", WEB, 0.2, 0.4))
    given = np.array([0.4, 0.3, 0.2, 0.1])  # ja lacks .2, web has .2 too much
    near = found.nearest(given)
    assert found.violation(near) <= 1e-12
    assert np.abs(near - given).sum() == pytest.approx(0.4)
    with pytest.raises(RecipeError, match="can't hold together"):
        limits(bound("ja >= 0.5", JA, 0.5), bound("en >= 0.6", EN, 0.6)).nearest(given)


def test_what_touches_holds() -> None:
    """0.1 + 0.2 is above 0.3 by a rounding error; caps may add up to less than 1 by some."""
    shares = (0.1, 0.2, 0.3, 0.4)
    caps = [bound(name, name, 0, share) for name, share in zip(NAMES, shares, strict=True)]
    for found in (limits(*caps), limits(*caps, bound("a", "ja_web", 0.1 + 0.2), bound("b", EN, 0.1 + 0.2))):
        found.check()
        assert found.least(np.ones(4)).tolist() == pytest.approx(shares, abs=1e-12)
        overlapping = limits(*found.bounds, bound("web", WEB, 0.2, 0.4))
        overlapping.check()
        assert overlapping.least(np.ones(4)).tolist() == pytest.approx(shares, abs=1e-12)
    assert not limits(*caps[:3], bound("d", "ja_wiki", 0, 0.4 - 1e-11)).possible


def conflict_of(found: Limits) -> str:
    with pytest.raises(RecipeError) as caught:
        found.check()
    return str(caught.value)


def test_a_conflict_names_its_bounds_and_what_finds_no_place() -> None:
    caps = (bound("ja_web <= 0.2 (4 epochs)", "ja_web", 0, 0.2), bound("ja_wiki <= 0.1 (4 epochs)", "ja_wiki", 0, 0.1))
    free = bound("en_web <= 0.9", "en_web", 0, 0.9)
    assert conflict_of(limits(bound("language ja >= 0.5", JA, 0.5), free, *caps)) == (
        "these limits can't hold together: language ja >= 0.5; ja_web <= 0.2 (4 epochs); ja_wiki <= 0.1 (4 epochs); "
        "0.2 of the weight finds no place: loosen or drop one"
    )


def test_caps_that_leave_weight_without_a_place() -> None:
    caps = [bound(f"{name} <= 0.15 (2 epochs)", name, 0, 0.15) for name in NAMES]
    words = conflict_of(limits(*caps, bound("web", WEB, 0.1, 0.9)))
    assert all(cap.label in words for cap in caps)
    assert "0.4 of the weight finds no place" in words
    assert "web (" not in words


def test_a_conflict_of_lower_bounds_tells_the_side_that_matters() -> None:
    words = conflict_of(limits(bound("language ja in [0.6, 0.7]", JA, 0.6, 0.7), bound("language en >= .5", EN, 0.5)))
    assert "language ja in [0.6, 0.7] (at least 0.6); language en >= .5: loosen" in words


def test_labels_without_their_number_get_it() -> None:
    words = conflict_of(limits(bound("ja_web has no tokens", "ja_web", 0, 0), bound("10 or more", "ja_web", 0.25)))
    assert "ja_web has no tokens (at most 0); 10 or more (at least 0.25)" in words


def test_a_bound_that_can_t_hold_alone() -> None:
    everyone = " ".join(NAMES)
    assert conflict_of(limits(bound("all <= 0.9", everyone, 0, 0.9))) == (
        "this limit can't hold: all <= 0.9; 0.1 of the weight finds no place: loosen or drop it"
    )
    assert "`language fr >= 0.1` can't hold, as no domain" in conflict_of(limits(bound("language fr >= 0.1", "", 0.1)))


def test_a_long_conflict_is_cut() -> None:
    names = [f"d{i}" for i in range(30)]
    caps = [Bound(f"d{i} <= 0.01", row, 0, 0.01) for i, row in enumerate(np.eye(30, dtype=bool))]
    words = conflict_of(Limits.of(names, caps))
    assert "d11 <= 0.01; and 18 more like these; 0.7 of the weight" in words


@given(SEEDS, st.integers(0, 2))
@settings(max_examples=40)
def test_conflicts_are_irreducible(seed: int, axes: int) -> None:
    """There is one exactly where the linear program finds no mixture; without any one of its bounds there is none."""
    found = random_limits(seed, axes, slack=0.0)
    assert found.possible == (program(found, np.zeros(len(found.names))) is not None)
    named = found.conflict()
    assert bool(named) != found.possible
    if named:
        assert program(Limits(found.names, named), np.zeros(len(found.names))) is None
    for i in range(len(named)):
        rest = Limits(found.names, named[:i] + named[i + 1 :])
        assert program(rest, np.zeros(len(found.names))) is not None
