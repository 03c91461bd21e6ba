"""Pieces of policy gradients by hand, and PPO where preferences can't tell right from wrong."""

import math

import torch
from torch import Tensor

from benchmarks.closed_forms import Check
from benchmarks.closed_forms.worlds import World, kl
from trainer.losses import Pairs
from trainer.losses.dpo import Dpo
from trainer.losses.policy import (
    aggregate,
    clipped,
    clipped_ratio,
    gae,
    group_advantages,
    k3,
    sequence_ratio,
    token_rewards,
)

AGGREGATES = {"grpo": 2.0, "dapo": 1.5, "dr_grpo": 0.75, "luspo": 3.0}


def _double(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _most(error: Tensor) -> float:
    return float(error.detach().abs().max())


def grpo_advantages() -> Check:
    """[1, 0, 0, 1] has advantages of .866 with the sample's deviation, 1 with the population's; equals have 0."""
    rewards = _double(1, 0, 0, 1, 0.3, 0.3, 0.3, 0.3)
    found = group_advantages(rewards, torch.tensor([7] * 4 + [2] * 4))
    wanted = _double(1, -1, -1, 1) * 0.5 / (math.sqrt(1 / 3) + 1e-4)
    population = _double(1, -1, -1, 1) * 0.5 / (0.5 + 1e-4)
    return Check(
        *("GRPO: advantages of [1, 0, 0, 1] and of equal rewards", "2402.03300"),
        *(max(_most(found[:4] - wanted), _most(found[4:])), 1e-12),
        *("the population's deviation", _most(population - wanted), 0.1),
        {"advantage": float(found[0])},
    )


def k3_gradients() -> Check:
    """The mean of k3 is KL(pi || rho); its gradient is KL(rho || pi)'s, with w that of KL(pi || rho)."""
    log_ref = _double(0.5, 0.3, 0.2).log()
    theta = _double(0.7, 0.2, 0.1).log().requires_grad_()
    log_p = theta.log_softmax(0)
    p, old = log_p.exp(), log_p.detach()
    forward, backward = (p * (log_p - log_ref)).sum(), (log_ref.exp() * (log_ref - log_p)).sum()
    plain, weighted = (old.exp() * k3(log_p, log_ref)).sum(), (old.exp() * k3(log_p, log_ref, old)).sum()
    slopes = [torch.autograd.grad(each, theta, retain_graph=True)[0] for each in (plain, backward, weighted, forward)]
    errors = plain - forward, weighted - forward, slopes[0] - slopes[1], slopes[2] - slopes[3]
    return Check(
        *("k3: mean KL(pi||rho), gradients of both directions", "2402.03300", max(map(_most, errors)), 1e-12),
        *("without w held to be KL(pi||rho)", _most(slopes[0] - slopes[3]), 1e-2),
        {"mean": float(plain.detach())},
    )


def aggregation() -> Check:
    """Token losses [1, 1, 1] and [3], longest answer 4; padding holds NaN."""
    off = math.nan
    loss = torch.tensor([[1, 1, 1, off], [3, off, off, off]], dtype=torch.float64)
    mask = torch.tensor([[True, True, True, False], [True, False, False, False]])
    found = {how: float(aggregate(loss, mask, how, 4)) for how in AGGREGATES}  # type: ignore[arg-type]
    padded = float(torch.where(mask, loss, 0).mean(1).mean())
    return Check(
        *("aggregation: GRPO, DAPO, Dr.GRPO, LUSPO", "2402.03300, 2503.14476, 2503.20783"),
        *(max(abs(found[how] - wanted) for how, wanted in AGGREGATES.items()), 0.0),
        *("GRPO's means over padding too", abs(padded - AGGREGATES["grpo"]), 0.5),
        found,
    )


def gspo() -> Check:
    """The ratio of an answer is the mean's, and one clip holds for all of its tokens."""
    old = torch.zeros(1, 3, dtype=torch.float64)
    logp = torch.tensor([[0.1, 0.3, 9.0]], dtype=torch.float64)
    mask = torch.tensor([[True, True, False]])
    ratio = sequence_ratio(logp, old, mask)
    loss, held = clipped_ratio(ratio, torch.ones(1, 3, dtype=torch.float64), 0.2, 0.2)
    wanted = math.exp(0.2)
    return Check(
        *("GSPO: ratio and loss of an answer by hand", "2507.18071"),
        *(max(abs(float(ratio) - wanted), abs(float(loss[0, 0]) + 1.2), 1.0 - float(held.all())), 1e-12),
        *("the product of token ratios", abs(math.exp(0.4) - wanted), 0.1),
    )


def ppo_gae() -> Check:
    """Reward at the end alone, values .5; a token of a tool in between takes no time."""
    reward = torch.tensor([[0.0, 0, 0, 0, 1]], dtype=torch.float64)
    mask = torch.tensor([[True, True, False, True, True]])
    found, returns = gae(reward, torch.full_like(reward, 0.5), mask, 1.0, 0.95)
    wanted = _double(*(0.5 * 0.95**n for n in (3, 2, 1, 0)))
    blind, _ = gae(reward, torch.full_like(reward, 0.5), torch.ones_like(mask), 1.0, 0.95)
    off = max(_most(found[mask] - wanted), _most(returns[mask] - wanted - 0.5), _most(found[~mask]))
    return Check(
        *("GAE: advantages and returns by hand", "1506.02438", off, 1e-12),
        *("the tool's token counted", _most(blind[mask] - wanted), 1e-2),
        {"advantages": found[mask].tolist()},
    )


def ppo_against_dpo() -> Check:
    """Three answers, of which preferences have seen two: PPO finds the optimum, DPO's loss is blind to the third."""
    ref, reward = _double(0.5, 0.49, 0.01), _double(1, 0, 0)
    world = World(ref.log(), reward, 0.1)
    best = 0.1 * math.log(float((ref * (reward / 0.1).exp()).sum()))

    def worth(p: Tensor) -> float:
        return float((p * reward).sum()) - 0.1 * kl(p, ref)

    rivals = _double(0.6, 1e-9, 0.4), _double(6e-4, 1e-12, 1 - 6e-4 - 1e-12)
    ones = torch.ones(1, dtype=torch.float64)
    given = [Pairs(p[:1].log(), p[1:2].log(), ref[:1].log(), ref[1:2].log(), ones, ones) for p in rivals]
    losses = [float(Dpo(0.1)(pairs)) for pairs in given]
    theta = world.log_ref_K.clone().requires_grad_()
    optimizer = torch.optim.SGD([theta], lr=1.0)
    steps = 0
    while worth(theta.detach().softmax(0)) < 0.9999 * best and steps < 20_000:
        old = theta.detach().log_softmax(0)
        mask = torch.ones(3, 1, dtype=torch.bool)
        rewards = token_rewards(reward, old[:, None], world.log_ref_K[:, None], mask, world.beta)
        value = (old.exp() * rewards[:, 0]).sum().expand(3, 1)
        advantage, _ = gae(rewards, value, mask, 1.0, 1.0)
        for _ in range(4):  # updates on the same draws, here all three answers by their probabilities
            loss, _ = clipped(theta.log_softmax(0)[:, None], old[:, None], advantage)
            optimizer.zero_grad()
            (old.exp()[:, None] * loss).sum().backward()
            optimizer.step()
            steps += 1
    return Check(
        *("PPO, exact expectations: what J lacks of J*, as a share", "2404.10719"),
        *(1 - worth(theta.detach().softmax(0)) / best, 0.01),
        *("a policy of no higher DPO loss than another of J .44", 1 - worth(rivals[1]) / best, 1.0),
        {"J*": best, "J of two policies": [worth(p) for p in rivals], "their DPO losses": losses, "updates": steps},
    )


CHECKS = (grpo_advantages, k3_gradients, aggregation, gspo, ppo_gae, ppo_against_dpo)
