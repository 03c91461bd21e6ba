"""What a mixture may be: bounds on single domains and on totals of several, and whether they can hold together.

    lower_b <= sum of a_i over the members of b <= upper_b       for every bound b;      a >= 0,  sum a = 1

A bound of one member is a box. Where the others share no domain (languages only, say) a point of least cost and the
question whether there is any are greedy sums; else they are linear programs (HiGHS, through scipy).

Limits that can't hold together are named: an irreducible set, found by leaving out one bound after the other as long
as the rest still can't (deletion filter, J. Chinneck and E. Dravnieks, ORSA Journal on Computing 3, 1991).

Legend: k domains in the order of ``names``, G bounds of several members; weights float64 [k].
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jacorpus.errors import RecipeError

TOUCH = 1e-13
"""Bounds that miss each other by less than this touch: 0.1 + 0.2 and 0.3 differ by 6e-17."""

_SCALE = 1e3
"""Weights are this in a linear program: the solver's finest tolerance is 1e-10."""

_SHOWN = 12


@dataclass(frozen=True, eq=False)
class Bound:
    """A bound on the total weight of some domains. members: bool [k]. label: as a person reads it, ``web <= 0.3``.

    Raises RecipeError for a lower bound above the upper one and for numbers outside [0, 1].
    """

    label: str
    members: np.ndarray
    lower: float = 0.0
    upper: float = 1.0

    def __post_init__(self) -> None:
        for value in (self.lower, self.upper):
            if not 0 <= value <= 1:
                raise RecipeError(f"the limit `{self.label}` has the bound {value}; bounds are shares, 0 to 1")
        if self.lower > self.upper:
            raise RecipeError(
                f"the limit `{self.label}` asks for at least {self.lower:g} and at most {self.upper:g}; swap them"
            )
        members = np.array(self.members, bool)
        members.setflags(write=False)
        object.__setattr__(self, "members", members)

    def total(self, weights: np.ndarray) -> float:
        """Weight of the members."""
        return math.fsum(weights[self.members])

    @property
    def sides(self) -> tuple["Bound", ...]:
        """What it asks for beyond 0 <= total <= 1, one at a time: its lower bound, its upper bound."""
        lower = (Bound(self.label, self.members, self.lower, 1.0),) if self.lower > 0 else ()
        return lower + ((Bound(self.label, self.members, 0.0, self.upper),) if self.upper < 1 else ())


@dataclass(frozen=True, eq=False)
class Limits:
    """Bounds on mixtures of these domains. Raises RecipeError for a bound on another number of domains."""

    names: tuple[str, ...]
    bounds: tuple[Bound, ...] = ()

    def __post_init__(self) -> None:
        for bound in self.bounds:
            if bound.members.shape != (len(self.names),):
                raise RecipeError(
                    f"the limit `{bound.label}` is over {bound.members.size} domains, the mixture has {len(self.names)}"
                )

    @staticmethod
    def of(names: Iterable[str], bounds: Iterable[Bound]) -> "Limits":
        """From any sequences."""
        return Limits(tuple(names), tuple(bounds))

    @staticmethod
    def simplex(names: Iterable[str]) -> "Limits":
        """No limits but those of every mixture: no weight below 0, sum 1."""
        return Limits(tuple(names))

    @cached_property
    def groups(self) -> tuple[Bound, ...]:
        """Bounds on several domains, or on none, sorted by label (numbers, members): no order of input matters."""

        def key(bound: Bound) -> tuple[str, float, float, list[str]]:
            return bound.label, bound.lower, bound.upper, sorted(self.names[i] for i in np.flatnonzero(bound.members))

        return tuple(sorted((bound for bound in self.bounds if bound.members.sum() != 1), key=key))

    @cached_property
    def lower(self) -> np.ndarray:
        """float64 [k]: the highest lower bound on each domain alone, 0 without one."""
        return self._box("lower", np.zeros(len(self.names)), np.maximum)

    @cached_property
    def upper(self) -> np.ndarray:
        """float64 [k]: the lowest upper bound on each domain alone, 1 without one."""
        return self._box("upper", np.ones(len(self.names)), np.minimum)

    def _box(self, side: str, found: np.ndarray, tighter: np.ufunc) -> np.ndarray:
        for bound in self.bounds:
            if bound.members.sum() == 1:
                found[bound.members] = tighter(found[bound.members], getattr(bound, side))
        found.setflags(write=False)
        return found

    @cached_property
    def matrix(self) -> np.ndarray:
        """float64 [G, k]: 1 for a member of a group, 0 else."""
        return np.array([bound.members for bound in self.groups], float).reshape(-1, len(self.names))

    @cached_property
    def spans(self) -> np.ndarray:
        """float64 [G, 2]: lower and upper bounds of the groups."""
        return np.array([(bound.lower, bound.upper) for bound in self.groups], float).reshape(-1, 2)

    @cached_property
    def disjoint(self) -> bool:
        """No domain is in two groups."""
        return not len(self.groups) or bool(self.matrix.sum(0).max(initial=0.0) <= 1)

    def violation(self, weights: np.ndarray) -> float:
        """By how much the worst bound, the sum or a sign is missed; 0 within the limits, infinite for NaN."""
        weights = np.asarray(weights, float)
        if not np.all(np.isfinite(weights)):
            return math.inf
        totals = self.matrix @ weights
        misses = (
            [abs(math.fsum(weights) - 1.0)],
            *(self.lower - weights, weights - self.upper),
            *(self.spans[:, 0] - totals, totals - self.spans[:, 1]),
        )
        return max(0.0, float(np.concatenate(misses).max()))

    def active(self, weights: np.ndarray, tolerance: float = 1e-6) -> list[tuple[str, str]]:
        """(label, "lower" or "upper") of the bounds met with equality; "upper" where both are the same number.

        What holds of any mixture, 0 <= total <= 1, is no bound here.
        """
        found = []
        for bound in self.bounds:
            total = bound.total(weights)
            if bound.upper < 1 and total >= bound.upper - tolerance:
                found.append((bound.label, "upper"))
            elif bound.lower > 0 and total <= bound.lower + tolerance:
                found.append((bound.label, "lower"))
        return found

    def least(self, cost: np.ndarray) -> np.ndarray:
        """float64 [k]: a mixture within the limits of least cost . weights, for cost [k].

        Raises RecipeError where no mixture is within the limits.
        """
        cost = np.asarray(cost, float)
        found = self._filled(cost) if self.disjoint else self._program(cost)
        if found is None:
            raise self._none_possible()
        return found

    def extent(self, i: int) -> tuple[float, float]:
        """(least, most) weight that domain number i can have."""
        cost = np.zeros(len(self.names))
        cost[i] = 1.0
        return float(self.least(cost)[i]), float(self.least(-cost)[i])

    def _filled(self, cost: np.ndarray) -> np.ndarray | None:
        """``least`` for disjoint groups, or None: lower bounds of domains, of groups, the rest; the cheapest first."""
        weights, most = self.lower.copy(), np.maximum(self.upper, self.lower)
        if np.any(self.lower > self.upper + TOUCH):
            return None
        order = np.argsort(cost, kind="stable")
        room = 1.0 - math.fsum(weights)
        spare = np.full(len(self.groups) + 1, math.inf)  # what each group can still take; the last: domains in none
        group_of = np.full(len(weights), len(self.groups))
        for g, bound in enumerate(self.groups):
            group_of[bound.members] = g
            total = bound.total(weights)
            lack = bound.lower - total
            for i in order[bound.members[order]] if lack > 0 else ():
                step = min(lack, most[i] - weights[i])
                weights[i], lack, room, total = weights[i] + step, lack - step, room - step, total + step
            spare[g] = bound.upper - total
            if lack > TOUCH or spare[g] < -TOUCH:
                return None
        if room < -TOUCH:
            return None
        for i in order:
            step = max(0.0, min(room, most[i] - weights[i], spare[group_of[i]]))
            weights[i], room = weights[i] + step, room - step
            spare[group_of[i]] -= step
        return weights if room <= TOUCH else None

    def _program(self, cost: np.ndarray) -> np.ndarray | None:
        """``least`` for any groups, or None."""
        return self._solved(cost / (np.abs(cost).max() or 1.0), np.zeros((0, len(cost))), np.zeros(0))

    def nearest(self, weights: np.ndarray) -> np.ndarray:
        """float64 [k]: the mixture within the limits whose weights differ least in sum (L1; a linear program).

        Raises RecipeError where no mixture is within the limits.
        """
        one, k = np.eye(len(weights)), len(weights)
        apart = np.vstack((np.hstack((one, -one)), np.hstack((-one, -one))))  # |new - weights| <= apart
        found = self._solved(np.repeat((0.0, 1.0), k), apart, np.concatenate((weights, -np.asarray(weights))))
        if found is None:
            raise self._none_possible()
        return found

    def _solved(self, cost: np.ndarray, rows: np.ndarray, most: np.ndarray) -> np.ndarray | None:
        """The weights of a linear program over them and what ``cost`` has beyond k; rows . all <= most besides."""
        from scipy.optimize import linprog

        if np.any(self.lower > self.upper + TOUCH):
            return None
        low, high = self.spans[:, 0] > 0, self.spans[:, 1] < 1
        k, beyond = len(self.names), len(cost) - len(self.names)
        ours = np.vstack((self.matrix[high], -self.matrix[low], np.ones((1, k))))
        ours = np.hstack((ours, np.zeros((len(ours), beyond))))
        box = np.column_stack((self.lower, np.maximum(self.upper, self.lower))) * _SCALE
        found = linprog(
            cost,
            A_ub=np.vstack((ours[:-1], rows)),
            b_ub=np.concatenate((self.spans[high, 1], -self.spans[low, 0], most)) * _SCALE,
            A_eq=ours[-1:],
            b_eq=[_SCALE],
            bounds=np.vstack((box, np.tile((0.0, np.inf), (beyond, 1)))),
            method="highs-ds",
            options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
        )
        return np.clip(found.x[:k] / _SCALE, self.lower, self.upper) if found.status == 0 else None

    def _none_possible(self) -> RecipeError:
        """What ``check`` raises, or where bounds touch so closely that it finds nothing wrong, that."""
        try:
            self.check()
        except RecipeError as error:
            return error
        return RecipeError("these limits leave no mixture by less than a rounding error: loosen one")

    @cached_property
    def possible(self) -> bool:
        """Whether any mixture is within the limits."""
        cost = np.zeros(len(self.names))
        return (self._filled(cost) if self.disjoint else self._program(cost)) is not None

    def conflict(self) -> tuple[Bound, ...]:
        """One-sided bounds that can't hold together, while any all but one of them can; none where a mixture is
        possible. Bounds on single domains are left out first, so that totals are named where there is a choice."""
        if self.possible:
            return ()
        left = [side for bound in self.bounds for side in bound.sides]
        for side in sorted(left, key=lambda side: side.members.sum() != 1):
            rest = [other for other in left if other is not side]
            if not Limits(self.names, tuple(rest)).possible:
                left = rest
        return tuple(left)

    def check(self) -> None:
        """Raises RecipeError naming the bounds in conflict, with their numbers, where no mixture is possible."""
        conflict = self.conflict()
        if not conflict:
            return
        empty = [side for side in conflict if not side.members.any()]
        if empty:
            raise RecipeError(f"the limit `{empty[0].label}` can't hold, as no domain counts to it: drop it")
        lack = _lack(self.names, conflict)
        place = f"; {lack:.4g} of the weight finds no place" if lack > 1e-12 else ""
        named = [_named(side) for side in conflict]
        if len(named) == 1:
            raise RecipeError(f"this limit can't hold: {named[0]}{place}: loosen or drop it")
        shown = named if len(named) <= _SHOWN + 1 else [*named[:_SHOWN], f"and {len(named) - _SHOWN} more like these"]
        raise RecipeError(f"these limits can't hold together: {'; '.join(shown)}{place}: loosen or drop one")


def _named(side: Bound) -> str:
    """Its label; with the number that matters where the label names another one too, or none."""
    value, word = (side.lower, "at least") if side.lower > 0 else (side.upper, "at most")
    told = [float(number) for number in re.findall(r"(?<![\w.])\d*\.?\d+(?:e-?\d+)?", side.label)]
    clear = "[" not in side.label and any(math.isclose(value, number, rel_tol=5e-4) for number in told)
    return side.label if clear else f"{side.label} ({word} {value:.10g})"


def _lack(names: Sequence[str], conflict: Sequence[Bound]) -> float:
    """Weight that finds no place: all of it is held by upper bounds, or one lower bound asks for more than fits.

    0 where several lower bounds ask for too much: there is no one number.
    """
    lowers = [side for side in conflict if side.lower > 0]
    if len(lowers) > 1:
        return 0.0
    if lowers:
        rest = Limits(tuple(names), tuple(side for side in conflict if side is not lowers[0]))
        return lowers[0].lower - lowers[0].total(rest.least(-lowers[0].members.astype(float)))
    beside = [Bound(side.label, np.append(side.members, False), side.lower, side.upper) for side in conflict]
    return Limits((*names, "no place"), tuple(beside)).extent(len(names))[0]
