"""RMS norm with an offset on its weight, and the sandwich: norm of a branch, sum, norm of the sum.

``y = x / sqrt(mean(x^2) + eps) * (offset + weight)``, computed in float32 and given back in the type of x. Stored
weights are deltas that start at 0; the offset is a constant of the place (see trainer.config).
"""

import torch
from torch.autograd.function import once_differentiable


def rms_norm_naive(x: torch.Tensor, weight: torch.Tensor | None, offset: float, eps: float) -> torch.Tensor:
    """x [..., D], weight [D] (or broadcast to x; None: no scale) -> the type of x."""
    wide = x if x.dtype == torch.float64 else x.float()
    y = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    return (y if weight is None else y * (offset + weight)).to(x.dtype)


class _RmsNorm(torch.autograd.Function):
    """Keeps x and one number a row; autograd of the naive twin would keep four tensors of the size of x."""

    @staticmethod
    def forward(ctx, x, scale, eps):  # type: ignore[no-untyped-def]
        wide = x if x.dtype == torch.float64 else x.float()
        size = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        r = torch.rsqrt(size.square() / x.shape[-1] + eps)
        ctx.save_for_backward(x, scale, r)
        return (wide * r).mul_(scale).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):  # type: ignore[no-untyped-def]
        x, scale, r = ctx.saved_tensors
        wide, dy = (t if t.dtype == torch.float64 else t.float() for t in (x, dy))
        y = wide * r
        dscale = (dy * y).reshape(-1, x.shape[-1]).sum(0) if ctx.needs_input_grad[1] else None
        dy = dy * scale
        along = torch.linalg.vecdot(dy, y).unsqueeze(-1) / x.shape[-1]
        dx = torch.addcmul(dy, y, along, value=-1).mul_(r)
        return dx.to(x.dtype), dscale, None


def rms_norm(x: torch.Tensor, weight: torch.Tensor | None, offset: float, eps: float) -> torch.Tensor:
    """RMS norm over the last axis. x [..., D]; weight [D], a delta on ``offset``, or None for no scale.

    In float32 inside (float64 for float64), the type of x outside.
    """
    if weight is None or weight.ndim > 1 or x.is_cuda or torch.compiler.is_compiling():
        return rms_norm_naive(x, weight, offset, eps)  # a compiler fuses the twin by itself
    return _RmsNorm.apply(x, offset + weight, eps)


def sandwich_norm(
    residual: torch.Tensor,
    branch: torch.Tensor,
    w_post: torch.Tensor,
    o_post: float,
    w_pre: torch.Tensor,
    o_pre: float,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(residual + norm(branch), norm of that): the end of one half of a layer and the start of the next.

    residual, branch: [..., D]. w_post, w_pre: [D].
    """
    residual = residual + rms_norm(branch, w_post, o_post, eps)
    return residual, rms_norm(residual, w_pre, o_pre, eps)


def sandwich_norm_naive(
    residual: torch.Tensor,
    branch: torch.Tensor,
    w_post: torch.Tensor,
    o_post: float,
    w_pre: torch.Tensor,
    o_pre: float,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The twin, by the naive norm."""
    residual = residual + rms_norm_naive(branch, w_post, o_post, eps)
    return residual, rms_norm_naive(residual, w_pre, o_pre, eps)
