"""Loops over the losses: references that move (TR-DPO), a game (DNO), sequences from drawn pairs (H-DPO)."""

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.closed_forms import Check
from benchmarks.closed_forms.worlds import (
    World,
    all_pairs,
    drawn,
    fitted,
    minimized,
    normal,
    sampling_error,
    t32,
    tv,
    uniform,
)
from trainer.losses import Pairs
from trainer.losses.dpo import Dpo
from trainer.losses.hdpo import Hdpo

CYCLES = 4
SOFT = 0.6

BEATS = torch.tensor(
    [[0.5, 0.9, 0.2, 0.6], [0.1, 0.5, 0.8, 0.6], [0.8, 0.2, 0.5, 0.6], [0.4, 0.4, 0.4, 0.5]], dtype=torch.float64
)
"""P(row beats column): the first three go round in a circle."""


def _cycles(moved: Callable[[Tensor, Tensor], Tensor], share: float) -> tuple[float, float]:
    """(worst TV of references to rho exp(share k r / beta), TV of a fixed reference's policy at two cycles)."""
    world = t32()
    log_ref = world.log_ref_K
    worst = 0.0
    for k in range(1, CYCLES + 1):
        policy = fitted(Dpo(world.beta), world, log_ref_K=log_ref)
        log_ref = moved(policy.log(), log_ref).log_softmax(0)
        worst = max(worst, tv(log_ref.exp(), world.optimum(share * k)))
    return worst, tv(fitted(Dpo(world.beta), world), world.optimum(2.0))


def tr_dpo_hard() -> Check:
    """The policy becomes the reference after each cycle."""
    worst, fixed = _cycles(lambda policy, _: policy, 1.0)
    return Check(
        *(f"TR-DPO, hard: worst TV to rho exp(k r/beta), k 1-{CYCLES}", "2404.09656", worst, 1e-5),
        *("a reference that stays, k 2", fixed, 0.2),
    )


def tr_dpo_soft() -> Check:
    """Log-linear policies: parameters and log-probs are averaged alike."""
    worst, _ = _cycles(lambda policy, log_ref: SOFT * policy + (1 - SOFT) * log_ref, SOFT)
    swapped, _ = _cycles(lambda policy, log_ref: (1 - SOFT) * policy + SOFT * log_ref, SOFT)
    return Check(
        *(f"TR-DPO, soft {SOFT}: worst TV to rho exp(a k r/beta), k 1-{CYCLES}", "2404.09656", worst, 1e-5),
        *("shares of policy and reference swapped", swapped, 0.1),
    )


def gap(policy_K: Tensor) -> float:
    """How far from the game's equilibrium: what the best answer to a policy wins, less what it itself wins at worst."""
    return float((BEATS @ policy_K).max() - (policy_K @ BEATS).min())


def dno(steps: int = 2000, eta: float = 10.0) -> Check:
    """Self-play of DNO: pi <- pi exp(r/eta), r the mean chance to win against pi; the average policy is judged.

    The first steps are fits of DPO at beta eta with soft labels sigma(r - r'), which have that update as optimum.
    """
    start = torch.tensor([0.7, 0.1, 0.1, 0.1], dtype=torch.float64)
    policy, total, fit = start, torch.zeros_like(start), 0.0
    for step in range(steps):
        wins = BEATS @ policy
        following = (policy.log() + wins / eta).softmax(0)
        if step < 3:
            world = World(policy.log(), wins, eta)
            fit = max(fit, tv(fitted(Dpo(eta), world), following))
        policy = following
        total = total + policy
    best = torch.nn.functional.one_hot(BEATS.mean(1).argmax(), 4).double()
    return Check(
        *("DNO: gap of the average policy on a preference that goes in a circle", "2404.03715"),
        *(gap(total / steps), 0.03, "the best single answer by mean win rate", gap(best), 0.3),
        {"gap at the start": gap(start), "gap of the last policy": gap(policy), "fits off the update, TV": fit},
    )


TOKENS, IDS = 3, 4
SEQUENCES = IDS**TOKENS


def sequence_log_probs(theta: Tensor) -> Tensor:
    """[64], log-probs of all sequences of 3 tokens of 4 ids: a softmax of its own after each beginning.

    theta: [84], 4 logits for each of 1 + 4 + 16 beginnings.
    """
    parts = theta.split([IDS, IDS**2, IDS**3])
    log_probs = torch.zeros(1, dtype=theta.dtype)
    for part in parts:
        log_probs = (log_probs[:, None] + part.view(-1, IDS).log_softmax(1)).flatten()
    return log_probs


def sequence_world(beta: float = 1.5) -> World:
    """A reference in the policy's own form, and a reward of each sequence."""
    log_ref = sequence_log_probs(0.7 * normal((IDS + IDS**2 + IDS**3,), "sequences"))
    return World(log_ref, normal((SEQUENCES,), "sequences' reward"), beta)


def drawn_pairs(world: World, count: int, seed: int = 0) -> Tensor:
    """[K, K], how many of ``count`` pairs drawn from the reference had the row's answer chosen over the column's."""
    size = len(world.reward_K)
    left, right = (drawn(world.log_ref_K.exp(), count, f"pairs {side}", seed) for side in "lr")
    wins = uniform(count, "labels", seed) < world.preferred()[left, right]
    chosen, rejected = torch.where(wins, left, right), torch.where(wins, right, left)
    return torch.bincount(chosen * size + rejected, minlength=size * size).view(size, size).double()


def hdpo_sequences(count: int = 100_000, alpha: float = 0.8) -> Check:
    """A policy over sequences from drawn pairs, mean of three draws; beside it what that many draws of the optimum
    itself would be off."""
    world = sequence_world()
    wanted = world.optimum(alpha=alpha)

    def off(loss: Callable[[Pairs], Tensor], seed: int) -> float:
        weight = (drawn_pairs(world, count, seed) / count).flatten()

        def mean(theta: Tensor) -> Tensor:
            return (weight * loss(all_pairs(sequence_log_probs(theta), world.log_ref_K))).sum()

        return tv(sequence_log_probs(minimized(mean, torch.zeros(84, dtype=torch.float64), 200)).exp(), wanted)

    found = [off(Hdpo(world.beta, alpha), seed) for seed in range(3)]
    perfect = sampling_error(wanted, count)
    return Check(
        *(f"H-DPO, 3 tokens of 4 ids from {count:,} drawn pairs: mean TV of 3 draws", "2411.07595"),
        *(sum(found) / 3, 0.03, "alpha on the whole log-ratio", off(Dpo(world.beta * alpha), 0), 0.045),
        {"TV of as many draws of the optimum": perfect, "ratio": sum(found) / 3 / perfect, "draws": found},
    )


CHECKS = (tr_dpo_hard, tr_dpo_soft, dno, hdpo_sequences)
