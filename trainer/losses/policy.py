"""Losses of policy gradients, a number a token: PPO (arXiv 1707.06347, practice of 2404.10719), GRPO (2402.03300) and
its variants. Pure functions of log-probs; nothing here knows a model.

    gae, group_advantages   how much better an answer was than expected
    clipped, sequence_ratio what is minimized, with ratios of tokens (PPO, GRPO) or of answers (GSPO, 2507.18071)
    k3                      a penalty on the distance from the reference
    value_loss              of PPO's critic
    aggregate               token losses to one number: the variants differ mostly here

Log-probs are of the token in that place, under the distribution the token was really drawn from (after temperature,
top-k, top-p); otherwise ratios are biased. mask: True for tokens the policy drew.

Letters: B answers, T tokens of an answer.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from jacorpus.errors import RecipeError, nearest

GROUP_EPS = 1e-4
Aggregation = Literal["grpo", "dapo", "dr_grpo", "luspo"]


def clipped(
    logp_BT: Tensor, old_BT: Tensor, advantage_BT: Tensor, low: float = 0.2, high: float = 0.2
) -> tuple[Tensor, Tensor]:
    """(loss [B, T], which tokens the clip holds back, bool [B, T]): -min(w A, clip(w, 1 - low, 1 + high) A).

    w = exp(logp - old); a token held back has no gradient. DAPO: high 0.28.
    """
    return clipped_ratio((logp_BT - old_BT.detach()).exp(), advantage_BT, low, high)


def clipped_ratio(ratio: Tensor, advantage_BT: Tensor, low: float = 0.2, high: float = 0.2) -> tuple[Tensor, Tensor]:
    """``clipped`` with a ratio of [B, T], or one an answer as [B, 1] (``sequence_ratio``)."""
    free, bound = ratio * advantage_BT, ratio.clamp(1 - low, 1 + high) * advantage_BT
    return -torch.minimum(free, bound), bound.detach() < free.detach()


def sequence_ratio(logp_BT: Tensor, old_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """[B, 1], GSPO's ratio of an answer: exp of the mean token log-ratio. An answer without tokens has 1."""
    return masked_mean(logp_BT - old_BT.detach(), mask_BT, 1)[:, None].exp()


def k3(logp_BT: Tensor, ref_BT: Tensor, old_BT: Tensor | None = None) -> Tensor:
    """[B, T], never below 0: rho/pi - log(rho/pi) - 1, whose mean over draws from pi is KL(pi || rho).

    As a loss it has another gradient than that KL: the one of KL(rho || pi). With ``old``, the log-probs that the
    tokens were drawn with, it is multiplied by w = exp(logp - old) and has that of KL(pi || rho).
    """
    log_ratio = ref_BT.detach() - logp_BT
    value = torch.expm1(log_ratio) - log_ratio
    return value if old_BT is None else value * (logp_BT - old_BT.detach()).exp()


def value_loss(value_BT: Tensor, old_BT: Tensor, returns_BT: Tensor, clip: float = 0.2) -> tuple[Tensor, Tensor]:
    """(loss [B, T], which tokens the clip holds back): half the larger of (v - return)^2 and (v' - return)^2, v' being
    v within ``clip`` of the old value."""
    held_BT = old_BT + (value_BT - old_BT).clamp(-clip, clip)
    free, bound = (value_BT - returns_BT).square(), (held_BT - returns_BT).square()
    return 0.5 * torch.maximum(free, bound), bound.detach() > free.detach()


@torch.no_grad()
def gae(
    reward_BT: Tensor, value_BT: Tensor, mask_BT: Tensor, gamma: float = 1.0, lam: float = 0.95
) -> tuple[Tensor, Tensor]:
    """(advantages [B, T], returns [B, T]) by generalized advantage estimation (arXiv 1506.02438).

    delta_t = r_t + gamma V_t+1 - V_t; A_t = delta_t + gamma lam A_t+1; return = A + V. The value after the last token
    is 0. Tokens that aren't the policy's (a tool's, padding) take no time: t+1 is the next token of the mask. Both are
    0 off the mask.
    """
    advantage_BT = torch.zeros_like(value_BT)
    next_value = torch.zeros_like(value_BT[:, 0])
    next_advantage = torch.zeros_like(next_value)
    for t in range(value_BT.shape[1] - 1, -1, -1):
        here = mask_BT[:, t].bool()
        delta = reward_BT[:, t] + gamma * next_value - value_BT[:, t]
        found = delta + gamma * lam * next_advantage
        next_advantage = torch.where(here, found, next_advantage)
        next_value = torch.where(here, value_BT[:, t], next_value)
        advantage_BT[:, t] = torch.where(here, found, 0)
    return advantage_BT, torch.where(mask_BT.bool(), advantage_BT + value_BT, 0)


@torch.no_grad()
def token_rewards(reward_B: Tensor, logp_BT: Tensor, ref_BT: Tensor, mask_BT: Tensor, beta: float) -> Tensor:
    """[B, T], PPO's reward: -beta log(pi/rho) of each token of the mask, and an answer's reward on its last one."""
    mask_BT = mask_BT.bool()
    found = torch.where(mask_BT, -beta * (logp_BT - ref_BT), 0)
    place = torch.arange(1, mask_BT.shape[1] + 1, device=mask_BT.device)
    last_BT = mask_BT & (place == (mask_BT * place).max(1, keepdim=True).values)
    return found + last_BT * reward_B[:, None].to(found.dtype)


@torch.no_grad()
def group_advantages(reward_B: Tensor, group_B: Tensor, std: bool = True) -> Tensor:
    """[B]: an answer's reward over the mean of its group's, divided by the group's sample standard deviation + 1e-4.

    group: any number a group, equal for the answers to one prompt. std: False for Dr.GRPO (arXiv 2503.20783). A group
    of equal rewards, or of one answer, has advantage 0.
    """
    _, place_B, count_G = torch.unique(group_B, return_inverse=True, return_counts=True)
    sums_G = torch.zeros(len(count_G), dtype=reward_B.dtype, device=reward_B.device)
    centered_B = reward_B - (sums_G.index_add(0, place_B, reward_B) / count_G)[place_B]
    if not std:
        return centered_B
    squares_G = sums_G.index_add(0, place_B, centered_B.square())
    deviation_G = (squares_G / (count_G - 1).clamp(min=1)).sqrt()
    return centered_B / (deviation_G[place_B] + GROUP_EPS)


def normalized(advantage_BT: Tensor, mask_BT: Tensor, eps: float = 1e-8) -> Tensor:
    """Advantages with mean 0 and standard deviation 1 over the mask, 0 off it."""
    mean = masked_mean(advantage_BT, mask_BT)
    deviation = masked_mean((advantage_BT - mean).square(), mask_BT).sqrt()
    return torch.where(mask_BT.bool(), (advantage_BT - mean) / (deviation + eps), 0)


def masked_mean(x_BT: Tensor, mask_BT: Tensor, dim: int | None = None) -> Tensor:
    """Mean over the mask, 0 where it holds nothing. What is off the mask may be anything, NaN too."""
    kept = torch.where(mask_BT.bool(), x_BT, 0)
    if dim is None:
        return kept.sum() / mask_BT.sum().clamp(min=1)
    return kept.sum(dim) / mask_BT.sum(dim).clamp(min=1)


def aggregate(
    loss_BT: Tensor, mask_BT: Tensor, how: Aggregation, max_length: int, weight: float | None = None
) -> Tensor:
    """One number of token losses.

    grpo     mean over answers of each one's mean       dapo   sum over the number of tokens (2503.14476)
    dr_grpo  sum over B * max_length (2503.20783)       luspo  mean over answers of each one's sum

    weight: what to divide by in place of B (dapo: of the number of tokens), for a batch that comes in parts: the parts'
    numbers then add up to the whole batch's. Raises RecipeError for another ``how``.
    """
    kept_B = torch.where(mask_BT.bool(), loss_BT, 0).sum(1)
    answers = weight or len(kept_B)
    if how == "grpo":
        return masked_mean(loss_BT, mask_BT, 1).sum() / answers
    if how == "dapo":
        return kept_B.sum() / (weight or mask_BT.sum().clamp(min=1))
    if how == "dr_grpo":
        return kept_B.sum() / (answers * max_length)
    if how == "luspo":
        return kept_B.sum() / answers
    raise RecipeError(f"token losses are not put together by `{how}`{nearest(how, get_args(Aggregation))}")
