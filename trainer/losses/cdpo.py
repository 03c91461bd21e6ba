"""Conservative DPO (E. Mitchell's note on DPO and noisy labels, 2023): labels smoothed by ``noise``.

-(1 - noise) log sigma(beta d) - noise log sigma(-beta d), d the margin of DPO. A pair that is always right stops at
beta d = log((1 - noise) / noise). It does not undo noise: ``robust`` does.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from trainer.losses import Pairs, check_option
from trainer.losses.dpo import Dpo


@dataclass(frozen=True)
class Cdpo(Dpo):
    """noise: share of labels held to be wrong."""

    noise: float = 0.0

    def __post_init__(self) -> None:
        check_option("cdpo", "beta", self.beta, 0)
        check_option("cdpo", "noise", self.noise, 0, 0.5, start=True)

    def __call__(self, pairs: Pairs) -> Tensor:
        """[B]."""
        scaled_B = self.beta * pairs.margin()
        return -(1 - self.noise) * F.logsigmoid(scaled_B) - self.noise * F.logsigmoid(-scaled_B)
