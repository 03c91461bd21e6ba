"""Queries, keys and values from one projection: RMS norm of q and k by head, then rotation by position.

Rotation is of the half-split form: element i of the first half of a head turns with element i of the second half by the
angle position * base^(-2i/P). Positions count from each document's start.
"""

import functools
import math
from typing import Any

import torch

from trainer.kernels.norm import rms_norm


@functools.lru_cache(maxsize=64)
def _frequencies(head_dim: int, base: float, scaling: Any, device: str) -> torch.Tensor:
    """float64 [P/2]: radians a position. scaling: a trainer.config.RopeScaling or None."""
    angle = base ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    if scaling is not None:
        length = 2 * math.pi / angle
        low = scaling.original_max_position_embeddings / scaling.low_freq_factor
        high = scaling.original_max_position_embeddings / scaling.high_freq_factor
        smooth = scaling.original_max_position_embeddings / length - scaling.low_freq_factor
        smooth = smooth / (scaling.high_freq_factor - scaling.low_freq_factor)
        between = (1 - smooth) * angle / scaling.factor + smooth * angle
        angle = torch.where(length > low, angle / scaling.factor, torch.where(length < high, angle, between))
    return angle.to(device)


def rope_tables(
    position: torch.Tensor, head_dim: int, base: float, scaling: Any = None, dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin [..., 1, P/2] of positions [...], computed in float64: at 10 million float32 angles are noise."""
    angle = position.double()[..., None] * _frequencies(head_dim, base, scaling, str(position.device))
    return angle.cos().to(dtype)[..., None, :], angle.sin().to(dtype)[..., None, :]


def rotate(x: torch.Tensor, tables: tuple[torch.Tensor, torch.Tensor] | None) -> torch.Tensor:
    """x [..., heads, P] turned by ``rope_tables``; None turns nothing."""
    if tables is None:
        return x
    cos, sin = tables
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def qk_norm_rope_naive(
    qkv: torch.Tensor,
    heads: int,
    kv_heads: int,
    q_weight: torch.Tensor | None,
    k_weight: torch.Tensor | None,
    offset: float,
    eps: float,
    tables: tuple[torch.Tensor, torch.Tensor] | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One head at a time, as the formula stands."""
    head_dim = qkv.shape[-1] // (heads + 2 * kv_heads)
    found = []
    for number in range(heads + 2 * kv_heads):
        one = qkv[..., number * head_dim : (number + 1) * head_dim]
        weight = q_weight if number < heads else k_weight
        if number < heads + kv_heads:
            place = number if number < heads else number - heads
            wide = one if one.dtype == torch.float64 else one.float()
            if weight is not None:
                scale = offset + (weight[place] if weight.ndim == 2 else weight)
                wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps) * scale
            if tables is not None:
                cos, sin = (t.squeeze(-2) for t in tables)
                a, b = wide.chunk(2, -1)
                wide = torch.cat((a * cos - b * sin, b * cos + a * sin), -1)
            one = wide.to(qkv.dtype)
        found.append(one)
    stacked = torch.stack(found, -2)
    q, k, v = stacked.split((heads, kv_heads, kv_heads), -2)
    return q, k, v


def qk_norm_rope(
    qkv: torch.Tensor,
    heads: int,
    kv_heads: int,
    q_weight: torch.Tensor | None,
    k_weight: torch.Tensor | None,
    offset: float,
    eps: float,
    tables: tuple[torch.Tensor, torch.Tensor] | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """q [..., H, P], k and v [..., K, P] out of qkv [..., (H + 2K) P], in the order q | k | v.

    q_weight [H, P] or [P], k_weight [K, P] or [P]: scale is offset + weight; None leaves q and k unnormalized.
    tables: of ``rope_tables``, None for no rotation. In float32 inside, the type of qkv outside.
    """
    head_dim = qkv.shape[-1] // (heads + 2 * kv_heads)
    wide = torch.float64 if qkv.dtype == torch.float64 else torch.float32
    x = qkv.unflatten(-1, (heads + 2 * kv_heads, head_dim))
    q, k, v = x.split((heads, kv_heads, kv_heads), -2)
    q, k = q.to(wide), k.to(wide)
    if q_weight is not None and k_weight is not None:
        q = rms_norm(q, None, 0.0, eps) * (offset + q_weight)
        k = rms_norm(k, None, 0.0, eps) * (offset + k_weight)
    return rotate(q, tables).to(qkv.dtype), rotate(k, tables).to(qkv.dtype), v
