"""Depthwise causal convolution of width 4 over the x half of a projection, then SiLU, on a GPU (see trainer.kernels).

zx [B, T, M, 2P] holds within each head z first, then x; x is read in place. Letters: B rows, T tokens, M heads, P head
size, C = M * P channels; L tokens of a block. Taps from an earlier document are 0.

Bytes a token at C 4096 in bfloat16 (computed, not measured): forward x, y = 16 KB; backward x, dy, dz and all of dzx =
41 KB. Rows that taps and neighboring blocks read again come from the caches. The gradient of the weights
is summed by one program over several blocks, then by one fixed-order sum over programs.

The gradient of zx is one tensor for both halves. Taken apart, the halves' gradients cost two passes more: each filled
up with zeros to full size, and the sum of them. So ``conv_silu_gate`` gives x and z together, and its backward writes
both halves at once; ``conv_silu`` alone fills the z half with zeros.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch.autograd.function import once_differentiable
from torch.library import custom_op

from jacorpus.errors import RecipeError
from trainer.kernels.triton import tables


@triton.jit
def _goes_on(start, t, T):
    """Whether token t is of the document of t - 1. The first of a row always is: the state decides what it sees."""
    return tl.load(start + t, mask=(t > 0) & (t < T), other=0) == 0


@triton.jit
def _inputs(x, state, t, T, x_t, HAS_STATE: tl.constexpr, P: tl.constexpr):
    """[L, P] in float32: inputs of tokens t, those before the row out of the state [P, 3]."""
    p = tl.arange(0, P)[None, :]
    t = t[:, None]
    found = tl.load(x + t.to(tl.int64) * x_t + p, mask=(t >= 0) & (t < T), other=0.0).to(tl.float32)
    if HAS_STATE:
        found += tl.load(state + p * 3 + t + 3, mask=(t < 0) & (t >= -3) & (p >= 0), other=0.0).to(tl.float32)
    return found


@triton.jit
def _taps(w, P: tl.constexpr):
    """The four weights of P channels, oldest tap first, in float32."""
    w += tl.arange(0, P)[None, :] * 4
    return (
        tl.load(w).to(tl.float32),
        tl.load(w + 1).to(tl.float32),
        tl.load(w + 2).to(tl.float32),
        tl.load(w + 3).to(tl.float32),
    )


@triton.jit
def _seen(start, t, T):
    """For tokens t: whether 1, 2 and 3 tokens back are of the same document."""
    one = _goes_on(start, t, T)
    two = one & _goes_on(start, t - 1, T)
    three = two & _goes_on(start, t - 2, T)
    return one[:, None], two[:, None], three[:, None]


@triton.jit
def _convolved(x3, x2, x1, x0, one, two, three, w0, w1, w2, w3):
    """Before SiLU. x3 .. x0: inputs 3 .. 0 tokens back."""
    y = w3 * x0
    y += tl.where(one, w2 * x1, 0.0)
    y += tl.where(two, w1 * x2, 0.0)
    return y + tl.where(three, w0 * x3, 0.0)


@triton.jit
def conv_kernel(zx, w, start, state, y, end, T, M, x_b, x_t, x_m,
                HAS_STATE: tl.constexpr, L: tl.constexpr, P: tl.constexpr):  # fmt: skip
    """L tokens of one head; the program of the row's last tokens writes the state after it."""
    block, m, row = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    t, p = block * L + tl.arange(0, L), tl.arange(0, P)
    x = zx + row * x_b + m * x_m + P
    start += row * T
    state += (row * M + m) * P * 3
    w0, w1, w2, w3 = _taps(w + m * P * 4, P)
    one, two, three = _seen(start, t, T)
    x0 = _inputs(x, state, t, T, x_t, HAS_STATE, P)
    x1 = _inputs(x, state, t - 1, T, x_t, HAS_STATE, P)
    x2 = _inputs(x, state, t - 2, T, x_t, HAS_STATE, P)
    x3 = _inputs(x, state, t - 3, T, x_t, HAS_STATE, P)
    summed = _convolved(x3, x2, x1, x0, one, two, three, w0, w1, w2, w3)
    place = y + ((row * T + t[:, None]) * M + m) * P + p[None, :]
    tl.store(place, (summed * tl.sigmoid(summed)).to(y.dtype.element_ty), mask=t[:, None] < T)
    last = (t == T - 1)[:, None]
    end += ((row * M + m) * P + p[None, :]) * 3 + tl.zeros((L, 1), tl.int32)
    tl.store(end, tl.where(two, x2, 0.0).to(end.dtype.element_ty), mask=last)
    tl.store(end + 1, tl.where(one, x1, 0.0).to(end.dtype.element_ty), mask=last)
    tl.store(end + 2, x0.to(end.dtype.element_ty), mask=last)


@triton.jit
def _before_silu(dy, t, T, dy_t, x3, x2, x1, x0, one, two, three, w0, w1, w2, w3, P: tl.constexpr):
    """Gradient before SiLU at tokens t, 0 after the row's end."""
    y = _convolved(x3, x2, x1, x0, one, two, three, w0, w1, w2, w3)
    place = dy + t[:, None].to(tl.int64) * dy_t + tl.arange(0, P)[None, :]
    grad = tl.load(place, mask=t[:, None] < T, other=0.0).to(tl.float32)
    sigmoid = tl.sigmoid(y)
    return grad * sigmoid * (1.0 + y * (1.0 - sigmoid))


@triton.jit
def conv_bwd_kernel(dy, dz, zx, w, start, state, dzx, dw, T, M, dy_b, dy_t, dy_m, z_b, z_t, z_m, x_b, x_t, x_m,
                    HAS_STATE: tl.constexpr, HAS_DZ: tl.constexpr, L: tl.constexpr, P: tl.constexpr,
                    BLOCKS: tl.constexpr):  # fmt: skip
    """BLOCKS times L tokens of one head: dzx, and these tokens' part of dw."""
    part, m, row = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    p = tl.arange(0, P)[None, :]
    x = zx + row * x_b + m * x_m + P
    dy += row * dy_b + m * dy_m
    dz += row * z_b + m * z_m
    start += row * T
    state += (row * M + m) * P * 3
    w0, w1, w2, w3 = _taps(w + m * P * 4, P)
    d0, d1, d2, d3 = w0 * 0.0, w0 * 0.0, w0 * 0.0, w0 * 0.0
    for i in range(BLOCKS):
        t = (part * BLOCKS + i) * L + tl.arange(0, L)
        x0 = _inputs(x, state, t, T, x_t, HAS_STATE, P)
        x1 = _inputs(x, state, t - 1, T, x_t, HAS_STATE, P)
        x2 = _inputs(x, state, t - 2, T, x_t, HAS_STATE, P)
        x3 = _inputs(x, state, t - 3, T, x_t, HAS_STATE, P)
        a1 = _inputs(x, state, t + 1, T, x_t, HAS_STATE, P)
        a2 = _inputs(x, state, t + 2, T, x_t, HAS_STATE, P)
        a3 = _inputs(x, state, t + 3, T, x_t, HAS_STATE, P)
        one, two, three = _seen(start, t, T)
        g = _before_silu(dy, t, T, dy_t, x3, x2, x1, x0, one, two, three, w0, w1, w2, w3, P)
        d3 += tl.sum(g * x0, 0)[None, :]
        d2 += tl.sum(tl.where(one, g * x1, 0.0), 0)[None, :]
        d1 += tl.sum(tl.where(two, g * x2, 0.0), 0)[None, :]
        d0 += tl.sum(tl.where(three, g * x3, 0.0), 0)[None, :]
        dx = w3 * g
        one, two, three = _seen(start, t + 1, T)
        g = _before_silu(dy, t + 1, T, dy_t, x2, x1, x0, a1, one, two, three, w0, w1, w2, w3, P)
        dx += tl.where(one, w2 * g, 0.0)
        one, two, three = _seen(start, t + 2, T)
        g = _before_silu(dy, t + 2, T, dy_t, x1, x0, a1, a2, one, two, three, w0, w1, w2, w3, P)
        dx += tl.where(two, w1 * g, 0.0)
        one, two, three = _seen(start, t + 3, T)
        g = _before_silu(dy, t + 3, T, dy_t, x0, a1, a2, a3, one, two, three, w0, w1, w2, w3, P)
        dx += tl.where(three, w0 * g, 0.0)
        inside = t[:, None] < T
        place = dzx + ((row * T + t[:, None]) * M + m) * 2 * P + p
        tl.store(place + P, dx.to(dzx.dtype.element_ty), mask=inside)
        half = dx * 0.0
        if HAS_DZ:
            half = tl.load(dz + t[:, None].to(tl.int64) * z_t + p, mask=inside, other=0.0).to(tl.float32)
        tl.store(place, half.to(dzx.dtype.element_ty), mask=inside)
    dw += (row * tl.num_programs(0) + part) * 4 * M * P + m * P + p
    tl.store(dw, d0)
    tl.store(dw + M * P, d1)
    tl.store(dw + 2 * M * P, d2)
    tl.store(dw + 3 * M * P, d3)


def _checked(zx: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """zx as the kernels take it: any strides but that of the last axis."""
    head_dim, taps = zx.shape[-1] // 2, w.shape[-1]
    if head_dim & (head_dim - 1) or taps != 4:
        raise RecipeError(
            f"The Triton kernel of conv_silu can't take Mamba heads of {head_dim} elements with d_conv {taps}: it "
            "needs a power of two and 4. Change the recipe's [model] table, or train without triton."
        )
    return zx if zx.stride(-1) == 1 else zx.contiguous()


@custom_op("jacorpus::conv_silu_fwd", mutates_args=())
def conv_silu_fwd(
    zx: torch.Tensor, w: torch.Tensor, start: torch.Tensor, state: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(x [B, T, M, P] in the type of zx, state after the row [B, C, 3] in float32)."""
    zx, w, start = _checked(zx, w), w.contiguous(), start.contiguous().view(torch.uint8)
    rows, tokens, heads, width = zx.shape
    y = zx.new_empty(rows, tokens, heads, width // 2)
    end = zx.new_empty(rows, heads * width // 2, 3, dtype=torch.float32)
    use = tables.launch("conv_silu", zx.device)
    conv_kernel[(triton.cdiv(tokens, use.block), heads, rows)](
        zx, w, start, zx if state is None else state.contiguous(), y, end, tokens, heads, *zx.stride()[:3],
        HAS_STATE=state is not None, L=use.block, P=width // 2, num_warps=use.warps, num_stages=use.stages,
    )  # fmt: skip
    return y, end


@conv_silu_fwd.register_fake
def _(zx, w, start, state):  # type: ignore[no-untyped-def]
    rows, tokens, heads, width = zx.shape
    y = zx.new_empty(rows, tokens, heads, width // 2)
    return y, zx.new_empty(rows, heads * width // 2, 3, dtype=torch.float32)


@custom_op("jacorpus::conv_silu_bwd", mutates_args=())
def conv_silu_bwd(
    dy: torch.Tensor,
    dz: torch.Tensor | None,
    zx: torch.Tensor,
    w: torch.Tensor,
    start: torch.Tensor,
    state: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(dzx, dw). dz fills the z half, which is 0 without it."""
    shape, kind = w.shape, w.dtype
    zx, w, start = _checked(zx, w), w.contiguous(), start.contiguous().view(torch.uint8)
    dy = dy if dy.stride(-1) == 1 else dy.contiguous()
    other = dy if dz is None else dz if dz.stride(-1) == 1 else dz.contiguous()
    rows, tokens, heads, width = zx.shape
    use = tables.launch("conv_silu_bwd", zx.device)
    parts = triton.cdiv(tokens, use.block * use.part)
    dzx = zx.new_empty(zx.shape)
    dw = zx.new_empty(rows * parts, 4, heads * width // 2, dtype=torch.float32)
    conv_bwd_kernel[(parts, heads, rows)](
        dy, other, zx, w, start, zx if state is None else state.contiguous(), dzx, dw, tokens, heads,
        *dy.stride()[:3], *other.stride()[:3], *zx.stride()[:3], HAS_STATE=state is not None, HAS_DZ=dz is not None,
        L=use.block, P=width // 2, BLOCKS=use.part, num_warps=use.warps, num_stages=use.stages,
    )  # fmt: skip
    return dzx, dw.sum(0).t().to(kind).reshape(shape).contiguous()


@conv_silu_bwd.register_fake
def _(dy, dz, zx, w, start, state):  # type: ignore[no-untyped-def]
    return zx.new_empty(zx.shape), w.new_empty(w.shape)


def _setup(ctx, inputs, output):  # type: ignore[no-untyped-def]
    zx, w, start, state = inputs
    ctx.save_for_backward(zx, w, start, state)
    ctx.mark_non_differentiable(output[1])


def _backward(ctx, dy, _):  # type: ignore[no-untyped-def]
    return *conv_silu_bwd(dy, None, *ctx.saved_tensors), None, None


conv_silu_fwd.register_autograd(_backward, setup_context=_setup)


class _WithGate(torch.autograd.Function):
    """x and the view z, so that one node gets the gradients of both halves of zx."""

    @staticmethod
    def forward(ctx, zx, w, start, state):  # type: ignore[no-untyped-def]
        y, end = conv_silu_fwd(zx, w, start, state)
        ctx.save_for_backward(zx, w, start, state)
        ctx.mark_non_differentiable(end)
        return y, zx[..., : zx.shape[-1] // 2], end

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: torch.Tensor, dz: torch.Tensor, _: Any) -> tuple[torch.Tensor | None, ...]:
        return *conv_silu_bwd(dy, dz, *ctx.saved_tensors), None, None


def conv_silu(
    zx_BTM2P: torch.Tensor, w_C14: torch.Tensor, start_BT: torch.Tensor, state_BC3: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(x [B, T, M, P] in the type of zx, state [B, C, 3] in float32), differentiable in zx and w.

    zx may have gaps between tokens. start: bool, first tokens of documents. state: the three inputs before the row,
    oldest first; the row's first token goes on from them, whatever ``start`` says. No gradient flows through states.

    Raises RecipeError for a P that is no power of two or another width than 4.
    """
    return conv_silu_fwd(zx_BTM2P, w_C14, start_BT, state_BC3)


def conv_silu_gate(
    zx_BTM2P: torch.Tensor, w_C14: torch.Tensor, start_BT: torch.Tensor, state_BC3: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(x, z, state): as ``conv_silu``, and z as a view of zx whose gradient is written beside that of x."""
    return _WithGate.apply(zx_BTM2P, w_C14, start_BT, state_BC3)


__all__ = ["conv_silu", "conv_silu_bwd", "conv_silu_fwd", "conv_silu_gate"]
