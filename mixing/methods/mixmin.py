"""The mixture of least target loss, by count tables or fitted runs (after MixMin, arXiv 2502.10510)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixing.evidence import Evidence
from mixing.method import Answer
from mixing.objective import Objective
from mixing.problem import Problem
from mixing.solve import solve
from mixing.surrogate import Surrogate

REFINE = 30
"""Steps of a draw from the answer on, which is near its own."""


@dataclass(frozen=True)
class Mixmin:
    """Least loss on the target, with all wishes and limits of the recipe.

    The paper mixes predictions of one model a source, which is convex: so do count tables with ``[mixing.tables] mixing
    = "predictions"``. Their default pools counts before backing off, as a model trained on the mixture does.
    """

    takes_target: ClassVar[bool] = True

    def weights(self, problem: Problem, evidence: Evidence) -> Answer:
        """With a certificate, and bootstrap draws of the held-out documents (or of the runs) as replicates."""
        surrogate = evidence.surrogate(problem)
        found = solve(Objective.of(problem, surrogate))
        draws = []
        for draw in range(problem.draws):
            evidence.tell("bootstrap", draw, problem.draws)
            again = Objective.of(problem, surrogate.resampled(problem.seed + draw))
            draws.append(solve(again, [found.weights], steps=REFINE).weights)
        evidence.tell("bootstrap", problem.draws, problem.draws)
        replicates = np.array(draws).reshape(len(draws), len(problem.domains))
        facts = {"objective": found.value, "evaluations": float(len(found.trajectory))}
        return Answer(found.weights, replicates, found.trajectory, found.certificate, facts, notes_of(surrogate))


def notes_of(surrogate: Surrogate) -> tuple[str, ...]:
    """What a surrogate has to say of itself."""
    return tuple(getattr(surrogate, "notes", ()))
