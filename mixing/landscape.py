"""What lies around an answer: mixtures as good, what a limit costs, what one target costs another.

Legend: k domains, J held-out sets; losses in bits per byte.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from mixing.objective import Objective
from mixing.problem import NO_TOKENS, ONLY_MEASURED
from mixing.projection import project
from mixing.solve import linear_bounds, solve

EPSILON = 0.005
"""Mixtures whose objective is at most this share over the best are as good: seeds differ by as much."""

PIECES = 10
"""Steps along a front between two targets."""

_AGAIN = 4
_TOUCH = 1e-9

Evaluate = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Range:
    """Least and most weight of a domain among mixtures as good as the best."""

    name: str
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Effect:
    """What an active limit costs: the objective without it, and the weights it would have."""

    label: str
    side: str
    gain: float
    weights: np.ndarray


@dataclass(frozen=True, eq=False)
class Front:
    """What one target costs another: (loss of ``first``, loss of ``second``, weights) from all for one to all for the
    other. Words are the recipe's."""

    first: str
    second: str
    points: tuple[tuple[float, float, np.ndarray], ...]


def epsilon_ranges(
    objective: Objective, weights: np.ndarray, tell: Callable[[str, int, int], None] | None = None
) -> tuple[Range, ...]:
    """Of each domain, by pushing its weight up and down as far as F stays within EPSILON of its least value.

    For a convex F exact to the solver's accuracy; else what was reached from here, which is an inner estimate.
    """
    best = solve(objective, [weights], steps=60)
    roof = best.value + EPSILON * abs(best.value)
    losses, k, found = objective.losses(weights), len(weights), []
    inside = objective.value(weights, losses) <= roof + _TOUCH and np.all(objective.over(losses) <= 1e-6)
    for i, name in enumerate(objective.problem.domains.names):
        if tell:
            tell("looking around the answer", i, k)
        reached = [_pushed(objective, best.weights, i, side, roof) for side in (-1.0, 1.0)]
        values = [float(each[i]) for each in reached] + ([float(weights[i])] if inside else [])
        found.append(Range(name, min(values), max(values)))
    if tell:
        tell("looking around the answer", k, k)
    return tuple(found)


def _pushed(objective: Objective, start: np.ndarray, i: int, side: float, roof: float) -> np.ndarray:
    """As far from ``start`` as F <= roof allows, a domain's weight rising (side 1) or falling (-1)."""
    from scipy.optimize import minimize

    limits, drive = objective.problem.limits, np.zeros(len(start))
    low, high = limits.extent(i)
    if high - low < 1e-9:
        return start
    drive[i] = -side
    room, room_rate = _room(objective, roof)
    matrix, most, equal = linear_bounds(limits)
    rules = [
        {"type": "eq", "fun": lambda a: a.sum() - 1, "jac": lambda a: equal[None]},
        {"type": "ineq", "fun": room, "jac": room_rate},
    ]
    if len(matrix):
        rules.append({"type": "ineq", "fun": lambda a: most - matrix @ a, "jac": lambda a: -matrix})
    span = list(zip(limits.lower, limits.upper, strict=True))
    options = {"maxiter": 60, "ftol": 1e-7}
    end = start
    for _ in range(_AGAIN):  # SLSQP may stop short of the end and call it a success: begun anew it goes on
        found = minimize(
            *(lambda a: float(drive @ a), end),
            jac=lambda a: drive,
            bounds=span,
            constraints=rules,
            method="SLSQP",
            options=options,
        )
        if not np.all(np.isfinite(found.x)):
            break
        before, end = end, project(np.maximum(found.x, 1e-12), limits)
        if abs(end[i] - before[i]) < 1e-4:
            break
    if room(end).min() >= -_TOUCH:
        return end
    near, far = 0.0, 1.0
    for _ in range(30):  # back towards the start, no further than it takes to be as good
        middle = (near + far) / 2
        near, far = (middle, far) if room(start + middle * (end - start)).min() >= -_TOUCH else (near, middle)
    return start + near * (end - start)


def _room(objective: Objective, roof: float) -> tuple[Evaluate, Evaluate]:
    """(what is left to F <= roof and to the losses to keep, its derivatives by weight); 0 or more where both hold."""
    rho = objective.problem.worst_case

    def room(a: np.ndarray) -> np.ndarray:
        at = np.maximum(a, 1e-12)
        losses = objective.losses(at)
        base = roof - objective.wanted(losses) - objective.pull(at)[0]
        worst = rho * objective.excess(losses) if rho else np.zeros(1)
        return np.concatenate([-objective.over(losses), base - worst])

    def room_rate(a: np.ndarray) -> np.ndarray:
        at = np.maximum(a, 1e-12)
        _, rows = objective.gradient(at)
        fall = -(objective.target @ rows + objective.pull(at)[1])
        worst = fall - rho * rows if rho else fall[None]
        return np.vstack([-(objective.kept @ rows), worst])

    return room, room_rate


def effects(objective: Objective, weights: np.ndarray) -> tuple[Effect, ...]:
    """Of each limit that holds with equality at the best mixture: the gain in F were it not there."""
    problem = objective.problem
    here = solve(objective, [weights], steps=60)
    found = []
    for label, side in problem.limits.active(here.weights):
        if label.endswith((ONLY_MEASURED, NO_TOKENS)):  # no wish of anybody's
            continue
        freed = replace(objective, problem=problem.freed_of(label))
        away = solve(freed, [here.weights], steps=60)
        found.append(Effect(label, side, here.value - away.value, away.weights))
    return tuple(sorted(found, key=lambda effect: (-effect.gain, effect.label)))


def fronts(objective: Objective, weights: np.ndarray) -> tuple[Front, ...]:
    """Between each two words of the target; of one word alone, between it and all other held-out sets."""
    sets, words = objective.surrogate.sets, dict(objective.problem.words)
    rest = tuple(name for name in sets if not any(name in mine for mine in words.values()))
    if len(words) == 1 and rest:
        words["the rest"] = rest
    if not 2 <= len(words) <= 4:
        return ()
    found = []
    for first, second in combinations(words, 2):
        one, other = (
            np.array([(name in words[word]) / len(words[word]) for name in sets], float) for word in (first, second)
        )
        start, points = weights, []
        for step in range(PIECES + 1):
            share = step / PIECES
            mixed = replace(objective, target=(1 - share) * one + share * other)
            at = solve(mixed, [start], steps=20, tolerance=1e-4)
            start = at.weights
            points.append((float(one @ at.losses), float(other @ at.losses), at.weights))
        found.append(Front(first, second, tuple(points)))
    return tuple(found)
