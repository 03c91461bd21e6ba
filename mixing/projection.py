"""The mixture within limits that is nearest to a point, in Kullback-Leibler divergence.

    project(p) = argmin sum_i a_i log(a_i / p_i)  within the limits
    a_i = clip(p_i exp(m_0 + sum_g m_g [i in g]), lower_i, upper_i)

One multiplier belongs to the sum (m_0) and one to each bound on a total (m_g): above 0 only where the total is at its
lower bound, below 0 only at its upper one. They maximize a concave function whose slopes are what the totals lack.

1. Bounds on single domains only: m_0 alone, a formula once it is known which domains are clipped (``_level``).
2. Else bounds are tightened by what they imply of each other, each multiplier in turn is found by the same formula
   (Dykstra's method with KL projections; iterative proportional fitting, where bounds are equalities), and Newton's
   method, with what is clipped left out, takes it from there.
3. Where nearly all is clipped the slopes hardly change and both crawl. Then an interior-point method finds the
   multipliers (S. Mehrotra, SIAM Journal on Optimization 2, 1992).

Domains are put in an order of their own first, by weight and limits, so that no order of input can change a sum.

Legend: k domains, m multipliers; x = log p and z = x + multipliers, [k]; rows [m, k] of 0 and 1, the first all 1.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jacorpus.errors import RecipeError
from mixing.limits import Bound, Limits

_MET, _ENOUGH = 1e-15, 2e-13
"""What totals may lack: Newton goes on to the first, and is content with the second."""

_STEPS = 40
"""Of Newton's method: one an e-fold, where a weight has to vanish."""

_EDGE = 1e-6

_LARGE = 1e5
"""Multipliers beyond this leave 11 digits, as where bounds that touch let one rise for ever."""

_FIXED = 1e-13
"""Bounds nearer to each other leave nothing open."""

_TINY = 5e-324
"""The least number above 0: stands for 0 in logarithms."""


def project(point: np.ndarray, limits: Limits) -> np.ndarray:
    """float64 [k]: the mixture within the limits nearest to ``point`` [k], weights of any scale, 0 or more.

    It meets the limits to 1e-12. What has no weight gets none, as KL would be infinite. Raises RecipeError for weights
    that are negative or no numbers, for limits that can't hold together, and for those that ask for weight where the
    point has none, naming them.
    """
    point = _checked(point, limits)
    some = np.flatnonzero(point)
    lower, upper, rows = limits.lower[some], limits.upper[some], limits.matrix[:, some]
    order = np.lexsort((*rows, upper, lower, point[some]))
    dual = _Dual.of(point[some][order], lower[order], upper[order], rows[:, order], limits.spans)
    found = np.zeros(len(point))
    found[some[order]] = dual.solved()
    if limits.violation(found) <= 5e-13:
        return found
    held = _without_zeros(point, limits)
    held.check()
    return held.nearest(np.nan_to_num(found))


def project_naive(point: np.ndarray, limits: Limits, rounds: int = 100_000) -> np.ndarray:
    """Readable twin of ``project``: Dykstra's method, one KL projection after the other until nothing changes.

    What each changed is taken back before its next turn. Slow where limits nearly touch.
    """
    weights = _checked(point, limits) / np.sum(point)
    everyone = Bound("sum", np.ones(len(weights), bool), 1.0, 1.0)
    totals = [bound for bound in (*limits.groups, everyone) if bound.members.any()]
    changes = [np.ones(len(weights)) for _ in range(len(totals) + 1)]
    for _ in range(rounds):
        before = weights
        for i, bound in enumerate([None, *totals]):
            bare = np.divide(weights, changes[i], out=np.zeros(len(weights)), where=changes[i] > 0)
            if bound is None:
                weights = np.clip(bare, limits.lower, limits.upper)
            else:
                total = bare[bound.members].sum() or 1.0
                weights = np.where(bound.members, bare * (np.clip(total, bound.lower, bound.upper) / total), bare)
            changes[i] = np.divide(weights, bare, out=np.ones(len(weights)), where=bare > 0)
        if np.abs(weights - before).max() < 1e-16:
            break
    return weights


def _checked(point: np.ndarray, limits: Limits) -> np.ndarray:
    point = np.asarray(point, float)
    if point.shape != limits.lower.shape:
        raise RecipeError(f"{point.size} weights can't be brought within limits on {len(limits.names)} domains")
    if not (np.isfinite(point).all() and point.min() >= 0 and point.max() > 0):
        raise RecipeError(f"weights to bring within limits must be numbers, 0 or more, not all 0: {point.tolist()}")
    return point


def _without_zeros(point: np.ndarray, limits: Limits) -> Limits:
    """Limits that also hold what has no weight at 0."""
    one = np.eye(len(point), dtype=bool)
    zeros = [Bound(f"{limits.names[i]} has no weight to begin with", one[i], 0, 0) for i in np.flatnonzero(point == 0)]
    return Limits(limits.names, (*limits.bounds, *zeros))


def _shares(z: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """clip(exp(z), lower, upper), for bounds up to 1."""
    return np.minimum(np.maximum(np.exp(np.minimum(z, 0.0)), lower), upper)


def _level(x: np.ndarray, box: np.ndarray, total: float) -> float:
    """The shift s with sum clip(exp(x + s), lower, upper) = total; out of reach, the one that comes nearest.

    box [4, k]: lower, upper, their logarithms. Between the shifts where one more is clipped or freed the sum is
    c + d exp(s): bisection finds which two, the rest is a formula.
    """
    lower, upper, low, high = box
    begin, end = low - x, high - x
    marks = np.sort(np.concatenate((begin, end)))
    first, last = 0, len(marks) - 1
    if total <= lower.sum():
        return float(marks[first])
    if total >= upper.sum():
        return float(marks[last])
    while last - first > 1:
        middle = (first + last) // 2
        if _shares(x + marks[middle], lower, upper).sum() <= total:
            first = middle
        else:
            last = middle
    below, above = begin >= marks[last], end <= marks[first]
    free = x[~(below | above)]
    rest = total - lower[below].sum() - upper[above].sum()
    if not len(free) or rest <= 0:
        return float(marks[first])
    top = free.max()
    shift = np.log(rest / np.exp(free - top).sum()) - top
    return float(min(max(shift, marks[first]), marks[last]))


@dataclass(frozen=True, eq=False)
class _Dual:
    """A projection by its multipliers. point, x [k]; box [4, k]: lower, upper, their logarithms; rows [m, k]; least,
    most [m]: what the totals of the rows may be."""

    point: np.ndarray
    x: np.ndarray
    box: np.ndarray
    rows: np.ndarray
    least: np.ndarray
    most: np.ndarray

    @staticmethod
    def of(point: np.ndarray, lower: np.ndarray, upper: np.ndarray, rows: np.ndarray, spans: np.ndarray) -> "_Dual":
        """Groups left out that hold all or none of what can still change: the sum says what they add up to."""
        upper = np.maximum(lower, upper)
        if len(rows):
            count = rows @ (upper - lower > _FIXED)
            kept = (count > 0) & (count < np.count_nonzero(upper - lower > _FIXED))
            rows, spans = rows[kept], spans[kept]
        x = np.log(point)
        box = np.array([lower, upper, *np.log(np.maximum((lower, upper), _TINY))])
        rows = np.concatenate((np.ones((1, len(x))), rows))
        return _Dual(point, x - x.max(), box, rows, np.append(1.0, spans[:, 0]), np.append(1.0, spans[:, 1]))

    @cached_property
    def members(self) -> list[np.ndarray]:
        return [np.flatnonzero(row) for row in self.rows]

    def solved(self) -> np.ndarray:
        """float64 [k]: the weights."""
        multipliers = np.zeros(len(self.rows))
        multipliers[0] = _level(self.x, self.box, 1.0)
        weights = self.alone(multipliers[0])
        if not self.lacks(multipliers, weights)[1:].any():
            return weights
        return self.tightened().together()

    def together(self) -> np.ndarray:
        """float64 [k]: the weights, by the cheapest way that gets there."""
        multipliers = np.zeros(len(self.rows))
        multipliers[0] = _level(self.x, self.box, 1.0)
        if len(self.rows) == 1:
            return self.alone(multipliers[0])
        for attempt in range(6):
            if attempt == 3:
                multipliers = _interior(self)
            else:
                self.cycle(multipliers)
            weights, met = self.newton(multipliers)
            if met:
                break
        return weights

    def alone(self, shift: float) -> np.ndarray:
        """Weights without groups. What isn't clipped shares what is left in proportion, to the last digit."""
        lower, upper, low, high = self.box
        z = self.x + shift
        free = (z > low) & (z < high)
        weights = np.where(z <= low, lower, upper)
        if free.any():
            part = self.point[free] / self.point[free].max()
            weights[free] = 0.0
            weights[free] = part * ((1.0 - weights.sum()) / part.sum())
        return np.minimum(np.maximum(weights, lower), upper)

    def lacks(self, multipliers: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """float64 [m]: what each total lacks to where its multiplier wants it; 0 at the answer."""
        totals = self.rows @ weights
        under, over = self.least - totals, self.most - totals
        within = np.maximum(under, 0.0) + np.minimum(over, 0.0)
        return np.where(multipliers > 0, under, np.where(multipliers < 0, over, within))

    def cycle(self, multipliers: np.ndarray) -> None:
        """Each multiplier in turn, exactly, the sum's last; in place."""
        z = self.x + multipliers @ self.rows
        for j in (*range(1, len(multipliers)), 0):
            own, least, most = self.members[j], self.least[j], self.most[j]
            box, bare = self.box[:, own], z[own] - multipliers[j]
            total = _shares(bare, box[0], box[1]).sum()
            inside = least <= total <= most
            multipliers[j] = 0.0 if inside else _level(bare, box, least if total < least else most)
            z[own] = bare + multipliers[j]

    def newton(self, multipliers: np.ndarray) -> tuple[np.ndarray, bool]:
        """(weights, whether they are the answer); the multipliers in place."""
        weights = _shares(self.x + multipliers @ self.rows, *self.box[:2])
        lacks = self.lacks(multipliers, weights)
        worst, stalls = np.abs(lacks).max(), 0
        for _ in range(_STEPS):
            if worst <= _MET or stalls > 3:
                break
            for edge in (0.0, _EDGE) if stalls % 2 == 0 else (_EDGE, 0.0):
                step = self.direction(multipliers, weights, lacks, edge)
                moved = self.search(multipliers, step, float(lacks @ step))
                if moved is not None:
                    break
            if moved is None:
                break
            multipliers[:], weights = moved
            lacks = self.lacks(multipliers, weights)
            before, worst = worst, np.abs(lacks).max()
            stalls = stalls + 1 if worst > 0.7 * before else 0
        return self.polished(multipliers, weights, lacks)

    def direction(
        self, multipliers: np.ndarray, weights: np.ndarray, lacks: np.ndarray, edge: float = 0.0
    ) -> np.ndarray:
        """Newton's step [m]. Multipliers at 0 move only the way their total lacks; those of clipped totals don't.

        edge: what is clipped by less (a logarithm) counts as free, as it may be a step further on.
        """
        z = self.x + multipliers @ self.rows
        free = np.where((z > self.box[2] - edge) & (z < self.box[3] + edge), weights, 0.0)
        curve = (self.rows * free) @ self.rows.T
        size = curve.diagonal()
        active = ((multipliers != 0) | (lacks != 0)) & (size > 1e-200)
        step = np.zeros(len(multipliers))
        while active.any():
            scale = 1 / np.sqrt(size[active])
            part = curve[np.ix_(active, active)] * scale[:, None] * scale
            part.flat[:: len(part) + 1] += 1e-13  # totals may repeat each other: languages add up to the sum
            step[:] = 0.0
            step[active] = np.linalg.solve(part, lacks[active] * scale) * scale
            wrong = active & (multipliers == 0) & (step * lacks < 0) & (self.least < self.most)
            if not wrong.any():
                break
            active &= ~wrong
        return step

    def search(self, multipliers: np.ndarray, step: np.ndarray, slope: float) -> tuple[np.ndarray, np.ndarray] | None:
        """(multipliers, weights) along the step where the function is still rising or nearly flat; None if that is
        nowhere near. A multiplier that would change its sign stops at 0."""
        if not slope > 0:
            return None
        length, stop = 1.0, -1
        for j in np.flatnonzero((multipliers * step < 0) & (self.least < self.most)):
            if -multipliers[j] / step[j] <= length:
                length, stop = -multipliers[j] / step[j], int(j)
        aim = np.where(multipliers + step * (multipliers == 0) > 0, self.least, self.most)
        for tries in range(8):
            new = multipliers + length * step
            if stop >= 0 and not tries:
                new[stop] = 0.0
            weights = _shares(self.x + new @ self.rows, *self.box[:2])
            left = float((aim - self.rows @ weights) @ step)
            if left >= -0.25 * slope:
                return new, weights
            length *= min(max(slope / (slope - left), 0.1), 0.9)
        return None

    def polished(self, multipliers: np.ndarray, weights: np.ndarray, lacks: np.ndarray) -> tuple[np.ndarray, bool]:
        """(weights, whether they are the answer), after Newton's steps on the weights themselves: large multipliers
        leave too few digits for the rest."""
        worst = np.abs(lacks).max()
        for _ in range(2):
            if worst <= _MET or worst > 1e-6:
                break
            step = self.direction(multipliers, weights, lacks)
            new = weights * np.exp(np.minimum(step @ self.rows, 1.0))
            new = np.minimum(np.maximum(new, self.box[0]), self.box[1])
            lacks = self.lacks(multipliers, new)
            if np.abs(lacks).max() >= worst:
                break
            weights, worst = new, np.abs(lacks).max()
        return weights, bool(worst <= _ENOUGH and np.abs(multipliers).max() < _LARGE)

    def tightened(self) -> "_Dual":
        """The same with what the bounds imply of each other: a domain's share of a total is what others leave."""
        (lower, upper), least, most = self.box[:2], self.least, self.most
        inside = self.rows > 0
        for _ in range(10):
            before = (lower, upper)
            base, top = self.rows @ lower, self.rows @ upper
            least, most = np.maximum(least, np.minimum(base, most)), np.minimum(most, np.maximum(top, least))
            highest = np.where(inside, (most - base)[:, None] + lower, 1.0).min(0)
            lowest = np.where(inside, (least - top)[:, None] + upper, 0.0).max(0)
            lower, upper = np.minimum(np.maximum(lower, lowest), upper), np.maximum(np.minimum(upper, highest), lower)
            lower = np.minimum(lower, upper)
            if np.array_equal((lower, upper), before):
                break
        return _Dual.of(self.point, lower, upper, self.rows[1:], np.column_stack((least, most))[1:])


@np.errstate(all="ignore")
def _interior(dual: _Dual) -> np.ndarray:
    """float64 [m]: multipliers by a primal-dual interior-point method, predictor and corrector.

    v: the weights and the groups' totals that are open, within lower and upper; matrix v = goal ties them. pull, push:
    multipliers of their bounds.
    """
    k, groups = len(dual.x), len(dual.rows) - 1
    matrix = np.hstack((dual.rows, -np.eye(groups + 1)[:, 1:]))
    lower, upper = np.append(dual.box[0], dual.least[1:]), np.append(dual.box[1], dual.most[1:])
    is_open = upper - lower > _FIXED
    goal = np.append(1.0, np.zeros(groups)) - matrix[:, ~is_open] @ ((lower + upper) / 2)[~is_open]
    weight, x = (np.arange(k + groups) < k)[is_open], np.append(dual.x, np.zeros(groups))[is_open]
    matrix, v = matrix[:, is_open], ((lower + upper) / 2)[is_open]
    under, over = v - lower[is_open], upper[is_open] - v
    multipliers, pull, push = np.zeros(groups + 1), np.ones(len(v)), np.ones(len(v))
    for _ in range(100):
        gap = (under @ pull + over @ push) / (2 * len(v))
        tilt = np.where(weight, np.log(v) - x, 0.0) - multipliers @ matrix - pull + push
        miss = goal - matrix @ v
        if gap < 1e-15 and np.abs(miss).max() < 1e-14 and np.abs(tilt * np.where(weight, v, 1e-2)).max() < 1e-11:
            break
        curve = np.where(weight, 1 / v, 0.0) + pull / under + push / over
        system = (matrix / curve) @ matrix.T
        system.flat[:: len(system) + 1] = system.diagonal() * (1 + 1e-13) + _TINY  # totals may repeat each other
        aim_under, aim_over = -under * pull, -over * push
        for correct in (False, True):
            side = aim_under / under - aim_over / over - tilt
            turn = np.linalg.solve(system, miss - matrix @ (side / curve))
            dv = (turn @ matrix + side) / curve
            dpull, dpush = (aim_under - pull * dv) / under, (aim_over + push * dv) / over
            reach = np.concatenate((-dv / under, dv / over, -dpull / pull, -dpush / push)).max()
            length = min(1.0, 0.995 / reach) if reach > 0 else 1.0
            if not correct:
                after = (under + length * dv) @ (pull + length * dpull) + (over - length * dv) @ (push + length * dpush)
                aim = max(gap * (after / (2 * len(v)) / gap) ** 3, 1e-17)
                aim_under, aim_over = aim - under * pull - dv * dpull, aim - over * push + dv * dpush
        if not (np.isfinite(dv).all() and np.isfinite(turn).all()):
            break  # no mixture is possible
        multipliers, v = multipliers + length * turn, v + length * dv
        under, over, pull, push = under + length * dv, over - length * dv, pull + length * dpull, push + length * dpush
    room = np.zeros(groups)
    room[is_open[k:]] = np.minimum(under, over)[~weight]
    multipliers[1:][room > np.abs(multipliers[1:])] = 0.0
    return multipliers
