"""A method's steered runs: one for each seed, what they found in the order of the problem's domains.

Legend: k domains of the problem, R seeds, T steps.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixing.evidence import Evidence
from mixing.problem import Problem
from mixing.projection import project
from mixing.steering.simplex import MultiplicativeWeights, Project

POINTS = 500
"""Of a trajectory that is kept."""


@dataclass(frozen=True, eq=False)
class SteeredRuns:
    """controllers: as the runs left them. trajectories [T, k] each: weights of every step, by the problem's domains."""

    controllers: tuple[MultiplicativeWeights, ...]
    trajectories: tuple[np.ndarray, ...]

    def means(self, late: bool) -> np.ndarray:
        """float64 [R, k]: each run's mean weights. late: of its second half, without what it began with."""
        return np.array([each[len(each) // 2 if late else 0 :].mean(0) for each in self.trajectories])

    @property
    def thinned(self) -> np.ndarray:
        """float64 [T, k]: the first seed's trajectory, POINTS of it at most, first and last among them."""
        whole = self.trajectories[0]
        return whole[np.unique(np.linspace(0, len(whole) - 1, POINTS).round().astype(int))]

    @property
    def facts(self) -> dict[str, float | str]:
        """Of the first seed's run: steps T, T x lr (the sum of learning rates), tokens of a batch."""
        first = self.controllers[0]
        steps = len(self.trajectories[0])
        if not first.steps:
            return {"steps": float(steps)}
        return {"steps": float(steps), "T x lr": first.lr_sum, "batch tokens": round(first.tokens / first.steps)}


def steer_seeds(
    problem: Problem,
    evidence: Evidence,
    make: Callable[[Mapping[str, float], Project | None, Any], MultiplicativeWeights],
    tokens: int = 0,
    **options: Any,
) -> SteeredRuns:
    """One run for each of the problem's seeds. make: a controller of (prior, project, limits); tokens of a run, 0 for
    the tiny models' own; options go to ``steer``.

    Raises RecipeError where a domain with a prior can't be trained on.
    """
    prior = {name: weight for name, weight in problem.domains.named(problem.prior).items() if weight > 0}
    keep, limits = kept_limits(problem, tuple(sorted(prior)))
    controllers, trajectories = [], []
    for seed in range(problem.seed, problem.seed + problem.seeds):
        controller = make(prior, keep, limits)
        run = evidence.proxy.steer(controller, seed=seed, tokens=tokens or None, progress=evidence.progress, **options)
        trajectory = np.zeros((len(run.trajectory), len(problem.domains)))
        for place, name in enumerate(run.domains):
            if name in prior:
                trajectory[:, problem.domains.index(name)] = np.asarray(run.trajectory)[:, place]
        controllers.append(controller)
        trajectories.append(trajectory)
    return SteeredRuns(tuple(controllers), tuple(trajectories))


def kept_limits(problem: Problem, names: tuple[str, ...]) -> tuple[Project | None, Any]:
    """(what keeps the weights of these domains within the problem's limits, the limits as JSON); (None, None) where
    there are none."""
    if not problem.limits.bounds:
        return None, None
    places = [problem.domains.index(name) for name in names]

    def keep(weights: np.ndarray) -> np.ndarray:
        whole = np.zeros(len(problem.domains))
        whole[places] = weights
        if problem.limits.violation(whole) > 1e-12:
            whole = project(whole, problem.limits)
        return whole[places] / math.fsum(whole[places])

    bounds = []
    for bound in problem.limits.bounds:
        members = [name for name, member in zip(problem.domains.names, bound.members, strict=True) if member]
        bounds.append([members, float(bound.lower), float(bound.upper)])
    return keep, sorted(bounds)


def most_gain(problem: Problem, drive: np.ndarray, weights: np.ndarray) -> float:
    """How much more drive [k] other weights within the limits would reach than these: 0 where none would."""
    best = problem.limits.least(-drive)
    return max(float(drive @ (best - weights)), 0.0)
