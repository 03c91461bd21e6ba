"""The mixture of least F within limits: mirror descent with KL projections, a bound on what is left, a finish.

    a <- project(a exp(-eta (grad - a.grad)))     eta by backtracking, so that F falls each step (arXiv 1610.05708, the
                                                  step is safe where F curves less than KL/eta)

The bound is the least value of F linearized at the answer, with its maximum and its kept losses linearized likewise:
one linear program. For a convex F it lies below the optimum, so F less the bound certifies the answer, whatever found
it. Where mirror descent stops short of the wanted gap (limits of losses, a maximum, directions in which F hardly
changes), sequential quadratic programming (SLSQP, scipy) starts from there; its answer is taken if it is better.

Losses that are not convex (pooled counts, fitted runs) are solved from several starts, and the gap is an estimate.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jacorpus.errors import RecipeError
from mixing.limits import Limits
from mixing.method import Certificate
from mixing.objective import Objective
from mixing.projection import project

STEPS = 300
GAP = 1e-5
"""Bits per byte a mixture may be from the optimum; held-out text tells mixtures apart by a hundred times this."""

WARM_UP = 40
"""Steps with a maximum or kept losses, which are smoothed there: the finish has to solve them anyway."""

_CLIP = 8.0
_FLOOR = 1e-12
_WIDTH, _HARDNESS = 3e-3, 3e3


@dataclass(frozen=True, eq=False)
class Solution:
    """weights [k] within the limits; losses [J] there; value: F; gap: over the bound; trajectory [T, k]."""

    weights: np.ndarray
    losses: np.ndarray
    value: float
    gap: float
    trajectory: np.ndarray
    convex: bool

    @property
    def certificate(self) -> Certificate:
        """The gap, and whether it proves."""
        reason = "" if self.convex else "losses are not convex in the mixture: the bound holds near the answer only"
        return Certificate(max(self.gap, 0.0), "bits per byte", self.convex, reason)


def solve(
    objective: Objective,
    starts: Sequence[np.ndarray] = (),
    steps: int = STEPS,
    tolerance: float = GAP,
    finish: bool = True,
) -> Solution:
    """Minimize F. starts [k] each: default the prior, and where F is not convex the even and the target's own mixture.

    Raises RecipeError where losses to keep can't be kept within the limits.
    """
    problem = objective.problem
    begin = list(starts) or default_starts(objective)
    found = [_from(objective, problem.within(np.asarray(start, float)), steps, tolerance, finish) for start in begin]
    if len(problem.keep) and not any(_kept(objective, each.losses) for each in found):
        raise RecipeError(_not_kept(objective, found))
    good = [each for each in found if _kept(objective, each.losses)] or found
    return min(good, key=lambda each: (round(each.value, 12), each.weights.tolist()))


def default_starts(objective: Objective) -> list[np.ndarray]:
    """The prior; where F isn't convex also the even mixture, and the target's own domains half and half with it."""
    problem = objective.problem
    if objective.surrogate.convex:
        return [problem.prior]
    even = problem.within(np.full(len(problem.domains), 1 / len(problem.domains)))
    own = np.array([problem.target.get(name, 0.0) for name in problem.domains.names])
    own = own / own.sum() if own.sum() else even
    return [problem.prior, even, problem.within((own + even) / 2)]


def _from(objective: Objective, start: np.ndarray, steps: int, tolerance: float, finish: bool) -> Solution:
    limits = objective.problem.limits
    hard = objective.problem.worst_case or len(objective.problem.keep)
    trajectory = descend(objective, limits, start, min(steps, WARM_UP) if hard else steps, tolerance)
    weights = trajectory[-1]
    gap = objective.value(weights) - bound(objective, weights)
    if finish and (gap > tolerance or hard):
        weights = _finished(objective, limits, weights)
        gap = objective.value(weights) - bound(objective, weights)
    losses = objective.losses(weights)
    value = objective.value(weights, losses)
    return Solution(weights, losses, value, gap, np.array([*trajectory, weights]), objective.surrogate.convex)


def descend(
    objective: Objective, limits: Limits, start: np.ndarray, steps: int = STEPS, tolerance: float = GAP
) -> list[np.ndarray]:
    """Mirror descent; every step's weights. Stops at a gap below ``tolerance`` or where no step helps."""
    weights = np.maximum(start, _FLOOR)
    weights = project(weights / weights.sum(), limits)
    value, grad = objective.smoothed(weights, _WIDTH, _HARDNESS)
    passed, rate = [weights], 1.0
    for step in range(steps):
        if step % 5 == 0 and float(grad @ (weights - limits.least(grad))) < tolerance:
            break
        lean = np.clip(grad - grad @ weights, -_CLIP / rate, _CLIP / rate)
        new = project(np.maximum(weights * np.exp(-rate * lean), 1e-300), limits)
        new_value, new_grad = objective.smoothed(new, _WIDTH, _HARDNESS)
        apart = float(np.sum(new * np.log(np.maximum(new, 1e-300) / np.maximum(weights, 1e-300))))
        if new_value > value + float(grad @ (new - weights)) + max(apart, 0.0) / rate + 1e-13:
            rate /= 2
            if rate < 1e-9:
                break
            continue
        moved = float(np.abs(new - weights).sum())
        weights, value, grad, rate = new, new_value, new_grad, min(rate * 1.6, 1e6)
        passed.append(weights)
        if moved < 1e-12:
            break
    return passed


def bound(objective: Objective, weights: np.ndarray) -> float:
    """Least value of F linearized at the weights, over the limits; below the optimum where F is convex."""
    from scipy.optimize import linprog

    problem, k = objective.problem, len(weights)
    losses, rows = objective.gradient(np.maximum(weights, _FLOOR))
    pull, by_weight = objective.pull(np.maximum(weights, _FLOOR))
    grad = objective.target @ rows + by_weight
    base = objective.wanted(losses) + pull - float(grad @ weights)
    if not (problem.worst_case or len(problem.keep)):
        return base + float(grad @ problem.limits.least(grad))
    matrix, most, equal = linear_bounds(problem.limits)
    matrix = np.hstack([matrix, np.zeros((len(matrix), 1))])
    if problem.worst_case:
        block = np.hstack([rows, -np.ones((len(rows), 1))])
        matrix, most = np.vstack([matrix, block]), np.append(most, rows @ weights - objective.excess(losses))
    if len(problem.keep):
        kept = objective.kept @ rows
        block = np.hstack([kept, np.zeros((len(kept), 1))])
        matrix, most = np.vstack([matrix, block]), np.append(most, kept @ weights - objective.over(losses))
    span = [(low, high) for low, high in zip(problem.limits.lower, problem.limits.upper, strict=True)]
    found = linprog(
        np.append(grad, problem.worst_case),
        A_ub=matrix,
        b_ub=most,
        A_eq=np.append(equal, 0.0)[None],
        b_eq=[1.0],
        bounds=[*span, (None, None) if problem.worst_case else (0, 0)],
        method="highs",
    )
    assert len(equal) == k
    return base + float(found.fun) if found.status == 0 else -math.inf


def linear_bounds(limits: Limits) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(A, b, ones) of A a <= b for group bounds."""
    rows, most = [], []
    for group in limits.groups:
        if group.upper < 1:
            rows.append(group.members.astype(float))
            most.append(group.upper)
        if group.lower > 0:
            rows.append(-group.members.astype(float))
            most.append(-group.lower)
    k = len(limits.names)
    return np.array(rows).reshape(len(rows), k), np.array(most), np.ones(k)


def _finished(objective: Objective, limits: Limits, start: np.ndarray) -> np.ndarray:
    """SLSQP from there; the better of the two, kept losses first."""
    from scipy.optimize import minimize

    problem, k = objective.problem, len(start)
    memory: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}

    def at(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        key = x[:k].tobytes()
        if key not in memory:
            memory.clear()
            memory[key] = objective.gradient(np.maximum(x[:k], _FLOOR))
        return memory[key]

    def cost(x: np.ndarray) -> tuple[float, np.ndarray]:
        losses, rows = at(x)
        pull, by_weight = objective.pull(np.maximum(x[:k], _FLOOR))
        value = objective.wanted(losses) + pull + problem.worst_case * x[k]
        return value, np.append(objective.target @ rows + by_weight, problem.worst_case)

    matrix, most, equal = linear_bounds(limits)
    wide = np.hstack([matrix, np.zeros((len(matrix), 1))])
    rules = [{"type": "eq", "fun": lambda x: x[:k].sum() - 1, "jac": lambda x: np.append(equal, 0.0)[None]}]
    if len(wide):
        rules.append({"type": "ineq", "fun": lambda x: most - wide @ x, "jac": lambda x: -wide})
    if problem.worst_case:
        rules.append(
            {
                "type": "ineq",
                "fun": lambda x: x[k] - objective.excess(at(x)[0]),
                "jac": lambda x: np.hstack([-at(x)[1], np.ones((len(objective.target), 1))]),
            }
        )
    if len(problem.keep):
        rules.append(
            {
                "type": "ineq",
                "fun": lambda x: -objective.over(at(x)[0]) - 1e-9,
                "jac": lambda x: np.hstack([-(objective.kept @ at(x)[1]), np.zeros((len(problem.keep), 1))]),
            }
        )
    top = float(objective.excess(objective.losses(start)).max()) if problem.worst_case else 0.0
    span = [*zip(limits.lower, limits.upper, strict=True), (None, None) if problem.worst_case else (0.0, 0.0)]
    options = {"maxiter": 200, "ftol": 1e-12}
    found = minimize(
        cost, np.append(start, top), jac=True, bounds=span, constraints=rules, method="SLSQP", options=options
    )
    if not np.all(np.isfinite(found.x)):
        return start
    new = project(np.maximum(found.x[:k], _FLOOR), limits)
    return min((start, new), key=lambda weights: _rank(objective, weights))


def _rank(objective: Objective, weights: np.ndarray) -> tuple[float, float]:
    losses = objective.losses(weights)
    over = float(np.maximum(objective.over(losses), 0).max(initial=0.0))
    return (over if over > 1e-7 else 0.0), objective.value(weights, losses)


def _kept(objective: Objective, losses: np.ndarray) -> bool:
    return bool(np.all(objective.over(losses) <= 1e-7))


def _not_kept(objective: Objective, found: Sequence[Solution]) -> str:
    best = min(found, key=lambda each: float(objective.over(each.losses).max()))
    over = objective.over(best.losses)
    worst = int(np.argmax(over))
    word, _, share = objective.problem.keep[worst]
    loss = float(objective.kept[worst] @ best.losses)
    had = float(objective.kept[worst] @ objective.prior_losses)
    return (
        f"[mixing] keep.{word} = {share:g} can't be met within the limits: the loss of {word} is {had:.4f} bits per "
        f"byte with the prior's mixture and comes down to {loss:.4f} ({loss / had - 1:+.2%}) at best; allow more, or "
        f"loosen a limit"
    )
