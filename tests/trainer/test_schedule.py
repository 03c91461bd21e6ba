"""Learning rates: shapes, ends, extension, nonsense."""

import math

import pytest

from jacorpus.errors import RecipeError
from trainer.schedule import KINDS, Schedule


@pytest.mark.parametrize("kind", KINDS)
def test_a_rate_rises_to_the_peak_and_never_leaves_its_bounds(kind: str) -> None:
    schedule = Schedule(kind, 4e-4, warmup=10, steps=100)
    rates = [schedule.at(step) for step in range(100)]
    assert rates[0] == pytest.approx(4e-5)
    assert max(rates) == pytest.approx(4e-4)
    assert rates[9] == pytest.approx(4e-4)
    assert all(0 < rate <= 4e-4 * (1 + 1e-12) for rate in rates), "no update is wasted on rate 0"
    assert rates[10:] == sorted(rates[10:], reverse=True)


@pytest.mark.parametrize(("kind", "floor"), [("wsd", 0.0), ("cosine", 0.1), ("linear", 0.0), ("constant", 1.0)])
def test_where_each_kind_ends(kind: str, floor: float) -> None:
    schedule = Schedule(kind, 2.0, warmup=1, steps=50)
    assert schedule.at(50) == pytest.approx(2 * floor)
    assert schedule.at(10**9) == schedule.at(50)


def test_a_floor_of_ones_own() -> None:
    for kind in ("wsd", "cosine", "linear"):
        assert Schedule(kind, 1.0, warmup=0, steps=20, floor=0.25).at(20) == pytest.approx(0.25)


def test_halfway_points() -> None:
    assert Schedule("cosine", 1.0, warmup=0, steps=100).at(50) == pytest.approx(0.55)
    assert Schedule("linear", 1.0, warmup=0, steps=100).at(50) == pytest.approx(0.5)
    wsd = Schedule("wsd", 1.0, warmup=0, steps=100, decay=0.2)
    assert wsd.at(79) == wsd.at(80) == 1.0
    assert wsd.at(85) == pytest.approx(1 - math.sqrt(0.25))


def test_the_stable_part_of_wsd_does_not_know_the_total() -> None:
    short, long = (Schedule("wsd", 3e-4, warmup=7, steps=steps) for steps in (100, 100_000))
    assert [short.at(s) for s in range(80)] == [long.at(s) for s in range(80)]


@pytest.mark.parametrize("kind", KINDS)
def test_one_step_is_a_run(kind: str) -> None:
    assert Schedule(kind, 1.0, warmup=0, steps=1).at(0) == 1.0


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"kind": "cosin"}, "did you mean `cosine`"),
        ({"lr": 0.0}, "lr"),
        ({"lr": float("nan")}, "lr"),
        ({"steps": 0}, "step"),
        ({"decay": 1.5}, "decay"),
        ({"floor": -0.1}, "floor"),
        ({"warmup": -1}, "warmup"),
        ({"warmup": 85}, "don't fit"),
    ],
)
def test_nonsense_is_refused(change: dict, word: str) -> None:
    given = {"kind": "wsd", "lr": 1e-3, "warmup": 5, "steps": 100, **change}
    with pytest.raises(RecipeError, match=word):
        Schedule(**given)
