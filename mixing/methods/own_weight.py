"""As much of the target's own domains as limits allow: what any target-aware method has to beat."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixing.evidence import Evidence
from mixing.method import Answer
from mixing.problem import Problem


@dataclass(frozen=True)
class OwnWeight:
    """All weight on the domains that the target is measured on, as far as limits allow.

    What limits keep from them goes to the rest as in the prior. Without a target every domain is its own.
    """

    takes_target: ClassVar[bool] = True

    def weights(self, problem: Problem, evidence: Evidence) -> Answer:
        """Exact; no evidence is asked for."""
        own = np.array([problem.target.get(name, 0.0) for name in problem.domains.names])
        own = own * (problem.domains.array("tokens") > 0) * (problem.limits.upper > 0)
        mostly = np.maximum(own + 1e-9 * problem.prior, 1e-18)  # what the prior leaves out comes last
        return Answer(problem.within(mostly / math.fsum(mostly)))
