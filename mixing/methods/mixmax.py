"""The mixture whose worst domain is least bad (after MixMax, arXiv 2406.01477; group DRO without a model to train)."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from mixing.evidence import Evidence
from mixing.method import Answer
from mixing.methods.mixmin import notes_of
from mixing.objective import Objective
from mixing.problem import Problem
from mixing.solve import Solution, solve
from mixing.surrogate import Surrogate


@dataclass(frozen=True)
class Mixmax:
    """Least of max_i (L_i - reference_i) over the domains' held-out sets: what DoReMi looks for, solved to the end.

    reference: ``per_domain``, the loss of each domain's own mixture; or ``prior``, that of the prior's, near which the
    answer then stays: hardly a mixture is better on every domain. At the saddle the model of the mixture is the best
    reply to it, so the mixture of least worst excess is the adversary's as well.
    """

    reference: Literal["per_domain", "prior"] = "per_domain"
    takes_target: ClassVar[bool] = False

    def weights(self, problem: Problem, evidence: Evidence) -> Answer:
        """With a certificate and bootstrap draws."""
        surrogate = evidence.surrogate(problem)
        found = self._solved(problem, surrogate, ())
        draws = []
        for draw in range(problem.draws):
            evidence.tell("bootstrap", draw, problem.draws)
            draws.append(self._solved(problem, surrogate.resampled(problem.seed + draw), (found.weights,)).weights)
        evidence.tell("bootstrap", problem.draws, problem.draws)
        replicates = np.array(draws).reshape(len(draws), len(problem.domains))
        facts = {"worst excess": found.value, "reference": self.reference}
        return Answer(found.weights, replicates, found.trajectory, found.certificate, facts, notes_of(surrogate))

    def _solved(self, problem: Problem, surrogate: Surrogate, starts: tuple[np.ndarray, ...]) -> Solution:
        worst = replace(problem, worst_case=1.0, keep=(), prior_strength=0.0)
        compared = None
        if self.reference == "per_domain":
            compared = own_losses(problem, surrogate)
        objective = Objective.of(worst, surrogate, np.zeros(len(surrogate.sets)), compared)
        return solve(objective, starts)


def own_losses(problem: Problem, surrogate: Surrogate) -> np.ndarray:
    """float64 [J]: of each held-out set under its own domain alone; under the prior where it can't be trained on."""
    found = surrogate.losses(problem.prior)
    for j, name in enumerate(surrogate.sets):
        if name in problem.domains.names and problem.domains[name].tokens:
            alone = np.zeros(len(problem.domains))
            alone[problem.domains.index(name)] = 1.0
            found[j] = surrogate.losses(alone)[j]
    return found
