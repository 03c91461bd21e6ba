"""Every domain alike."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixing.evidence import Evidence
from mixing.method import Answer
from mixing.problem import Problem


@dataclass(frozen=True)
class Uniform:
    """Each domain with tokens the same share."""

    takes_target: ClassVar[bool] = False

    def weights(self, problem: Problem, evidence: Evidence) -> Answer:
        """Exact; no evidence is asked for. Domains without tokens, or only measured on, have none."""
        there = (problem.domains.array("tokens") > 0) & (problem.limits.upper > 0)
        return Answer(np.where(there, 1.0, 0.0) / there.sum())
