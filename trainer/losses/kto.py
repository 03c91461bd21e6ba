"""KTO, arXiv 2402.01306: answers are good or bad by themselves, judged against a mean distance from the reference.

    good  desirable   (1 - sigma(beta (L - R) - z))
    bad   undesirable (1 - sigma(z - beta (L - R)))        z = beta max(0, mean of L - R over mismatched pairs)

z, without gradient, stands for the distance of policy and reference; it is the mean over the pairs of one call, which
have to be more than one: with a single pair there is no other answer to put after its prompt.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from jacorpus.errors import RecipeError
from trainer.losses import Pairs, check_option


@dataclass(frozen=True)
class Kto:
    """beta as DPO's; desirable, undesirable: weights of good and bad answers."""

    beta: float = 0.1
    desirable: float = 1.0
    undesirable: float = 1.0
    needs_reference: ClassVar[bool] = True
    needs_mismatched: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_option("kto", "beta", self.beta, 0)
        check_option("kto", "desirable", self.desirable, 0, start=True)
        check_option("kto", "undesirable", self.undesirable, 0, start=True)

    def __call__(self, pairs: Pairs) -> Tensor:
        """[B], the mean of a pair's two answers. Raises RecipeError for a batch of one pair."""
        if pairs.mismatched_B is None or pairs.ref_mismatched_B is None or len(pairs.chosen_B) < 2:
            raise RecipeError("the loss `kto` compares pairs of a batch with one another; give it batches of 2 or more")
        z = self.beta * (pairs.mismatched_B - pairs.ref_mismatched_B).detach().mean().clamp(min=0)
        chosen_B, rejected_B = self.rewards(pairs)
        # 1 - sigma(x) = sigma(-x), which keeps its digits where sigma(x) rounds to 1.
        good_B = self.desirable * (z - chosen_B).sigmoid()
        return (good_B + self.undesirable * (rejected_B - z).sigmoid()) / 2

    def rewards(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """beta log(pi / rho)."""
        return self.beta * (pairs.chosen_B - pairs.ref_chosen_B), self.beta * (pairs.rejected_B - pairs.ref_rejected_B)
