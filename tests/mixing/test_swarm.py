"""Swarms: designs that reach near and far, runs by name, tables of others, the search within limits."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacorpus.errors import InputError, RecipeError
from mixing.limits import Bound, Limits
from mixing.projection import project
from mixing.swarm import LEAST, Swarm, candidates, design, drawn, read, run, simulate

PRIOR = np.array([0.6, 0.3, 0.09, 0.009, 0.001])
NAMES = ("a", "b", "c", "d", "e")


def limits(*bounds: tuple[str, float, float]) -> Limits:
    """("ab", .2, .5): of a and b together."""
    return Limits(NAMES, tuple(Bound(who, np.array([name in who for name in NAMES]), *span) for who, *span in bounds))


def inside(some: Limits):
    return lambda point: project(np.maximum(point, 1e-12), some)


def test_a_design_has_the_prior_and_mixtures_near_and_far() -> None:
    found = design(PRIOR, runs=60, seed=3)
    np.testing.assert_allclose(found[0], PRIOR)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)
    assert found.min() >= 0
    assert found[found > 0].min() >= LEAST or found[found > 0].min() == PRIOR.min()
    assert found.max() > 0.97
    assert (found.max(axis=0) > 0.15).all()  # each domain is learned about, the least too
    assert ((found > 0).sum(axis=0) > 10).all()
    assert len({tuple(row) for row in found}) == 60


def test_designs_are_by_seed_and_of_the_usual_size() -> None:
    assert design(PRIOR).shape == (18, 5)
    assert design(PRIOR, runs=9, seed=1).tobytes() == design(PRIOR, runs=9, seed=1).tobytes()
    assert design(PRIOR, runs=9, seed=1).tobytes() != design(PRIOR, runs=9, seed=2).tobytes()


def test_runs_of_a_design_keep_farther_apart_than_draws() -> None:
    def nearest(points: np.ndarray) -> float:
        apart = ((np.sqrt(points)[:, None] - np.sqrt(points)[None]) ** 2).sum(axis=2)
        return float(np.median((apart + np.eye(len(points)) * 9).min(axis=1)))

    assert nearest(design(PRIOR, runs=40)) > 1.5 * nearest(drawn(PRIOR, 40, np.random.default_rng(0)))


def test_a_design_keeps_limits_when_asked() -> None:
    some = limits(("a", 0.1, 0.4), ("cd", 0.2, 0.3))
    assert max(some.violation(each) for each in design(PRIOR, inside(some), 12)) < 1e-9
    assert max(some.violation(each) for each in design(PRIOR, None, 12)) > 0.1


def test_domains_without_prior_have_no_runs() -> None:
    found = design(np.array([0.5, 0, 0.5]), runs=9)
    assert (found[:, 1] == 0).all()
    assert design(np.array([0, 1.0]), runs=2).tolist() == [[0, 1], [0, 1]]


def test_designs_that_can_not_serve_are_refused() -> None:
    with pytest.raises(RecipeError, match="5 domains needs at least 6 runs, got 5; 18 are usual"):
        design(PRIOR, runs=5)
    with pytest.raises(RecipeError, match="prior"):
        design(np.zeros(3))


@given(st.lists(st.floats(1e-7, 1), min_size=1, max_size=30), st.integers(0, 10**6))
def test_draws_are_mixtures_whatever_the_prior(prior: list[float], seed: int) -> None:
    found = drawn(np.array(prior), 20, np.random.default_rng(seed))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-9)
    assert found.min() >= 0


def test_draws_are_dirichlet() -> None:
    """Mean and variance at one strength, against numpy's own draws."""
    import mixing.swarm as module

    random, prior = np.random.default_rng(0), np.array([0.5, 0.3, 0.2])
    span, module.STRENGTHS = module.STRENGTHS, (4.0, 4.0)
    try:
        found = drawn(prior, 40_000, random)
    finally:
        module.STRENGTHS = span
    center = np.sqrt(prior) / np.sqrt(prior).sum()
    theirs = random.dirichlet(4 * center, 40_000)
    np.testing.assert_allclose(found.mean(axis=0), theirs.mean(axis=0), atol=5e-3)
    np.testing.assert_allclose(found.std(axis=0), theirs.std(axis=0), atol=5e-3)


def test_runs_are_asked_for_by_name_and_heard_of() -> None:
    asked, heard = [], []

    def losses_of(mixture: dict[str, float]) -> dict[str, float]:
        asked.append(mixture)
        return {"y": 1 - mixture.get("b", 0), "x": mixture.get("a", 0)}

    found = run([{"b": 1.0, "a": 3.0}, {"b": 2.0}], losses_of, lambda done, of: heard.append((done, of)))
    assert asked == [{"a": 3.0, "b": 1.0}, {"b": 2.0}]
    assert heard == [(0, 2), (1, 2), (2, 2)]
    assert (found.names, found.sets) == (("a", "b"), ("x", "y"))
    np.testing.assert_array_equal(found.shares, [[0.75, 0.25], [0, 1]])
    np.testing.assert_array_equal(found.losses, [[3, 0], [0, -1]])


def test_a_sweep_that_was_stopped_goes_on_where_the_answers_are_kept() -> None:
    kept: dict[float, dict[str, float]] = {}
    trained = []

    def losses_of(mixture: dict[str, float]) -> dict[str, float]:
        if mixture["a"] not in kept:
            if len(trained) == 2:
                raise KeyboardInterrupt
            trained.append(mixture["a"])
            kept[mixture["a"]] = {"x": mixture["a"]}
        return kept[mixture["a"]]

    mixtures = [{"a": 1 - i / 10, "b": i / 10} for i in range(4)]
    with pytest.raises(KeyboardInterrupt):
        run(mixtures, losses_of)
    trained.clear()
    assert run(mixtures, losses_of).losses.ravel().tolist() == [1.0, 0.9, 0.8, 0.7]
    assert trained == [0.8, 0.7]


def test_swarms_that_do_not_hold_together_are_refused() -> None:
    with pytest.raises(InputError, match="run 1 has no loss on y"):
        Swarm.of([{"a": 1.0}, {"a": 1.0}], [{"x": 1, "y": 2}, {"x": 1}])
    with pytest.raises(InputError, match="got 1 and 0"):
        Swarm.of([{"a": 1.0}], [])
    with pytest.raises(InputError, match="run 0 has no domain"):
        Swarm.of([{"a": 0.0}], [{"x": 1}])


def test_tables_are_joined_by_index_and_matched_by_name(tmp_path: Path) -> None:
    one, other = tmp_path / "m.csv", tmp_path / "l.csv"
    one.write_text("index,t_b,t_a,note\n2,0.5,0.5,9\n1,1.0,0.0,9\n3,0,1,9\n")
    other.write_text("loss.x,index\n1.5,1\n2.5,2\n")
    found = read(one, other, "t_{}", "loss.{}")
    assert (found.names, found.sets) == (("a", "b"), ("x",))
    np.testing.assert_array_equal(found.shares, [[0, 1], [0.5, 0.5]])
    np.testing.assert_array_equal(found.losses, [[1.5], [2.5]])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("i,t_a\n1,1\n", "no table of runs"),
        ("index,t_a\n1,x\n", "no table of runs"),
        ("index,b\n1,1\n", "no column called like"),
        ("index,t_a\n", "has no run"),
        ("index,t_a\n7,1\n", "in common"),
    ],
)
def test_tables_that_are_none_are_named(tmp_path: Path, text: str, why: str) -> None:
    one, other = tmp_path / "m.csv", tmp_path / "l.csv"
    one.write_text(text)
    other.write_text("index,x\n1,1\n")
    with pytest.raises(InputError, match=why):
        read(one, other, "t_{}")
    with pytest.raises(InputError, match="no table of runs"):
        read(tmp_path / "absent.csv", other)


@pytest.mark.parametrize(
    "some",
    [
        limits(),
        limits(("a", 0.0, 0.2), ("b", 0.1, 0.5)),
        limits(("ab", 0.5, 0.5), ("cde", 0.0, 1.0)),
        limits(("abc", 0.2, 0.5), ("cd", 0.1, 0.6), ("e", 0.05, 0.06)),
    ],
)
def test_the_search_keeps_limits_and_finds_what_is_small(some: Limits) -> None:
    cost = np.array([3.0, 1.0, 2.0, 0.5, 4.0])
    all_of_them = candidates(PRIOR, some, inside(some), 600)
    assert max(some.violation(each) for each in all_of_them[::3]) < 1e-9
    found = simulate(lambda shares: shares @ cost, some, PRIOR, inside(some), draws=600, best=5)
    assert some.violation(found) < 1e-9
    least = float(cost @ some.least(cost))
    assert cost @ found < least + 0.4 * (float(cost @ project(PRIOR, some)) - least)


def test_the_search_is_the_mean_of_the_best() -> None:
    some = limits()
    found = simulate(lambda shares: shares[:, 1], some, PRIOR, inside(some), seed=4, draws=500, best=7)
    drawn_ones = candidates(PRIOR, some, inside(some), 500, 4)
    np.testing.assert_allclose(found, drawn_ones[np.argsort(drawn_ones[:, 1], kind="stable")[:7]].mean(axis=0))
