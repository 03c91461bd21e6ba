"""In proportion to the tokens there are."""

import math
from dataclasses import dataclass
from typing import ClassVar

from mixing.evidence import Evidence
from mixing.method import Answer
from mixing.problem import Problem


@dataclass(frozen=True)
class Natural:
    """Each domain in proportion to its tokens: all sources end at the same time."""

    takes_target: ClassVar[bool] = False

    def weights(self, problem: Problem, evidence: Evidence) -> Answer:
        """Exact; no evidence is asked for. Domains that are only measured on have none."""
        tokens = problem.domains.array("tokens") * (problem.limits.upper > 0)
        return Answer(tokens / math.fsum(tokens))
