"""BRAIn, arXiv 2402.02479: toward rho exp(r / beta), from several scored draws of one prompt.

    a = softmax(log rho + r / beta - log q),  b = softmax(log pi - log q)  over the n draws;  loss KL(a || b)

q is what the draws come from: the policy of some steps ago, the reference, another model. It belongs in both softmaxes:
left out of a, the draws of a q that isn't rho pull to another target. The gradient is -sum (a - b) grad log pi; -b is a
baseline that lowers its variance. With n = 2, q = rho, and all of a on the better draw it is DPO's at beta 1.

Letters: B prompts, N draws.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from torch import Tensor

from trainer.losses import check_option


class Draws(NamedTuple):
    """Sums of log-probs over each draw's tokens under policy, reference and what drew it, and rewards; float [B, N]."""

    policy_BN: Tensor
    ref_BN: Tensor
    proposal_BN: Tensor
    reward_BN: Tensor


@dataclass(frozen=True)
class Brain:
    """beta: rewards are divided by it."""

    beta: float = 0.1
    needs_reference: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_option("brain", "beta", self.beta, 0)

    def __call__(self, draws: Draws) -> Tensor:
        """[B]; 0 where the draws' shares are right already."""
        target_BN = (draws.ref_BN + draws.reward_BN / self.beta - draws.proposal_BN).detach().log_softmax(-1)
        found_BN = (draws.policy_BN - draws.proposal_BN.detach()).log_softmax(-1)
        return (target_BN.exp() * (target_BN - found_BN)).sum(-1)
