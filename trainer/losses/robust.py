"""Robust DPO, arXiv 2403.00409: with a share ``noise`` of labels flipped, its mean is that of DPO on clean labels.

((1 - noise) l(d) - noise l(-d)) / (1 - 2 noise), l(d) = -log sigma(beta d), d the margin of DPO.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from trainer.losses import Pairs, check_option
from trainer.losses.dpo import Dpo


@dataclass(frozen=True)
class Robust(Dpo):
    """noise: share of labels that are flipped, below a half."""

    noise: float = 0.1

    def __post_init__(self) -> None:
        check_option("robust", "beta", self.beta, 0)
        check_option("robust", "noise", self.noise, 0, 0.5, start=True)

    def __call__(self, pairs: Pairs) -> Tensor:
        """[B]; may be below 0."""
        scaled_B = self.beta * pairs.margin()
        right, flipped = -F.logsigmoid(scaled_B), -F.logsigmoid(-scaled_B)
        return ((1 - self.noise) * right - self.noise * flipped) / (1 - 2 * self.noise)
