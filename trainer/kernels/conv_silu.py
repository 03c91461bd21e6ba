"""Depthwise causal convolution over the x half of a Mamba projection, then SiLU; documents do not see each other.

``zx`` is the projection viewed as [B, T, M, 2P]: in each head the first P are z, the last P are x. x is read in place.
y[t] = silu(sum_k w[k] x[t - (S - 1) + k]) over the S taps of the same document (S = d_conv, 4 in PLaMo 2).
The state is the last S - 1 inputs of the row's last document, oldest first, 0 where it is shorter.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from trainer.documents import Documents
from trainer.kernels import use_triton

BLOCK = 64
"""Tokens a CPU works on at a time."""


def conv_silu_naive(
    zx_BTM2P: torch.Tensor, w_C1S: torch.Tensor, documents: Documents, state_BCS: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """One token at a time. state_BCS: the last S - 1 inputs before the row, which its first document continues."""
    x_BTC = zx_BTM2P.chunk(2, -1)[1].flatten(2)
    taps = w_C1S.shape[-1]
    rows, tokens, width = x_BTC.shape
    state = x_BTC.new_zeros(rows, width, taps - 1) if state_BCS is None else state_BCS.to(x_BTC.dtype)
    found = []
    for t in range(tokens):
        fresh = documents.start_BT[:, t, None, None] if t or state_BCS is None else torch.zeros(rows, 1, 1).bool()
        state = torch.where(fresh.to(state.device), torch.zeros_like(state), state)
        window = torch.cat((state, x_BTC[:, t, :, None]), -1)
        found.append(F.silu((window * w_C1S[:, 0]).sum(-1)))
        state = window[..., 1:]
    y = torch.stack(found, 1)
    return y.unflatten(2, (zx_BTM2P.shape[2], -1)), state


class _ConvSilu(torch.autograd.Function):
    """Shifted products, BLOCK tokens at a time: they stay in the cache, and no layout changes. The gradients of x and z
    are written into one tensor. inside: for each tap back, bool [B, T, 1], whether it is of the same document."""

    @staticmethod
    def forward(ctx, zx, w_CS, state, *inside):  # type: ignore[no-untyped-def]
        rows, tokens, heads, both = zx.shape
        lead, kind = w_CS.shape[1] - 1, torch.float64 if zx.dtype == torch.float64 else torch.float32
        x = torch.zeros(rows, lead + tokens, heads * both // 2, dtype=kind, device=zx.device)
        if state is not None:
            x[:, :lead] = state.transpose(1, 2)
        y, out = (torch.empty_like(x[:, lead:], memory_format=torch.contiguous_format) for _ in range(2))
        z, x_half = zx.chunk(2, -1)
        for part in _parts(tokens):
            x[:, lead:][:, part].unflatten(2, (heads, -1)).copy_(x_half[:, part])
            torch.mul(x[:, lead:][:, part], w_CS[:, -1], out=y[:, part])
            for back, earlier in _earlier(x, part, inside):
                y[:, part].addcmul_(earlier, w_CS[:, lead - back].expand_as(earlier))
            out[:, part] = F.silu(y[:, part])
        ctx.save_for_backward(x, y, w_CS, *inside)
        ctx.like = zx.dtype, zx.shape
        last = x[:, x.shape[1] - lead :].clone()
        ctx.mark_non_differentiable(last)
        return out.unflatten(2, (heads, -1)), z, last

    @staticmethod
    @once_differentiable
    def backward(ctx, dout, dz, _):  # type: ignore[no-untyped-def]
        x, y, w_CS, *inside = ctx.saved_tensors
        lead, tokens, (kind, shape) = w_CS.shape[1] - 1, y.shape[1], ctx.like
        dzx, dw = torch.empty(shape, dtype=kind, device=x.device), torch.zeros_like(w_CS)
        dz_half, dx_half = dzx.chunk(2, -1)
        dy = torch.zeros_like(x)  # taps ahead of the last token: 0
        dout = dout.flatten(2)
        for part in reversed(_parts(tokens)):
            torch.ops.aten.silu_backward(dout[:, part], y[:, part], grad_input=dy[:, part])
            dx = dy[:, part] * w_CS[:, -1]
            dw[:, -1] += (dy[:, part] * x[:, lead:][:, part]).sum((0, 1))
            for back, earlier in _earlier(x, part, inside):
                dw[:, lead - back] += (dy[:, part] * earlier).sum((0, 1))
                later = dy[:, part.start + back : part.stop + back]
                if inside[back - 1] is not None:
                    later = torch.where(_ahead(inside[back - 1], part, back), later, 0)
                dx.addcmul_(later, w_CS[:, lead - back].expand_as(later))
            dx_half[:, part] = dx.unflatten(2, (shape[2], -1))
            dz_half[:, part] = dz[:, part]
        return dzx, dw, None, *([None] * lead)


def _parts(tokens: int) -> list[slice]:
    """Blocks of a row; a compiler makes its own."""
    size = tokens if torch.compiler.is_compiling() else BLOCK
    return [slice(first, min(first + size, tokens)) for first in range(0, tokens, size)]


def _earlier(x: torch.Tensor, part: slice, inside: Sequence[torch.Tensor | None]) -> Iterator[tuple[int, torch.Tensor]]:
    """(back, the inputs that many tokens back, 0 where another document's). x begins with the len(inside) before."""
    for back, mask in enumerate(inside, 1):
        first = len(inside) - back
        earlier = x[:, part.start + first : part.stop + first]
        yield back, earlier if mask is None else torch.where(mask[:, part], earlier, 0)


def _ahead(mask: torch.Tensor, part: slice, back: int) -> torch.Tensor:
    """The mask of the tokens ``back`` ahead; past the row all is 0 anyhow."""
    ahead = mask[:, part.start + back : part.stop + back]
    return F.pad(ahead, (0, 0, 0, part.stop - part.start - ahead.shape[1]))


def conv_silu_and_gate(
    zx_BTM2P: torch.Tensor, w_C1S: torch.Tensor, documents: Documents, state_BCS: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """``conv_silu`` and the half it leaves alone: (x [B, T, M, P], z [B, T, M, P] as it was, state)."""
    taps, head_dim = w_C1S.shape[-1], zx_BTM2P.shape[3] // 2
    if use_triton(zx_BTM2P) and taps == 4:
        from trainer.kernels.triton.conv_silu import conv_silu as triton_conv

        x, state = triton_conv(zx_BTM2P, w_C1S, documents.start_BT, state_BCS)
        return x, zx_BTM2P[..., :head_dim], state
    wide = torch.float64 if zx_BTM2P.dtype == torch.float64 else torch.float32
    position = documents.position_BT
    if state_BCS is not None:  # the first document goes on
        first = documents.document_BT == documents.document_BT[:, :1]
        position = torch.where(first, position + taps - 1, position)
    inside = [None if documents.one else (position >= back)[..., None] for back in range(1, taps)]
    y, z, last = _ConvSilu.apply(zx_BTM2P, w_C1S[:, 0].to(wide), state_BCS, *inside)
    back = torch.arange(taps - 2, -1, -1, device=last.device)
    known = position[:, -1:] >= back
    return y, z, torch.where(known[..., None], last, 0).transpose(1, 2)


def conv_silu(
    zx_BTM2P: torch.Tensor, w_C1S: torch.Tensor, documents: Documents, state_BCS: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(x [B, T, M, P] in float32 or wider, state [B, C, S - 1]) of a projection; see the head of this file.

    state_BCS: the inputs before the row; then its first document counts as the one before, going on. Without gradient.
    """
    x, _, state = conv_silu_and_gate(zx_BTM2P, w_C1S, documents, state_BCS)
    return x, state


def conv_silu_step(
    zx_BM2P: torch.Tensor, w_C1S: torch.Tensor, state_BCS: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """One token a row: (x [B, M, P], the next state)."""
    x = zx_BM2P.chunk(2, -1)[1].flatten(1)
    window = torch.cat((state_BCS, x.to(state_BCS.dtype).unsqueeze(-1)), -1)
    y = F.silu((window * w_C1S[:, 0]).sum(-1))
    return y.unflatten(1, (zx_BM2P.shape[1], -1)), window[..., 1:]
