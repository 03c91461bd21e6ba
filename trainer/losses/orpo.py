"""ORPO, arXiv 2403.07691: likelihood of the chosen answer and odds against the rejected one, without a reference.

-Lw / tokens - weight log sigma(log odds w - log odds l), odds = p / (1 - p), p = exp of the mean log-prob of a token.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.losses import Pairs, check_option


@dataclass(frozen=True)
class Orpo:
    """weight: of the odds, the paper's lambda."""

    weight: float = 0.1
    needs_reference: ClassVar[bool] = False
    needs_mismatched: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_option("orpo", "weight", self.weight, 0, start=True)

    def __call__(self, pairs: Pairs) -> Tensor:
        """[B]; the second term is weight log 2 at equal means."""
        chosen_B, rejected_B = pairs.means()
        odds_B = (chosen_B - log1mexp(chosen_B)) - (rejected_B - log1mexp(rejected_B))
        return -chosen_B - self.weight * F.logsigmoid(odds_B)

    def rewards(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """weight times the mean log-prob of a token."""
        chosen_B, rejected_B = pairs.means()
        return self.weight * chosen_B, self.weight * rejected_B


def log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(x)) for x below 0, with all digits at both ends (Maechler 2012); x of 0 is taken as just below."""
    x = x.clamp(max=-torch.finfo(x.dtype).eps)
    near = x > -math.log(2)
    # Each branch sees only arguments of its own: a gradient of the other's infinity would be NaN.
    close, far = torch.where(near, x, -1.0), torch.where(near, -1.0, x)
    return torch.where(near, torch.log(-torch.expm1(close)), torch.log1p(-far.exp()))
