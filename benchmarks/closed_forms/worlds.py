"""Worlds whose best policy is known, and how a policy is fitted to a loss there.

T32: 32 points, a reference of three humps, a wavy reward; a policy is a softmax table of 32 logits. Letters: K answers.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.losses import Pairs


@dataclass(frozen=True)
class World:
    """log_ref_K: log-probs of the reference. reward_K. beta: how dear it is to leave the reference."""

    log_ref_K: Tensor
    reward_K: Tensor
    beta: float

    def preferred(self) -> Tensor:
        """[K, K], Bradley-Terry probability that the answer of the row beats that of the column."""
        return (self.reward_K[:, None] - self.reward_K).sigmoid()

    def optimum(self, strength: float = 1.0, alpha: float = 1.0) -> Tensor:
        """[K], rho^(1/alpha) exp(strength r / (alpha beta)), normalized."""
        return ((self.log_ref_K + strength * self.reward_K / self.beta) / alpha).softmax(0)


def t32() -> World:
    """The world of one step."""
    x = torch.linspace(-4, 4, 32, dtype=torch.float64)
    humps = ((0.5, -2.0, 0.5), (0.3, 1.0, 0.3), (0.2, 3.0, 0.2))
    density = sum((weight * (-(x - at).square() / width).exp() for weight, at, width in humps), torch.zeros_like(x))
    density = density + 1e-3
    return World((density / density.sum()).log(), 0.6 * (2 * x).sin() + 0.2 * x, 0.5)


def all_pairs(log_policy_K: Tensor, log_ref_K: Tensor) -> Pairs:
    """Every ordered pair of answers of one token, [K * K]: row i * K + j has i chosen."""
    size = len(log_policy_K)
    ones = torch.ones(size * size, dtype=log_policy_K.dtype)
    sides = [side for log_K in (log_policy_K, log_ref_K) for side in _sides(log_K)]
    return Pairs(*sides, ones, ones)


def _sides(log_K: Tensor) -> tuple[Tensor, Tensor]:
    return log_K.repeat_interleave(len(log_K)), log_K.repeat(len(log_K))


def minimized(loss: Callable[[Tensor], Tensor], start: Tensor, rounds: int = 1000) -> Tensor:
    """Parameters that L-BFGS ends with, from ``start``."""
    theta = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [theta],
        max_iter=rounds,
        max_eval=2 * rounds,
        history_size=50,
        tolerance_grad=1e-14,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(theta)
        value.backward()
        return value

    optimizer.step(closure)  # type: ignore[arg-type]
    return theta.detach()


def fitted(
    loss: Callable[[Pairs], Tensor], world: World, weight_KK: Tensor | None = None, log_ref_K: Tensor | None = None
) -> Tensor:
    """[K], the policy of a softmax table that minimizes a loss of pairs, from the reference.

    weight: how often i is preferred to j; by default Bradley-Terry of the world's reward, all pairs alike.
    """
    weight_KK = world.preferred() if weight_KK is None else weight_KK
    log_ref_K = world.log_ref_K if log_ref_K is None else log_ref_K
    weight = (weight_KK / weight_KK.sum()).flatten()

    def mean(theta: Tensor) -> Tensor:
        return (weight * loss(all_pairs(theta.log_softmax(0), log_ref_K))).sum()

    return minimized(mean, log_ref_K).softmax(0)


def tv(p: Tensor, q: Tensor) -> float:
    """Total variation: half the L1 distance."""
    return 0.5 * float((p - q).abs().sum())


def kl(p: Tensor, q: Tensor) -> float:
    """Nats."""
    return float(torch.special.xlogy(p, p / q).sum())


def entropy(p: Tensor) -> float:
    """Nats."""
    return float(torch.special.entr(p).sum())


def drawn(p_K: Tensor, count: int, name: str, seed: int = 0) -> Tensor:
    """int64 [count], answers drawn from p; the generator is keyed by (seed, name)."""
    u = uniform(count, name, seed)
    return torch.searchsorted(p_K.cumsum(0), u * float(p_K.sum())).clamp(max=len(p_K) - 1)


def uniform(count: int, name: str, seed: int = 0) -> Tensor:
    """float64 [count] in [0, 1)."""
    return torch.rand(count, dtype=torch.float64, generator=generator(name, seed))


def normal(shape: tuple[int, ...], name: str, seed: int = 0) -> Tensor:
    """float64 of a shape."""
    return torch.randn(shape, dtype=torch.float64, generator=generator(name, seed))


def generator(name: str, seed: int = 0) -> torch.Generator:
    """Of (seed, name)."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def sampling_error(p_K: Tensor, count: int) -> float:
    """Mean total variation between p and the shares of ``count`` draws from p itself, for shares near normal."""
    return float((p_K * (1 - p_K)).sqrt().sum()) / math.sqrt(2 * math.pi * count)
