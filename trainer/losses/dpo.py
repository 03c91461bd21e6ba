"""Direct preference optimization, arXiv 2305.18290: -log sigma(beta ((Lw - Rw) - (Ll - Rl))).

Over all pairs of a Bradley-Terry preference of reward r its optimum is rho exp(r / beta).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from trainer.losses import Pairs, check_option


@dataclass(frozen=True)
class Dpo:
    """beta: how dear it is to leave the reference."""

    beta: float = 0.1
    needs_reference: ClassVar[bool] = True
    needs_mismatched: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_option("dpo", "beta", self.beta, 0)

    def __call__(self, pairs: Pairs) -> Tensor:
        """[B]; log 2 where policy and reference are one."""
        return -F.logsigmoid(self.beta * pairs.margin())

    def rewards(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """beta log(pi / rho)."""
        return self.beta * (pairs.chosen_B - pairs.ref_chosen_B), self.beta * (pairs.rejected_B - pairs.ref_rejected_B)
