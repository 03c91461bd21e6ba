"""GRPO (arXiv 2402.03300) and its variants: an answer is worth its reward over its group's mean, no critic.

| variant | advantage | ratio | step's loss |
|---|---|---|---|
| grpo | over the sample deviation | a token's, clipped at 0.2 | mean over answers of the mean over tokens |
| dr_grpo (2503.20783) | no deviation | the same | sum over answers x max_tokens |
| dapo (2503.14476) | as grpo | clipped at 0.2, 0.28 above | mean over tokens; groups of equal rewards drawn again |
| gspo (2507.18071) | as grpo | an answer's, clipped at 3e-4 and 4e-4 | as grpo |
| luspo | as grpo | a token's | mean over answers of the sum over tokens |

dapo has no distance from the reference unless beta is given; its soft penalty on overlong answers is the reward
``length``. Letters: B answers, T tokens of a row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from jacorpus.errors import RecipeError, nearest
from trainer.batch import TokenBatch
from trainer.losses.policy import Aggregation, aggregate, clipped_ratio, group_advantages, k3, sequence_ratio
from trainer.model import Model
from trainer.objective import Sums
from trainer.posttrain.reinforce import Groups, Policy, Reinforce, columns
from trainer.posttrain.rollout import trainer_logps
from trainer.posttrain.stage import Context

AGGREGATED: dict[str, Aggregation] = {
    "grpo": "grpo",
    "dr_grpo": "dr_grpo",
    "dapo": "dapo",
    "gspo": "grpo",
    "luspo": "luspo",
}
DEFAULTS = {"dapo": {"eps_high": 0.28, "beta": 0.0, "refill": 3}, "gspo": {"eps_low": 3e-4, "eps_high": 4e-4}}
"""Where a variant differs from beta 0.04, both eps 0.2 and refill 0."""


class GroupPolicy(Policy):
    """The clipped objective, and ``beta`` times the distance from the reference."""

    stage: "Grpo"

    def forward(self, batch: TokenBatch) -> Sums:
        stage, extra, mask_BT = self.stage, batch.extra, batch.weight_BT > 0
        logp_BT = trainer_logps(self.model, batch, self.sampling)
        ratio_BT = (logp_BT - extra["old_BT"]).exp()
        if stage.variant == "gspo":
            ratio_BT = sequence_ratio(logp_BT, extra["old_BT"], mask_BT).expand_as(ratio_BT)
        loss_BT, held_BT = clipped_ratio(ratio_BT, extra["advantage_BT"], stage.eps_low, stage.eps_high)
        if stage.refers:
            old_BT = extra["old_BT"] if stage.kl == "k3_weighted" else None
            loss_BT = loss_BT + stage.beta * k3(logp_BT, extra["ref_BT"], old_BT)
        total = aggregate(loss_BT, mask_BT, AGGREGATED[stage.variant], stage.max_tokens, weight=1.0)
        found = self.measured(total, batch, logp_BT, ratio_BT.detach(), held_BT)
        return Sums(total, total.new_zeros(()), columns(found))


@dataclass(frozen=True, kw_only=True)
class Grpo(Reinforce):
    """See Reinforce. variant: a row of the table above. refill: rounds of other prompts for groups of equal rewards.
    -1 for beta, eps_low, eps_high, refill: the variant's own."""

    variant: str = "grpo"
    refill: int = -1

    def __post_init__(self) -> None:
        if self.variant not in AGGREGATED:
            raise RecipeError(f"grpo: there is no variant {self.variant}{nearest(self.variant, AGGREGATED)}")
        super().__post_init__()
        if self.draws < 2:
            raise RecipeError(f"grpo: draws must be 2 or more, an answer is compared with others; got {self.draws}")

    def defaults(self) -> dict[str, Any]:
        """What -1 stands for."""
        return {**super().defaults(), "refill": 0, **DEFAULTS.get(self.variant, {})}

    def objective(self, context: Context, model: Model) -> GroupPolicy:
        """The module that is trained."""
        return GroupPolicy(self, model)

    def credit(self, module: Any, rows: list[dict[str, Any]]) -> None:
        """Every token of an answer has the answer's advantage; the reward stands at the last one."""
        rewards = torch.tensor([row["reward"] for row in rows], dtype=torch.float64)
        groups = torch.tensor([row["group"] for row in rows])
        found = group_advantages(rewards, groups, std=self.variant != "dr_grpo").tolist()
        for row, advantage in zip(rows, found, strict=True):
            row["advantage"] = [advantage * drawn for drawn in row["mask"]]
            row["token_reward"] = [0.0] * (len(row["ids"]) - 1) + [row["reward"]] * bool(row["ids"])

    def refilled(self, groups: Groups, more: Callable[[int, int], Groups]) -> Groups:
        """Groups whose answers differ in reward, as many as were asked for; after ``refill`` rounds the rest is filled
        up with those of equal rewards, which change nothing."""
        wanted = len(groups)
        found: Groups = []
        equal: Groups = []
        for turn in range(self.refill + 1):
            for group in groups:
                (found if len({row["reward"] for row in group}) > 1 else equal).append(group)
            if len(found) >= wanted or turn == self.refill:
                break
            groups = more(turn + 1, wanted - len(found))
        return (found + equal)[:wanted] if self.refill else groups

    def weights(self, tokens_B: torch.Tensor) -> torch.Tensor:
        """[B]: what an answer counts in a step's mean."""
        return tokens_B.float() if AGGREGATED[self.variant] == "dapo" else super().weights(tokens_B)
