"""Quotas: a mixture is kept to less than a row at every row, for any weights."""

import math
import random
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.errors import RecipeError
from mixing.schedule import PERIOD, Schedule, deal, deal_naive, quotas

WEIGHTS = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=4),
    st.one_of(st.floats(0, 1), st.sampled_from([1e-12, 1e-300, 1e12, 0.1, 1 / 3]), st.integers(0, 10)),
    min_size=1,
    max_size=12,
).filter(lambda weights: any(weight > 0 for weight in weights.values()))


def mixtures() -> list[dict[str, float]]:
    """Ordinary and extreme ones."""
    draw = random.Random(0)
    found: list[dict[str, float]] = [
        {"a": 1},
        {"a": 1, "b": 1e-9},
        {"a": 1, "b": 1, "c": 1},
        {"big": 1e9} | {f"tiny{i}": 1e-9 for i in range(40)},
        {f"d{i}": 1 for i in range(101)},
        {f"d{i}": 2.0**-i for i in range(60)},
        {"a": 0.5 + 1e-9, "b": 0.5 - 1e-9},
    ]
    for power in (0, 1, 3, 10, 30):
        found += [{f"d{i}": draw.random() ** power for i in range(draw.randrange(2, 40))} for _ in range(4)]
    return found


def worst_deviation(schedule: Schedule) -> float:
    """Most rows any domain is off its share at any prefix of a period."""
    rows = np.arange(1, schedule.period + 1)
    off = [
        np.abs(np.cumsum(schedule.table == i) * schedule.period - rows * count).max()
        for i, count in enumerate(schedule.counts)
    ]
    return max(off) / schedule.period


@pytest.mark.parametrize("weights", mixtures(), ids=len)
def test_every_prefix_is_less_than_a_row_off(weights):
    schedule = Schedule(quotas(weights))
    k = len(schedule.names)
    assert worst_deviation(schedule) <= (1 - 1 / (2 * k - 2) if k > 1 else 0) < 1
    assert np.bincount(schedule.table, minlength=k).tolist() == schedule.counts.tolist()


def test_dealing_is_the_readable_rule():
    draw = random.Random(1)
    for _ in range(30):
        counts = tuple(draw.randrange(1, 1 + draw.choice([2, 30])) for _ in range(draw.randrange(1, 9)))
        assert deal(counts).tolist() == deal_naive(counts).tolist(), counts


@given(WEIGHTS)
@settings(max_examples=100)
def test_quotas_add_up_and_are_near_the_weights(weights):
    found, total = quotas(weights), math.fsum(weights.values())
    assert sum(found.values()) == PERIOD
    assert set(found) == {name for name, weight in weights.items() if weight > 0}
    ones = sum(count == 1 for count in found.values())
    for name, count in found.items():
        assert count >= 1
        assert abs(count - weights[name] / total * PERIOD) < 1 + ones


def test_scale_and_order_of_weights_change_nothing():
    weights = {"a": 0.7, "b": 0.2, "c": 0.1}
    assert quotas(weights) == quotas({name: weight * 8 for name, weight in reversed(weights.items())})
    assert quotas({"a": 1, "b": 1, "c": 0}) == {"a": 32768, "b": 32768}


def test_names_are_only_names():
    """Domains renamed: the same rows under the new names."""
    weights = {"a": 5.0, "b": 2.5, "c": 1.0, "d": 0.25, "e": 0.01}
    new = {"a": "z", "b": "a", "c": "y", "d": "b", "e": "m"}
    one, other = Schedule(quotas(weights)), Schedule(quotas({new[name]: w for name, w in weights.items()}))
    rows = np.arange(PERIOD)
    renamed = [other.names.index(new[name]) for name in one.names]
    assert (np.array(renamed)[one.domain(rows)] == other.domain(rows)).all()
    assert (one.nth(rows) == other.nth(rows)).all()


def test_any_row_is_looked_up_alone():
    schedule = Schedule(quotas({"a": 3, "b": 2, "c": 0.001}))
    rows = np.arange(3 * PERIOD)
    domain, nth = schedule.domain(rows), schedule.nth(rows)
    for i, name in enumerate(schedule.names):
        mine = domain == i
        assert nth[mine].tolist() == list(range(mine.sum()))
        for r in (0, 1, 2, 1000, PERIOD - 1, PERIOD, PERIOD + 1, 3 * PERIOD):
            assert schedule.count(name, r) == mine[:r].sum()
    far = 10**12 * PERIOD + 17
    assert schedule.nth(np.array([far]))[0] == schedule.count(schedule.names[domain[17]], far)


def test_counts_never_fall():
    schedule = Schedule(quotas({f"d{i}": 1.3**i for i in range(20)}))
    for name in schedule.names:
        counts = [schedule.count(name, r) for r in range(500)]
        assert all(b - a in (0, 1) for a, b in pairwise(counts))


@pytest.mark.parametrize(
    "weights", [{}, {"a": 0}, {"a": -1, "b": 2}, {"a": math.nan}, {"a": math.inf}, {str(i): 1 for i in range(70_000)}]
)
def test_wrong_weights_are_told(weights):
    with pytest.raises(RecipeError):
        quotas(weights)


def test_more_small_domains_than_rows_left_still_add_up():
    found = quotas({"big": 1.0} | {f"d{i}": 1e-9 for i in range(PERIOD - 5)})
    assert sum(found.values()) == PERIOD
    assert found["big"] == 5


def test_dealing_is_quick():
    """No bar on time, only on its kind: a hundred domains in far less than the seconds a quadratic rule takes."""
    deal.cache_clear()
    start = time.process_time()
    _ = Schedule(quotas({f"d{i}": 1 + i**3 for i in range(100)})).table
    assert time.process_time() - start < 2
