"""SimPO, arXiv 2405.14734: -log sigma(beta (mean Lw - mean Ll) - gamma), means over an answer's tokens, no reference.

The likelihood of the chosen answer is no part of it (TRL adds it unless told not to).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from trainer.losses import Pairs, check_option


@dataclass(frozen=True)
class Simpo:
    """beta: scale of the mean log-prob. gamma: margin by which the chosen answer has to win."""

    beta: float = 2.0
    gamma: float = 0.5
    needs_reference: ClassVar[bool] = False
    needs_mismatched: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_option("simpo", "beta", self.beta, 0)
        check_option("simpo", "gamma", self.gamma, 0, start=True)

    def __call__(self, pairs: Pairs) -> Tensor:
        """[B]; -log sigma(-gamma) at equal means."""
        chosen_B, rejected_B = self.rewards(pairs)
        return -F.logsigmoid(chosen_B - rejected_B - self.gamma)

    def rewards(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """beta times the mean log-prob of a token."""
        chosen_B, rejected_B = pairs.means()
        return self.beta * chosen_B, self.beta * rejected_B
