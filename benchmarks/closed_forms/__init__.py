"""Post-training methods against what is known in closed form: each check a function without arguments.

A check gives a Check: a number that has to be at most ``bound``, and the same number of a plausible wrong twin (the
negative control), which has to be at least ``negative_bound``. The tests and ``benchmarks.posttrain_closed_forms`` call
the same functions. Everything is float64 and repeats itself exactly.

    worlds       where the answer is known, and how a policy is fitted
    pairs        losses of pairs and of scored draws
    loops        references that move, games, sequences from drawn pairs
    policy       pieces of policy gradients
    decoding     DeRa, best of n
    selective    Rho-1's loss of chosen tokens
    spectral     spectral normalization
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Check:
    """value <= bound and negative >= negative_bound; more: further figures, by name."""

    what: str
    source: str
    value: float
    bound: float
    twin: str
    negative: float
    negative_bound: float
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether the method is right and the check would have seen the twin."""
        return self.value <= self.bound and self.negative >= self.negative_bound
