"""Log-linear fits of a sweep, a pull to the prior, caps on repeats (after Olmix, github.com/allenai/olmix)."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from mixing.evidence import Evidence
from mixing.method import Answer
from mixing.objective import Objective
from mixing.problem import Problem
from mixing.solve import solve


@dataclass(frozen=True)
class Olmix:
    """Each loss as c + exp(t . mixture), fitted to a sweep; least target loss with strength x KL(mixture ‖ prior).

    The recipe's prior_strength comes first, ``strength`` where it has none. The sweep is not limited, its optimizer is.
    """

    strength: float = 0.05
    takes_target: ClassVar[bool] = True

    def weights(self, problem: Problem, evidence: Evidence) -> Answer:
        """With draws of the runs as replicates."""
        swept = evidence.sweep(problem)
        every = ("log_linear",) * len(swept.sets)
        fitted = replace(swept, fit=replace(swept.fit, by=every, slopes_by=every))
        pulled = replace(problem, prior_strength=problem.prior_strength or self.strength)
        found = solve(Objective.of(pulled, fitted))
        draws = []
        for draw in range(problem.draws):
            evidence.tell("bootstrap", draw, problem.draws)
            again = fitted.resampled(problem.seed + draw)
            draws.append(solve(Objective.of(pulled, again), [found.weights], steps=30).weights)
        replicates = np.array(draws).reshape(len(draws), len(problem.domains))
        facts = {**swept.facts, "strength": pulled.prior_strength}
        return Answer(found.weights, replicates, found.trajectory, found.certificate, facts, swept.notes)
