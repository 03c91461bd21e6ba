"""B, C and dt of a Mamba mixer from one projection: cut, then a norm for each (weights start at 1, no offset)."""

import torch

from trainer.kernels.norm import rms_norm, rms_norm_naive


def bcdt_prep_naive(
    bcdt: torch.Tensor, b_weight_N: torch.Tensor, c_weight_N: torch.Tensor, dt_weight_R: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """By the naive norm."""
    n = len(b_weight_N)
    b, c, dt = bcdt[..., :n], bcdt[..., n : 2 * n], bcdt[..., 2 * n :]
    pairs = ((b, b_weight_N), (c, c_weight_N), (dt, dt_weight_R))
    b, c, dt = (rms_norm_naive(part, weight, 0.0, eps) for part, weight in pairs)
    return b, c, dt


def bcdt_prep(
    bcdt: torch.Tensor, b_weight_N: torch.Tensor, c_weight_N: torch.Tensor, dt_weight_R: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(B [..., N], C [..., N], dt [..., R]) normalized, of bcdt [..., 2N + R] in that order. dt still lacks its
    projection to heads, bias and softplus."""
    n = len(b_weight_N)
    parts = bcdt.split((n, n, len(dt_weight_R)), -1)
    weights = (b_weight_N, c_weight_N, dt_weight_R)
    b, c, dt = (rms_norm(part, weight, 0.0, eps) for part, weight in zip(parts, weights, strict=True))
    return b, c, dt
