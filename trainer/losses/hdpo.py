"""H-DPO, arXiv 2411.07595: DPO with the policy's entropy weighed apart from its distance to the reference.

    maximize E[r] + alpha beta H(pi) - beta CE(pi, rho)         optimum  rho^(1/alpha) exp(r / (alpha beta))
    loss     -log sigma(alpha beta (Lw - Ll) - beta (Rw - Rl))

alpha below 1 sharpens, 1 is DPO. alpha multiplies the policy's log-probs alone: on the whole log-ratio it would be DPO
with another beta.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from trainer.losses import Pairs, check_option


@dataclass(frozen=True)
class Hdpo:
    """beta as DPO's; alpha: weight of the entropy. The paper: beta 0.01, alpha 0.8 to 0.95."""

    beta: float = 0.1
    alpha: float = 1.0
    needs_reference: ClassVar[bool] = True
    needs_mismatched: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_option("hdpo", "beta", self.beta, 0)
        check_option("hdpo", "alpha", self.alpha, 0)

    def __call__(self, pairs: Pairs) -> Tensor:
        """[B]."""
        chosen_B, rejected_B = self.rewards(pairs)
        return -F.logsigmoid(chosen_B - rejected_B)

    def rewards(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """alpha beta log pi - beta log rho: at the optimum the true reward and a constant of the prompt."""
        scale = self.alpha * self.beta
        return (
            scale * pairs.chosen_B - self.beta * pairs.ref_chosen_B,
            scale * pairs.rejected_B - self.beta * pairs.ref_rejected_B,
        )
