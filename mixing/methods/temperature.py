"""Sizes to a power, the usual way to lift small languages."""

import math
from dataclasses import dataclass
from typing import ClassVar

from jacorpus.errors import RecipeError
from mixing.evidence import Evidence
from mixing.method import Answer
from mixing.problem import Problem


@dataclass(frozen=True)
class Temperature:
    """Each domain in proportion to its tokens to the power tau: 1 is natural, 0 even, .3 mT5's (arXiv 2010.11934)."""

    tau: float = 0.3
    takes_target: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 <= self.tau <= 1:
            raise RecipeError(f"[mixing.options] tau must be in [0, 1], got {self.tau}")

    def weights(self, problem: Problem, evidence: Evidence) -> Answer:
        """Exact; no evidence is asked for. Domains without tokens, or only measured on, have none."""
        tokens = problem.domains.array("tokens") * (problem.limits.upper > 0)
        raised = tokens**self.tau * (tokens > 0)
        return Answer(raised / math.fsum(raised), facts={"tau": self.tau})
