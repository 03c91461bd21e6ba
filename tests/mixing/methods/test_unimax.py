"""UniMax: against the level that water-filling finds by bisection, and the paper's loop written again."""

import math

import numpy as np
import pytest

from mixing.evidence import Evidence
from mixing.method import Answer
from mixing.methods.unimax import Unimax
from mixing.problem import problem_of
from mixing.settings import mixing_settings
from tests.mixing.worlds import domains


def answer(sizes: list[int], epochs: float, tokens: float) -> Answer:
    some = domains(**{f"d{i:02}": size for i, size in enumerate(sizes)})
    return Unimax(epochs).weights(problem_of(mixing_settings({"tokens": tokens}), some), Evidence())


def by_water(sizes: list[int], epochs: float, tokens: float) -> np.ndarray:
    """The level at which what all domains take, each up to its cap, is the budget."""
    caps, low, high = epochs * np.array(sizes, float), 0.0, 1e18
    for _ in range(300):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(middle, caps).sum() < tokens else (low, middle)
    taken = np.minimum(high, caps)
    return taken / taken.sum()


def by_paper(sizes: list[int], epochs: float, tokens: float) -> np.ndarray:
    """Algorithm 1 of arXiv 2304.09151, smallest first: an even share of what is left, or the cap."""
    left, taken = tokens, {}
    for place, i in enumerate(sorted(range(len(sizes)), key=lambda i: sizes[i])):
        even = left / (len(sizes) - place)
        taken[i] = sizes[i] * epochs if even > sizes[i] * epochs else even
        left -= taken[i]
    return np.array([taken[i] for i in range(len(sizes))]) / math.fsum(taken.values())


@pytest.mark.parametrize("seed", range(30))
def test_it_is_water_filling(seed: int) -> None:
    draw = np.random.default_rng(seed)
    sizes = [int(size) for size in draw.lognormal(8, 2, size=int(draw.integers(1, 12))) + 1]
    epochs, tokens = float(draw.choice([0.5, 1, 4, 10])), float(sum(sizes) * draw.choice([0.01, 0.3, 1, 3, 20]))
    found = answer(sizes, epochs, tokens)
    assert found.weights == pytest.approx(by_water(sizes, epochs, tokens), abs=1e-9)
    assert found.weights == pytest.approx(by_paper(sizes, epochs, tokens), abs=1e-12)
    unplaced = max(tokens - epochs * sum(sizes), 0)
    assert found.facts["tokens without a place"] == pytest.approx(unplaced, abs=1e-6 * tokens)
    assert bool(found.notes) == (unplaced > 0)


def test_a_budget_that_finds_no_place_is_told() -> None:
    found = answer([100, 300], 2, 1000)
    assert found.weights.tolist() == [0.25, 0.75]
    assert found.notes == ("200 of 1,000 tokens find no place under 2 epochs",)


def test_without_a_budget_it_is_all_tokens_there_are() -> None:
    assert answer([100, 300], 1, 0).weights.tolist() == [0.25, 0.75]
    assert answer([100, 300], 4, 0).weights.tolist() == [0.5, 0.5]


def test_what_cannot_be_trained_on_takes_nothing() -> None:
    some = domains(a=100, b=0, c=1000, d=1000)
    problem = problem_of(mixing_settings({"tokens": 1000, "held_out": ["d"]}), some)
    assert Unimax(4).weights(problem, Evidence()).weights == pytest.approx([0.4, 0, 0.6, 0])
