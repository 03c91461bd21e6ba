"""The best of many simulated mixtures, by fits of a sweep (RegMix, arXiv 2407.01492)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from jacorpus.errors import RecipeError
from mixing.evidence import Evidence
from mixing.method import Answer
from mixing.objective import Objective
from mixing.problem import Problem
from mixing.surrogate import Surrogate
from mixing.swarm import simulate

PART = 2_000
"""Mixtures whose losses are held at a time."""


@dataclass(frozen=True)
class Regmix:
    """The mean of the ``best`` of ``draws`` random mixtures within the limits, by F.

    The fit of each held-out set is the one that did best on runs left out, boosted trees among them.
    """

    draws: int = 100_000
    best: int = 100
    takes_target: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 1 <= self.best <= self.draws:
            raise RecipeError(f"[mixing.options] of regmix: 1 <= best <= draws, got {self.best} and {self.draws}")

    def weights(self, problem: Problem, evidence: Evidence) -> Answer:
        """With draws of the runs as replicates, each simulated a tenth as often."""
        swept = evidence.sweep(problem)
        found = self._simulated(problem, swept, self.draws)
        again = []
        for draw in range(problem.draws):
            evidence.tell("bootstrap", draw, problem.draws)
            fewer = max(self.draws // 10, self.best)
            again.append(self._simulated(problem, swept.resampled(problem.seed + draw), fewer))
        replicates = np.array(again).reshape(len(again), len(problem.domains))
        facts = {**swept.facts, "draws": float(self.draws), "best": float(self.best)}
        return Answer(found, replicates, facts=facts, notes=swept.notes)

    def _simulated(self, problem: Problem, surrogate: Surrogate, draws: int) -> np.ndarray:
        objective = Objective.of(problem, surrogate)
        return simulate(
            lambda shares: values(objective, shares),
            problem.limits,
            problem.prior,
            problem.within,
            problem.seed,
            draws,
            min(self.best, draws),
        )


def values(objective: Objective, weights: np.ndarray) -> np.ndarray:
    """float64 [n]: F of mixtures [n, k]; infinite where losses to keep are not."""
    found = []
    for part in np.array_split(weights, max(1, len(weights) // PART)):
        shares = np.array([objective.problem.shares(each)[0] for each in part])
        losses = objective.surrogate.losses(shares)
        over = (losses @ objective.kept.T - objective.caps).max(1) if len(objective.kept) else np.zeros(len(part))
        worst = objective.problem.worst_case * (losses - objective.reference).max(1)
        pull = np.array([objective.pull(each)[0] for each in part])
        found.append(np.where(over <= 1e-9, losses @ objective.target + worst + pull, np.inf))
    return np.concatenate(found)
