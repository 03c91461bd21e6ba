"""Depthwise causal convolution over the x half of a Mamba projection, then SiLU; documents do not see each other.

``zx`` is the projection viewed as [B, T, M, 2P]: in each head the first P are z, the last P are x. x is read in place.
y[t] = silu(sum_k w[k] x[t - (S - 1) + k]) over the S taps of the same document (S = d_conv, 4 in PLaMo 2).
The state is the last S - 1 inputs of the row's last document, oldest first, 0 where it is shorter.
"""

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from trainer.documents import Documents
from trainer.kernels import use_triton


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


def _taps_inside(documents: Documents, back: int) -> torch.Tensor | None:
    """bool [B, T - back, 1]: whether token t has its document's token t - back; None where all do."""
    if documents.one:
        return None
    return (documents.position_BT[:, back:] >= back).unsqueeze(-1)


class _Conv(torch.autograd.Function):
    """The convolution alone: shifted products, without the copies a layout change would cost."""

    @staticmethod
    def forward(ctx, x, w_CS, *inside):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x, w_CS, *(m for m in inside if m is not None))
        taps = w_CS.shape[1]
        y = x * w_CS[:, -1]
        for back, mask in zip(range(1, taps), inside, strict=True):
            if back >= x.shape[1]:
                break
            part = x[:, :-back] if mask is None else torch.where(mask, x[:, :-back], 0)
            y[:, back:].addcmul_(part, w_CS[:, taps - 1 - back].expand_as(part))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):  # type: ignore[no-untyped-def]
        x, w_CS, *inside = ctx.saved_tensors
        taps = w_CS.shape[1]
        dx, dw = dy * w_CS[:, -1], torch.zeros_like(w_CS)
        dw[:, -1] = _products(dy, x)
        for back in range(1, min(taps, x.shape[1])):
            part = dy[:, back:]
            if inside:
                part = torch.where(inside[back - 1], part, 0)
            dx[:, :-back].addcmul_(part, w_CS[:, taps - 1 - back].expand_as(part))
            dw[:, taps - 1 - back] = _products(part, x[:, :-back])
        return dx, dw, *([None] * (taps - 1))


def _products(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """[C]: sum over rows and tokens of a * b, [B, T, C]."""
    return torch.einsum("btc,btc->c", a, b)


def conv_silu(
    zx_BTM2P: torch.Tensor, w_C1S: torch.Tensor, documents: Documents, state_BCS: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(x [B, T, M, P] in float32 or wider, state [B, C, S - 1]) of a projection; see the head of this file.

    state_BCS: the inputs before the row; then its first document counts as the one before, going on.
    """
    heads, head_dim = zx_BTM2P.shape[2], zx_BTM2P.shape[3] // 2
    if use_triton(zx_BTM2P) and w_C1S.shape[-1] == 4:
        from trainer.kernels.triton.conv_silu import conv_silu as triton_conv

        return triton_conv(zx_BTM2P, w_C1S, documents.start_BT, state_BCS)
    taps, tokens = w_C1S.shape[-1], zx_BTM2P.shape[1]
    x = zx_BTM2P[..., head_dim:].flatten(2)
    x = x if x.dtype == torch.float64 else x.float()
    if state_BCS is not None:
        x = torch.cat((state_BCS.transpose(1, 2).to(x.dtype), x), 1)
        first = documents.document_BT[:, :1].expand(-1, taps - 1)
        documents = Documents(torch.cat((first, documents.document_BT), 1))
    inside = [_taps_inside(documents, back) for back in range(1, taps)]
    y = F.silu(_Conv.apply(x, w_C1S[:, 0].to(x.dtype), *inside))
    return y[:, -tokens:].unflatten(2, (heads, head_dim)), _last_inputs(x, documents, taps)


def _last_inputs(x: torch.Tensor, documents: Documents, taps: int) -> torch.Tensor:
    """[B, C, S - 1]: the last inputs of the last document, 0 before its start."""
    x, position = x.detach(), documents.position_BT
    if x.shape[1] < taps - 1:
        x, position = F.pad(x, (0, 0, taps - 1 - x.shape[1], 0)), F.pad(position, (taps - 1 - x.shape[1], 0))
    back = torch.arange(taps - 2, -1, -1, device=x.device)
    inside = position[:, -1:] >= back
    return torch.where(inside.unsqueeze(-1), x[:, -(taps - 1) :], 0).transpose(1, 2)


def conv_silu_step(
    zx_BM2P: torch.Tensor, w_C1S: torch.Tensor, state_BCS: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """One token a row: (x [B, M, P], the next state)."""
    x = zx_BM2P.chunk(2, -1)[1].flatten(1)
    window = torch.cat((state_BCS, x.to(state_BCS.dtype).unsqueeze(-1)), -1)
    y = F.silu((window * w_C1S[:, 0]).sum(-1))
    return y.unflatten(1, (zx_BM2P.shape[1], -1)), window[..., 1:]
