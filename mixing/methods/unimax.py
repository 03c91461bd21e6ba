"""As even as a cap on repeats allows (UniMax, arXiv 2304.09151)."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from jacorpus.errors import RecipeError
from mixing.evidence import Evidence
from mixing.method import Answer
from mixing.problem import Problem


@dataclass(frozen=True)
class Unimax:
    """Even shares, but no domain more than ``epochs`` times; what small ones can't take goes to the larger.

    The paper counts characters of languages, this counts tokens of domains. Where the recipe names no size of training,
    it is taken as all tokens there are.
    """

    epochs: float = 4.0
    takes_target: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 < self.epochs < math.inf:
            raise RecipeError(f"[mixing.options] epochs must be over 0, got {self.epochs}")

    def weights(self, problem: Problem, evidence: Evidence) -> Answer:
        """Exact; no evidence is asked for. Tokens that no domain can take are told among the facts."""
        unique = problem.domains.array("tokens") * (problem.limits.upper > 0)
        budget = problem.tokens or math.fsum(unique)
        left, given = budget, np.zeros(len(unique))
        order = [i for i in np.argsort(unique, kind="stable") if unique[i]]
        for place, i in enumerate(order):
            given[i] = min(left / (len(order) - place), self.epochs * unique[i])
            left -= given[i]
        facts = {"epochs": self.epochs, "tokens": budget, "tokens without a place": max(left, 0.0)}
        notes: tuple[str, ...] = ()
        if left > 1e-6 * budget:
            notes = (f"{left:,.0f} of {budget:,.0f} tokens find no place under {self.epochs:g} epochs",)
        return Answer(given / math.fsum(given), facts=facts, notes=notes)
