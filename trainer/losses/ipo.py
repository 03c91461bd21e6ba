"""IPO, arXiv 2310.12036: (d - 1 / (2 tau))^2, d the margin of DPO with log-probs per token.

Per token, as its authors advised TRL. With answers of one token the optimum is rho exp(P / tau), P(y) the mean over
answers y' of the probability that y is preferred to y'; unlike DPO's it stays near the reference where labels are sure.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from trainer.losses import Pairs, check_option


@dataclass(frozen=True)
class Ipo:
    """tau: how dear it is to leave the reference."""

    tau: float = 0.1
    needs_reference: ClassVar[bool] = True
    needs_mismatched: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_option("ipo", "tau", self.tau, 0)

    def __call__(self, pairs: Pairs) -> Tensor:
        """[B]."""
        chosen_B, rejected_B = self.rewards(pairs)
        return ((chosen_B - rejected_B) / self.tau - 0.5 / self.tau).square()

    def rewards(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """tau log(pi / rho) per token."""
        chosen_B = (pairs.chosen_B - pairs.ref_chosen_B) / pairs.chosen_tokens_B
        rejected_B = (pairs.rejected_B - pairs.ref_rejected_B) / pairs.rejected_tokens_B
        return self.tau * chosen_B, self.tau * rejected_B
