"""The gated MLP's middle: silu(gate) * up, gate in the first half of the last axis."""

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable


def swiglu_naive(gate_up: torch.Tensor) -> torch.Tensor:
    """[..., 2F] -> [..., F]."""
    gate, up = gate_up.chunk(2, -1)
    return F.silu(gate) * up


class _SwiGLU(torch.autograd.Function):
    """Keeps its input alone; writes both halves of the gradient into one tensor."""

    @staticmethod
    def forward(ctx, gate_up):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(gate_up)
        gate, up = gate_up.chunk(2, -1)
        return F.silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx, dh):  # type: ignore[no-untyped-def]
        (gate_up,) = ctx.saved_tensors
        gate, up = gate_up.chunk(2, -1)
        d = torch.empty_like(gate_up)
        dgate, dup = d.chunk(2, -1)
        torch.mul(dh, F.silu(gate), out=dup)
        dgate.copy_(torch.ops.aten.silu_backward(dh * up, gate))
        return d


def swiglu(gate_up: torch.Tensor) -> torch.Tensor:
    """silu(gate) * up. gate_up: [..., 2F], gate first -> [..., F]."""
    if gate_up.is_cuda or torch.compiler.is_compiling() or gate_up.dtype == torch.float64:
        return swiglu_naive(gate_up)
    return _SwiGLU.apply(gate_up)
