"""A budget of D tokens spread over sources of U_i unique ones, so that the law's data terms are least.

    minimize  F(x) = sum over pools j of w_j B h_j^-b,    h_j = sum over its sources of q_i h(D x_i; U_i)
    x in the simplex, within boxes, epoch caps D x_i <= e U_i, and bounds on groups of sources

A pool is what one data term counts together: a language, or everything. w: how much a pool's loss matters; q: how much
a source's token is worth beside another's. h (``mixing.repeats``) is concave and s^-b convex and falling, so F is
convex: there is one best value, and the answer comes with a bound on how far it is from it.

Solved by a barrier: Newton steps on F - mu sum ln(slack) in the affine space of the equalities, from a point with all
slacks open. Bounds that the others leave no room within (a share that is fixed) become equalities first. The bound is
Frank and Wolfe's: F(x) - F* <= max over feasible y of grad F(x) . (x - y), one linear program.

The pools know nothing of each other: what Japanese gains from English text is not in the law.

Legend: k sources in the order of sorted names; x, U, q float64 [k]; m inequalities G x <= g.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from jacorpus.errors import RecipeError, nearest
from mixing.limits import Bound, Limits
from mixing.repeats import curvature, effective, next_value
from mixing.scaling import Law

TOLERANCE = 1e-9
"""Of the barrier's own gap, relative to F."""
OPEN = 1e-10
"""A slack that no feasible point opens wider is none."""


@dataclass(frozen=True, eq=False)
class Budget:
    """What is to be solved. names: sorted. pools: each source's. importance: w by pool; a pool left out has 0. quality:
    q, 1 for all where left out. Raises RecipeError for what can't be."""

    names: tuple[str, ...]
    unique: np.ndarray
    pools: tuple[str, ...]
    tokens: float
    law: Law
    limits: Limits
    importance: Mapping[str, float]
    quality: np.ndarray | None = None

    def __post_init__(self) -> None:
        if list(self.names) != sorted(set(self.names)) or self.limits.names != self.names:
            raise RecipeError("sources of a budget come once each, in the order of their names, as in its limits")
        for pool, weight in self.importance.items():
            if pool not in self.pools:
                raise RecipeError(f"no source is of `{pool}`{nearest(pool, set(self.pools))}")
            if not (math.isfinite(weight) and weight >= 0):
                raise RecipeError(f"the importance of `{pool}` is {weight}; give 0 or more")
        if not any(self.importance.values()):
            raise RecipeError("no pool's loss counts; give at least one an importance above 0")

    @cached_property
    def worth(self) -> np.ndarray:
        """q [k]."""
        return np.ones(len(self.names)) if self.quality is None else np.asarray(self.quality, np.float64)

    @cached_property
    def members(self) -> np.ndarray:
        """float64 [J, k]: 1 where a source is of a pool that counts; pools by name."""
        counted = sorted(pool for pool, weight in self.importance.items() if weight)
        return np.array([[float(pool == mine) for mine in self.pools] for pool in counted])

    @cached_property
    def weights(self) -> np.ndarray:
        """w [J], as ``members``; of sum 1."""
        found = np.array([self.importance[pool] for pool in sorted(self.importance) if self.importance[pool]])
        return found / math.fsum(found)

    def value(self, shares: np.ndarray) -> float:
        """F, nats a token; inf where a pool that counts has nothing."""
        have = self.members @ (self.worth * effective(self.tokens * shares, self.unique))
        with np.errstate(divide="ignore"):
            return float(self.weights @ self.law.data_term(have))

    def slopes(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(gradient [k], Hessian [k, k]) of F by share."""
        seen = self.tokens * shares
        have = self.members @ (self.worth * effective(seen, self.unique))
        first = -self.weights * self.law.b * self.law.B * have ** (-self.law.b - 1)  # [J], below 0
        second = -first * (self.law.b + 1) / have
        rate = self.members * (self.worth * next_value(seen, self.unique) * self.tokens)  # [J, k]
        bend = self.worth * curvature(seen, self.unique) * self.tokens**2
        gradient = first @ rate
        return gradient, (rate.T * second) @ rate + np.diag((first @ self.members) * bend)


@dataclass(frozen=True, eq=False)
class Spending:
    """shares: x [k]. value: F there. gap: F is at most so much above the least there is (a proof). steps: of Newton."""

    shares: np.ndarray
    value: float
    gap: float
    steps: int = 0
    active: list[tuple[str, str]] = field(default_factory=list)


def epoch_bounds(names: Sequence[str], unique: np.ndarray, tokens: float, epochs: float | np.ndarray) -> list[Bound]:
    """Bounds D x_i <= e_i U_i, with labels that say so; none for a source that can't reach its cap."""
    most = np.asarray(epochs, np.float64) * unique / tokens
    each = np.broadcast_to(np.asarray(epochs, np.float64), (len(names),))
    found = []
    for i, name in enumerate(names):
        if most[i] < 1:
            label = f"{name} <= {most[i]:.4g} ({each[i]:g} epochs)"
            found.append(Bound(label, np.arange(len(names)) == i, 0.0, float(most[i])))
    return found


def spend(budget: Budget) -> Spending:
    """The best shares. Raises RecipeError naming bounds in conflict, or a pool that the limits leave without text."""
    budget.limits.check()
    start = _inside(budget.limits)
    for pool, row in zip(sorted(p for p, w in budget.importance.items() if w), budget.members, strict=True):
        if not row @ (budget.worth * budget.unique * (start > OPEN)):
            raise RecipeError(f"the loss of `{pool}` counts, and the limits leave it no token; give it importance 0")
    equal, bounds, room = _split(budget.limits, start)
    free = _null_space(equal)
    shares, steps = start, 0
    if free.shape[1]:
        shares, steps = _barrier(budget, start, free, bounds, room)
    gradient = budget.slopes(shares)[0]
    gap = float(gradient @ (shares - budget.limits.least(gradient)))
    return Spending(shares, budget.value(shares), max(gap, 0.0), steps, budget.limits.active(shares))


def _inside(limits: Limits) -> np.ndarray:
    """A point at which every bound that can be open is: between the box's corners, or, with groups, the mean of the
    points that make each source and each group least and most."""
    lower, upper = limits.lower, limits.upper
    if not limits.groups:
        room = math.fsum(upper - lower)
        part = (1 - math.fsum(lower)) / room if room > OPEN else 0.0
        return lower + min(max(part, 0.0), 1.0) * (upper - lower)
    rows = [*np.eye(len(lower)), *(bound.members.astype(np.float64) for bound in limits.groups)]
    ends = [limits.least(sign * row) for row in rows for sign in (1.0, -1.0)]
    return np.mean(ends, axis=0)


def _split(limits: Limits, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(equalities' rows [p, k], G [m, k], g [m]): a bound that is closed at ``inside`` is closed everywhere."""
    k = len(inside)
    equal, rows, right = [np.ones(k)], [], []
    sides = [(np.eye(k)[i], limits.lower[i], limits.upper[i]) for i in range(k)]
    sides += [(bound.members.astype(np.float64), bound.lower, bound.upper) for bound in limits.groups]
    for row, low, high in sides:
        there = row @ inside
        if there - low <= OPEN or high - there <= OPEN:
            equal.append(row)
            continue
        rows += [-row, row]
        right += [-low, high]
    return np.array(equal), np.array(rows).reshape(-1, k), np.array(right)


def _null_space(rows: np.ndarray) -> np.ndarray:
    """[k, k - rank]: orthonormal directions that change no row's sum."""
    _, sizes, right = np.linalg.svd(rows)
    rank = int((sizes > 1e-9 * sizes[0]).sum())
    return right[rank:].T


def _barrier(
    budget: Budget, start: np.ndarray, free: np.ndarray, rows: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, int]:
    """Newton steps in the directions ``free`` while the barrier's weight falls."""
    x, steps = start, 0
    scale = budget.value(x)
    mu = scale / 10

    def height(at: np.ndarray) -> float:
        slack = right - rows @ at
        return budget.value(at) - mu * float(np.log(slack).sum()) if (slack > 0).all() else math.inf

    while True:
        for _ in range(50):
            gradient, hessian = budget.slopes(x)
            slack = right - rows @ x
            gradient = gradient + mu * (rows.T @ (1 / slack))
            hessian = hessian + mu * (rows.T * slack**-2.0) @ rows
            reduced = free.T @ hessian @ free
            down = free.T @ gradient
            # Where F is flat (text nobody counts) only the barrier curves: a touch on the diagonal keeps it solvable.
            reduced[np.diag_indices_from(reduced)] += 1e-14 * np.trace(reduced)
            step = -free @ np.linalg.solve(reduced, down)
            fall = -float(gradient @ step)
            steps += 1
            if fall < 1e-3 * mu:
                break
            x = _walked(height, x, step, fall)
        if mu * len(right) < TOLERANCE * scale:
            return x, steps
        mu /= 10


def _walked(height, x: np.ndarray, step: np.ndarray, fall: float) -> np.ndarray:  # type: ignore[no-untyped-def]
    """As far along a step as lowers the height enough; x where rounding leaves nothing to gain."""
    before, size = height(x), 1.0
    for _ in range(60):
        if height(x + size * step) <= before - 0.1 * size * fall:
            return x + size * step
        size /= 2
    return x
