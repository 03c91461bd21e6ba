"""PPO (arXiv 1707.06347; practice of 2404.10719): a critic says what an answer is worth at each token.

A token's reward is -beta log(pi / rho), and the answer's own on its last token; advantages by GAE, normalized over a
cycle. The critic is a head on the policy (``shared``) or on a model of its own that begins as a copy (``own``). It
learns values that are normalized by a running mean and deviation of returns, and its loss is clipped around the old
value. A pass whose mean ratio is over ``stop_ratio`` adds nothing to the gradient.

With ``restart`` over 0 this is DR-PO (2404.08495). Letters: B answers, T tokens of a row.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from jacorpus.errors import RecipeError
from trainer.batch import TokenBatch
from trainer.losses.policy import clipped_ratio, gae, masked_mean, normalized, token_rewards, value_loss
from trainer.model import Model
from trainer.objective import Sums
from trainer.posttrain.reinforce import Policy, Reinforce, columns
from trainer.posttrain.rollout import logps_of
from trainer.posttrain.scalar_head import ScalarHead
from trainer.posttrain.stage import Context


class ValueNorm(nn.Module):
    """Running mean and deviation of returns; the first cycle sets them, later ones move them by 1 - ``keep``."""

    def __init__(self, keep: float) -> None:
        super().__init__()
        self.keep = keep
        self.moments: torch.Tensor
        self.register_buffer("moments", torch.zeros(3, dtype=torch.float64))  # weight, weighted mean, mean of squares

    def update(self, returns: torch.Tensor) -> None:
        """Take in the returns of a cycle."""
        new = torch.stack((torch.ones_like(returns[0]), returns.mean(), returns.square().mean()))
        self.moments.lerp_(new.to(self.moments), 1 - self.keep)

    def scale(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(mean, deviation); 0 and 1 before any return is known."""
        weight, mean, square = self.moments
        mean, square = mean / weight.clamp(min=1e-12), square / weight.clamp(min=1e-12)
        deviation = (square - mean.square()).clamp(min=1e-4).sqrt()
        return mean.float(), torch.where(weight > 0, deviation, 1.0).float()


class ActorCritic(Policy):
    """The clipped objective and ``value_weight`` times the critic's loss, means over tokens.

    extra: also value_BT and return_BT, in the rewards' own scale.
    """

    names = (*Policy.names, "policy_loss", "value_loss", "value_clip_share", "stopped")
    stage: "Ppo"

    def __init__(self, stage: "Ppo", model: Model) -> None:
        super().__init__(stage, model)
        self.critic = copy.deepcopy(model) if stage.critic == "own" else None
        self.head = ScalarHead(model.config.d_model, stage.spectral, stage.seed)
        self.norm = ValueNorm(stage.value_keep)

    def begin(self, rows: Sequence[dict[str, Any]]) -> None:
        """Take the cycle's returns into the scale of values."""
        if self.stage.value_norm:
            credit = self.stage.credited(rows)
            self.norm.update(credit.returns_BT[credit.mask_BT].double())

    def _normal(self, hidden_BTD: torch.Tensor, batch: TokenBatch) -> torch.Tensor:
        """[B, T]: values in the scale that the critic learns."""
        if self.critic is not None:
            hidden_BTD = self.critic(batch.tokens_BT, batch.documents())
        value_BT: torch.Tensor = self.head(hidden_BTD)
        return value_BT

    def values(self, batch: TokenBatch) -> torch.Tensor:
        """[B, T]: what the answer is expected to be worth before each target, in the rewards' scale."""
        hidden_BTD = self.model(batch.tokens_BT, batch.documents()) if self.critic is None else torch.empty(0)
        mean, deviation = self.norm.scale()
        return self._normal(hidden_BTD, batch) * deviation + mean

    def forward(self, batch: TokenBatch) -> Sums:
        stage, extra, mask_BT = self.stage, batch.extra, batch.weight_BT > 0
        hidden_BTD = self.model(batch.tokens_BT, batch.documents())
        logp_BT = logps_of(hidden_BTD, self.model, batch, self.sampling)
        ratio_BT = (logp_BT - extra["old_BT"]).exp()
        loss_BT, held_BT = clipped_ratio(ratio_BT, extra["advantage_BT"], stage.eps_low, stage.eps_high)
        goes_on = (masked_mean(ratio_BT.detach(), mask_BT) <= stage.stop_ratio).float()
        policy = torch.where(mask_BT, loss_BT, 0).sum()
        policy = torch.where(goes_on > 0, policy, 0.0)
        mean, deviation = self.norm.scale()
        old_BT, return_BT = ((extra[name] - mean) / deviation for name in ("value_BT", "return_BT"))
        loss_BT, far_BT = value_loss(self._normal(hidden_BTD, batch), old_BT, return_BT, stage.value_clip)
        value = torch.where(mask_BT, loss_BT, 0).sum()
        total = policy + stage.value_weight * value
        found = self.measured(total, batch, logp_BT, ratio_BT.detach(), held_BT)
        tokens, here = mask_BT.sum(), len(self.names) - 4
        own = [(policy, tokens), (value, tokens), ((far_BT & mask_BT).sum(), tokens), (1 - goes_on, goes_on * 0 + 1)]
        return Sums(total, total.new_zeros(()), columns(found[:here] + own + found[here:]))


@dataclass(frozen=True)
class Credit:
    """Of a cycle's answers, at the places of their tokens: [B, T] each, 0 off the mask."""

    mask_BT: torch.Tensor
    token_reward_BT: torch.Tensor
    advantage_BT: torch.Tensor
    returns_BT: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Ppo(Reinforce):
    """See Reinforce; its beta 0.1 is part of the reward here. critic, spectral, stop_ratio: see the module. gamma, lam:
    GAE's. reward_clip: rewards of answers stay within +- this. value_weight, value_clip: of the critic's loss.
    value_norm, value_keep: the running scale of returns. whiten: normalize advantages over a cycle.
    """

    draws: int = 1
    rows: int = 64
    minibatches: int = 4
    critic: Literal["shared", "own"] = "shared"
    spectral: bool = False
    gamma: float = 1.0
    lam: float = 0.95
    reward_clip: float = 20.0
    value_weight: float = 0.5
    value_clip: float = 0.2
    value_norm: bool = True
    value_keep: float = 0.99995
    whiten: bool = True
    stop_ratio: float = 5.0

    by_group: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.critic not in ("shared", "own"):
            raise RecipeError(f"ppo: critic must be shared or own, got {self.critic!r}")
        if not (0 <= self.gamma <= 1 and 0 <= self.lam <= 1 and 0 <= self.value_keep < 1):
            raise RecipeError("ppo: gamma and lam are from 0 to 1, value_keep from 0 to below 1")

    def defaults(self) -> dict[str, Any]:
        """What -1 stands for."""
        return {**super().defaults(), "beta": 0.1}

    def objective(self, context: Context, model: Model) -> ActorCritic:
        """The module that is trained."""
        return ActorCritic(self, model)

    def weights(self, tokens_B: torch.Tensor) -> torch.Tensor:
        """[B]: what an answer counts in a step's mean."""
        return tokens_B.float()

    def credit(self, module: Any, rows: list[dict[str, Any]]) -> None:
        """Put ``advantage`` and ``token_reward`` into a cycle's answers."""
        credit = self.credited(rows)
        for place, row in enumerate(rows):
            size = len(row["ids"])
            row["advantage"] = credit.advantage_BT[place, :size].tolist()
            row["token_reward"] = credit.token_reward_BT[place, :size].tolist()

    def credited(self, rows: Sequence[dict[str, Any]]) -> Credit:
        """What a cycle's answers are credited with, from columns that are on disk."""
        longest = max(len(row["ids"]) for row in rows)

        def column(name: str) -> torch.Tensor:
            return torch.tensor([[*row[name], *[0.0] * (longest - len(row[name]))] for row in rows])

        mask_BT = column("mask").bool()
        reward_B = torch.tensor([row["reward"] for row in rows]).clamp(-self.reward_clip, self.reward_clip)
        logp_BT, value_BT = column("trainer_logp"), column("value")
        ref_BT = column("ref_logp") if self.refers else logp_BT
        token_reward_BT = token_rewards(reward_B, logp_BT, ref_BT, mask_BT, self.beta)
        advantage_BT, returns_BT = gae(token_reward_BT, value_BT, mask_BT, self.gamma, self.lam)
        if self.whiten:
            advantage_BT = normalized(advantage_BT, mask_BT)
        return Credit(mask_BT, token_reward_BT, advantage_BT, returns_BT)

    def extra(self, module: Any, rows: Sequence[dict[str, Any]]) -> dict[str, list[list[float]]]:
        """Values and returns of answers; a row's own do not depend on the others."""
        returns_BT = self.credited(rows).returns_BT
        return {
            "value": [row["value"] for row in rows],
            "return": [found[: len(row["ids"])].tolist() for row, found in zip(rows, returns_BT, strict=True)],
        }
