"""Which domain each row of the training stream comes from: a mixture kept exactly, not by chance.

Drawing each row's domain at random misses a mixture by about sqrt(n) rows after n rows. Here every domain is less
than one row away from its share at every row, and any row is looked up without what came before:

    weights -> quotas      once, by largest remainder: c_i of Q = 65,536 rows, at least 1 for each positive weight
    quotas  -> a period    Q rows, dealt by the rule of Tijdeman's chairman (R. Tijdeman, The chairman assignment
                           problem, Discrete Mathematics 32, 1980): no domain is ever more than 1 - 1/(2k-2) rows off
    a period, repeated     row r has the domain of row r mod Q

The shares c_i/Q are what a plan records. Largest remainder on running totals would not do for the dealing itself: a
domain's rounded total can fall from one row to the next.

Only the weights decide what is dealt; names break ties between equal weights.

Legend: k domains, Q rows of a period, c_i rows of domain i in it.
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache

import numpy as np

from jacorpus.errors import RecipeError

PERIOD = 65_536
"""Q: rows of a period."""


def quotas(weights: Mapping[str, float], period: int = PERIOD) -> dict[str, int]:
    """Rows of a period for each domain of positive weight, by name; they add up to ``period``.

    A domain whose share is less than a row has one; the others keep their proportions in what is left. weights: any
    scale. Raises RecipeError for weights that are negative or no numbers, for none above 0, and for
    more domains than rows.
    """
    for name, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise RecipeError(f"the weight of domain `{name}` is {weight}; weights are 0 or more")
    positive = {name: Fraction(weight) for name, weight in weights.items() if weight > 0}
    if not positive:
        raise RecipeError("no domain of the mixture has a weight above 0; give at least one, such as {web = 1.0}")
    if len(positive) > period:
        raise RecipeError(f"{len(positive):,} domains don't fit into a period of {period:,} rows; merge small ones")
    small: set[str] = set()  # would have less than one row
    while True:
        total = sum(weight for name, weight in positive.items() if name not in small)
        exact = {name: weight * (period - len(small)) / total for name, weight in positive.items() if name not in small}
        fallen = {name for name, share in exact.items() if share < 1}
        if not fallen:
            break
        small |= fallen
    found = dict.fromkeys(small, 1) | {name: math.floor(share) for name, share in exact.items()}
    left = period - sum(found.values())
    for name in sorted(exact, key=lambda name: (found[name] - exact[name], -exact[name], name))[:left]:
        found[name] += 1
    return dict(sorted(found.items()))


def deal_naive(counts: Sequence[int]) -> np.ndarray:
    """Readable twin of ``deal``: at each row, of the domains that may have it, the one that must have one soonest."""
    period, k = sum(counts), len(counts)
    if k == 1:
        return np.zeros(period, np.int32)
    slack, had, rows = Fraction(1, 2 * k - 2), [0] * k, []
    for row in range(1, period + 1):
        due = [Fraction(c * row, period) - n for c, n in zip(counts, had, strict=True)]  # rows owed to each
        latest = [(n + 1 - slack) * period / c for c, n in zip(counts, had, strict=True)]  # owed 1 - slack by then
        chosen = min((math.floor(latest[i]), i) for i in range(k) if due[i] >= slack)[1]
        had[chosen] += 1
        rows.append(chosen)
    return np.array(rows, np.int32)


@lru_cache(maxsize=64)
def deal(counts: tuple[int, ...]) -> np.ndarray:
    """int32 [sum(counts)]: the domain's number for each row of a period; don't write into it.

    Every row of a domain is a job with a first and a last row it may take; the earliest deadline goes first. Equal
    deadlines go to the lower number.
    """
    period, k = sum(counts), len(counts)
    if k == 1:
        return np.zeros(period, np.int32)
    size = np.array(counts, np.int64)
    domain = np.repeat(np.arange(k), size)
    job = np.arange(period) - np.repeat(np.cumsum(size) - size, size)  # j-th row of its domain
    unit, rows = 2 * k - 2, size[domain] * (2 * k - 2)
    first = -(-(job * unit + 1) * period // rows) - 1  # counted from 0
    last = ((job + 1) * unit - 1) * period // rows
    order = np.argsort(first, kind="stable")
    keys = (last * k + domain)[order].tolist()
    until = np.searchsorted(first[order], np.arange(period), side="right").tolist()
    waiting: list[int] = []
    dealt, released = [], 0
    for end in until:
        while released < end:
            heapq.heappush(waiting, keys[released])
            released += 1
        dealt.append(heapq.heappop(waiting))
    found = (np.array(dealt, np.int64) % k).astype(np.int32)
    found.setflags(write=False)
    return found


@dataclass(frozen=True)
class Schedule:
    """A mixture dealt for ever: who has row r, and how many rows each domain had before it. All by table.

    quotas: rows of a period by name, as ``quotas`` gives them. Numbers of domains are places in ``names``.
    """

    quotas: dict[str, int]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(sorted(self.quotas))

    @cached_property
    def period(self) -> int:
        """Q."""
        return sum(self.quotas.values())

    @cached_property
    def counts(self) -> np.ndarray:
        """int64 [k]: c_i in the order of ``names``."""
        return np.array([self.quotas[name] for name in self.names], np.int64)

    @cached_property
    def table(self) -> np.ndarray:
        """int32 [Q]: number of the domain of each row of a period."""
        ranked = sorted(range(len(self.names)), key=lambda i: (-self.counts[i], self.names[i]))
        return np.array(ranked, np.int32)[deal(tuple(int(self.counts[i]) for i in ranked))]

    @cached_property
    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of a period sorted by domain, and where each domain's begin."""
        order = np.argsort(self.table, kind="stable")
        return order, np.concatenate([[0], np.cumsum(self.counts)])

    @cached_property
    def _nth(self) -> np.ndarray:
        """int64 [Q]: how many rows of the same domain come before each row of a period."""
        order, starts = self._places
        found = np.empty(self.period, np.int64)
        found[order] = np.arange(self.period) - np.repeat(starts[:-1], self.counts)
        return found

    def domain(self, rows: np.ndarray) -> np.ndarray:
        """int32: number of the domain of each row."""
        return self.table[rows % self.period]

    def nth(self, rows: np.ndarray) -> np.ndarray:
        """int64: how many rows of its own domain come before each row."""
        whole, rest = np.divmod(rows, self.period)
        return whole * self.counts[self.table[rest]] + self._nth[rest]

    def count(self, name: str, rows: int) -> int:
        """How many of the first ``rows`` rows are of a domain."""
        i = self.names.index(name)
        whole, rest = divmod(rows, self.period)
        if not rest:
            return whole * int(self.counts[i])
        order, starts = self._places
        return whole * int(self.counts[i]) + int(np.searchsorted(order[starts[i] : starts[i + 1]], rest))
