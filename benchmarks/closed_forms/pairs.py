"""Losses of pairs on T32 and by hand."""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.closed_forms import Check
from benchmarks.closed_forms.worlds import drawn, entropy, fitted, minimized, normal, t32, tv
from trainer.losses import Pairs
from trainer.losses.brain import Brain, Draws
from trainer.losses.cdpo import Cdpo
from trainer.losses.dpo import Dpo
from trainer.losses.hdpo import Hdpo
from trainer.losses.ipo import Ipo
from trainer.losses.kto import Kto
from trainer.losses.orpo import Orpo
from trainer.losses.robust import Robust
from trainer.losses.simpo import Simpo

ENTROPIES = {0.5: 2.1359, 0.7: 2.4420, 0.8: 2.5476, 0.9: 2.6348, 0.95: 2.6732, 1.0: 2.7087, 1.1: 2.7724, 1.2: 2.8280}
"""Nats of T32's optimum by alpha of H-DPO."""


def some_pairs(count: int = 6, name: str = "pairs") -> Pairs:
    """Pairs of answers of different lengths, with the log-probs that such answers have, gradients wanted."""
    lengths = torch.arange(1, count + 1, dtype=torch.float64)
    sums = [-(0.3 + normal((count,), f"{name} {i}").abs()) * lengths for i in range(6)]
    chosen, rejected, ref_chosen, ref_rejected, mismatched, ref_mismatched = sums
    leaves = chosen.requires_grad_(), rejected.requires_grad_()
    return Pairs(*leaves, ref_chosen, ref_rejected, lengths, lengths.flip(0), mismatched, ref_mismatched)


def _most(error: Tensor) -> float:
    return float(error.detach().abs().max())


def dpo() -> Check:
    """The optimum of all pairs; log 2 at the start."""
    world = t32()
    wanted = world.optimum()
    pairs = some_pairs()
    start = Dpo()(pairs._replace(ref_chosen_B=pairs.chosen_B, ref_rejected_B=pairs.rejected_B))
    without = fitted(lambda pairs: -F.logsigmoid(world.beta * (pairs.chosen_B - pairs.rejected_B)), world)
    return Check(
        *("DPO: TV to rho exp(r/beta)", "2305.18290", tv(fitted(Dpo(world.beta), world), wanted), 1e-6),
        *("the reference left out", tv(without, wanted), 0.3),
        {"off log 2 at the start": _most(start - math.log(2))},
    )


def ipo() -> Check:
    """The optimum with the mean probability to win; tau .5."""
    world, tau = t32(), 0.5
    wins = world.preferred().mean(1)
    wanted = (world.log_ref_K + wins / tau).softmax(0)
    twin = fitted(lambda pairs: (pairs.margin() - 1 / tau).square(), world)
    return Check(
        *("IPO: TV to rho exp(P/tau), tau .5", "2310.12036", tv(fitted(Ipo(tau), world), wanted), 1e-6),
        *("a margin of 1/tau for 1/(2 tau)", tv(twin, wanted), 0.05),
        {"TV of DPO's optimum": tv(world.optimum(), wanted)},
    )


def cdpo() -> Check:
    """One pair whose label is always the same."""

    def rest(loss: Dpo) -> float:
        def of(theta: Tensor) -> Tensor:
            log_K = theta.log_softmax(0)
            zero, one = torch.full((1,), math.log(0.5)).double(), torch.ones(1)
            return loss(Pairs(log_K[:1], log_K[1:], zero, zero, one, one)).sum()

        theta = minimized(of, torch.zeros(2, dtype=torch.float64))
        return loss.beta * float(theta[0] - theta[1])

    wanted = math.log(0.9 / 0.1)
    found = rest(Cdpo(1.0, 0.1))
    return Check(
        *("cDPO: where a sure pair stops, noise .1", "cDPO note", abs(found - wanted), 1e-6),
        *("no smoothing", abs(rest(Dpo(1.0)) - wanted), 1.0),
        {"beta margin": found},
    )


def robust() -> Check:
    """Labels flipped with probability .2: the optimum of clean ones."""
    world, noise = t32(), 0.2
    clean = world.preferred()
    flipped = (1 - noise) * clean + noise * clean.T

    def off(loss: Dpo) -> float:
        return tv(fitted(loss, world, flipped), world.optimum())

    plain = off(Dpo(world.beta))
    return Check(
        *("robust DPO, 20 % of labels flipped: TV to the clean optimum", "2403.00409"),
        *(off(Robust(world.beta, noise)), 1e-6, "DPO", plain, 0.1),
        {"TV of cDPO": off(Cdpo(world.beta, noise))},
    )


def kto() -> Check:
    """Loss and gradient by another writing of the formula; half of each weight where policy and reference are one."""
    loss = Kto(0.3, 1.5, 0.7)
    pairs = some_pairs()
    assert pairs.mismatched_B is not None
    assert pairs.ref_mismatched_B is not None
    pairs = pairs._replace(mismatched_B=(pairs.ref_mismatched_B + 0.5).requires_grad_())
    z = 0.3 * max(0.0, sum((pairs.mismatched_B - pairs.ref_mismatched_B).tolist()) / 6)
    values, slopes = [], []
    for lw, ll, rw, rl in zip(*(each.tolist() for each in pairs[:4]), strict=True):
        good, bad = 1 / (1 + math.exp(z - 0.3 * (lw - rw))), 1 / (1 + math.exp(0.3 * (ll - rl) - z))
        values.append((1.5 * (1 - good) + 0.7 * (1 - bad)) / 2)
        slopes.append((-1.5 * 0.3 * good * (1 - good) / 2, 0.7 * 0.3 * bad * (1 - bad) / 2))
    found = loss(pairs)
    given = pairs.chosen_B, pairs.rejected_B, pairs.mismatched_B
    grads = torch.autograd.grad(found.sum(), given, allow_unused=True)
    assert grads[2] is None, "z has no gradient"
    wanted = torch.tensor(slopes, dtype=torch.float64).T
    errors = [found - torch.tensor(values, dtype=torch.float64), grads[0] - wanted[0], grads[1] - wanted[1]]
    unshifted = loss(pairs._replace(ref_mismatched_B=pairs.mismatched_B))
    same = pairs._replace(ref_chosen_B=pairs.chosen_B, ref_rejected_B=pairs.rejected_B)
    start = loss(same._replace(ref_mismatched_B=pairs.mismatched_B))
    return Check(
        *("KTO: loss and gradient against the formula by hand", "2402.01306"),
        *(max(map(_most, errors)), 1e-12),
        *("z left out", _most(unshifted - found), 1e-3),
        {"start over half the weights": float(start.detach().mean()) / ((1.5 + 0.7) / 4)},
    )


def orpo() -> Check:
    """The odds' term at equal means, answers of different lengths; and all of it by the naive formula."""
    pairs, loss = some_pairs(), Orpo(0.1)
    mean_w, mean_l = pairs.means()
    odds = [each.exp() / (1 - each.exp()) for each in (mean_w, mean_l)]
    naive = -mean_w - 0.1 * (odds[0] / odds[1]).log().sigmoid().log()
    equal = pairs._replace(rejected_B=mean_w * pairs.rejected_tokens_B)

    def term(pairs: Pairs) -> Tensor:
        return (loss(pairs) + pairs.means()[0]) / loss.weight - math.log(2)

    ones = torch.ones_like(mean_w)
    sums = term(equal._replace(chosen_tokens_B=ones, rejected_tokens_B=ones))
    off = max(_most(loss(pairs) - naive), _most(term(equal)))
    return Check(
        *("ORPO: odds' term log 2 at equal means; the naive formula", "2403.07691", off, 1e-12),
        *("sums in place of means", _most(sums), 0.1),
    )


def simpo() -> Check:
    """-log sigma(-gamma) at equal means."""
    pairs, loss = some_pairs(), Simpo(2.0, 0.5)
    equal = pairs._replace(rejected_B=pairs.means()[0] * pairs.rejected_tokens_B)
    wanted = math.log1p(math.exp(0.5))
    other = F.softplus(torch.tensor(-0.5, dtype=torch.float64))
    return Check(
        *("SimPO: -log sigma(-gamma) at equal means", "2405.14734"),
        *(_most(loss(equal) - wanted), 1e-12),
        *("gamma with the other sign", abs(float(other) - wanted), 0.1),
        {"at gamma .5": float(loss(equal)[0].detach())},
    )


def hdpo() -> Check:
    """The optimum and its entropy for eight alphas; alpha on the whole log-ratio is DPO with another beta."""
    world = t32()
    found = {alpha: fitted(Hdpo(world.beta, alpha), world) for alpha in ENTROPIES}
    nats = {alpha: entropy(p) for alpha, p in found.items()}
    values = list(nats.values())
    twin = fitted(Dpo(world.beta * 0.8), world)
    implicit = Hdpo(world.beta, 0.8).rewards(_each(found[0.8].log(), world.log_ref_K))[0] - world.reward_K
    plain = world.beta * (found[0.8].log() - world.log_ref_K) - world.reward_K
    return Check(
        *("H-DPO: worst TV to rho^(1/alpha) exp(r/(alpha beta)) of 8 alphas", "2411.07595"),
        *(max(tv(p, world.optimum(alpha=alpha)) for alpha, p in found.items()), 1e-6),
        *("alpha on the whole log-ratio, .8", tv(twin, world.optimum(alpha=0.8)), 0.05),
        {
            "entropy by alpha": {str(alpha): value for alpha, value in nats.items()},
            "entropy off the table": max(abs(nats[alpha] - value) for alpha, value in ENTROPIES.items()),
            "strictly rising": all(low < high for low, high in pairwise(values)),
            "s.d. of implicit reward - r": float(implicit.std()),
            "s.d. of beta log(pi/rho) - r": float(plain.std()),
        },
    )


def _each(log_policy_K: Tensor, log_ref_K: Tensor) -> Pairs:
    ones = torch.ones_like(log_policy_K)
    return Pairs(log_policy_K, log_policy_K, log_ref_K, log_ref_K, ones, ones)


def hdpo_oracle() -> Check:
    """DPO with beta' = alpha beta, fed the reference's log-probs over alpha: the way TRL can be made to do it."""
    pairs, beta, alpha = some_pairs(), 0.3, 0.8
    scaled = pairs._replace(ref_chosen_B=pairs.ref_chosen_B / alpha, ref_rejected_B=pairs.ref_rejected_B / alpha)
    ours, oracle = Hdpo(beta, alpha)(pairs), Dpo(alpha * beta)(scaled)
    grads = [torch.autograd.grad(each.sum(), pairs[:2], retain_graph=True) for each in (ours, oracle)]
    off = [ours - oracle, *(a - b for a, b in zip(*grads, strict=True))]
    return Check(
        *("H-DPO: loss and gradient against DPO of scaled references", "2411.07595"),
        *(max(map(_most, off)), 1e-12),
        *("references not scaled", _most(ours - Dpo(alpha * beta)(pairs)), 1e-2),
    )


def brain() -> Check:
    """All answers as draws of a proposal that isn't the reference."""
    world = t32()
    log_q = (1.5 * torch.linspace(-2, 2, 32, dtype=torch.float64)).log_softmax(0)[None]
    draws = Draws(log_q, world.log_ref_K[None], log_q, world.reward_K[None])
    loss = Brain(world.beta)

    def fit(given: Draws) -> Tensor:
        def of(theta: Tensor) -> Tensor:
            return loss(given._replace(policy_BN=theta.log_softmax(0)[None])).sum()

        return minimized(of, world.log_ref_K).softmax(0)

    # Log q taken back in the reference's place leaves it out of the target alone.
    twin = fit(draws._replace(ref_BN=draws.ref_BN + log_q))
    return Check(
        *("BRAIn, all answers drawn: TV to rho exp(r/beta)", "2402.02479", tv(fit(draws), world.optimum()), 1e-6),
        *("q left out of the target", tv(twin, world.optimum()), 0.3),
    )


def brain_two() -> Check:
    """Two draws of the reference, all of the target on the better one: DPO's gradient at beta 1."""
    pairs = some_pairs()
    policy, reference = torch.stack(pairs[:2], 1), torch.stack(pairs[2:4], 1)
    reward = torch.tensor([1.0, 0.0], dtype=torch.float64).expand(6, 2)
    ours = Brain(1e-6)(Draws(policy, reference, reference, reward))
    wanted = torch.autograd.grad(Dpo(1.0)(pairs).sum(), pairs[:2])
    found = torch.autograd.grad(ours.sum(), pairs[:2], retain_graph=True)
    blind = Brain(1e-6)(Draws(policy, reference, torch.zeros_like(reference), reward))
    other = torch.autograd.grad(blind.sum(), pairs[:2])

    def off(grads: tuple[Tensor, ...]) -> float:
        return max(_most(a - b) for a, b in zip(grads, wanted, strict=True))

    return Check(
        *("BRAIn, 2 draws: gradient against DPO's at beta 1", "2402.02479", off(found), 1e-12),
        *("q left out of both shares", off(other), 1e-2),
    )


def brain_variance(repeats: int = 20_000, n: int = 8) -> Check:
    """Total variance of the gradient of T32's logits, at the reference, with the baseline over without."""
    world = t32()
    p = world.log_ref_K.exp()
    place = drawn(p, repeats * n, "brain").view(repeats, n)
    log_p = world.log_ref_K[place]
    policy = log_p.clone().requires_grad_()
    loss = Brain(world.beta)(Draws(policy, log_p, log_p, world.reward_K[place]))
    (with_baseline,) = torch.autograd.grad(loss.sum(), policy)
    target = (world.reward_K[place] / world.beta).softmax(-1)

    def variance(coefficient_BN: Tensor) -> float:
        grads = torch.zeros(repeats, 32, dtype=torch.float64).scatter_add_(1, place, coefficient_BN)
        grads -= coefficient_BN.sum(1, keepdim=True) * p  # of log pi: the one drawn minus p
        return float(grads.var(0).sum())

    ratio = variance(with_baseline) / variance(-target)
    wrong = variance(-(2 * target + with_baseline)) / variance(-target)
    return Check(
        *(f"BRAIn, {n} draws: variance of the gradient over that without -b", "2402.02479", ratio, 0.6),
        *("+b for -b", wrong, 1.0),
        {"with": variance(with_baseline), "without": variance(-target)},
    )


CHECKS = (dpo, ipo, cdpo, robust, kto, orpo, simpo, hdpo, hdpo_oracle, brain, brain_two, brain_variance)
