"""The recurrence of Mamba 2 with D and the gate: what lies between a Mamba mixer's projections.

    delta = softplus(dt + dt_bias)                      one number for each token and head
    S     = exp(delta A) S + delta x B^T                [P, N] for each head; B and C serve all heads
    y     = (S C + D x) * silu(z)

``start`` marks tokens before which S is cleared. Everything runs in float32 (float64 for float64).

Fast path on a CPU ("state space dual", Mamba 2, arXiv 2405.21060, section 6): chunks of Q tokens one after another, all
rows at once; inside a chunk the recurrence is a masked matrix product, between chunks the state is handed on. A chunk's
tensors stay in the cache, which is why all of its work is done before the next one's. The logarithm of the decay is
summed anew from each document's start: a sum running on over a boundary would carry one document's rounding into the
next. The gradient keeps the states between chunks and makes the rest again.

    s_q   = sum of delta A from the start of q's document (in this chunk) to q
    E_qk  = delta_k exp(s_q - s_k)  for k <= q of the same document, else 0
    y_q   = sum_k E_qk (C_q . B_k) x_k  +  [no start up to q] exp(s_q) S C_q  +  D x_q
    S'    = [no start] exp(s_end) S  +  sum_k E_end,k x_k B_k^T

Letters: Q tokens of a chunk.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch.library import custom_op

from trainer.kernels import use_triton

CHUNK = 64
"""Q on a CPU: of 32, 64 and 128 the fastest at 9 M parameters."""


def _wide(*tensors: torch.Tensor) -> list[torch.Tensor]:
    kind = torch.float64 if tensors[0].dtype == torch.float64 else torch.float32
    return [tensor.to(kind) for tensor in tensors]


def ssd_naive(
    x_BTMP: torch.Tensor,
    dt_BTM: torch.Tensor,
    a_M: torch.Tensor,
    b_BTN: torch.Tensor,
    c_BTN: torch.Tensor,
    d_M: torch.Tensor,
    z_BTMP: torch.Tensor,
    dt_bias_M: torch.Tensor,
    start_BT: torch.Tensor,
    state_BMPN: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One token at a time. Arguments and answer as for ``ssd``."""
    x, dt, b, c, z = _wide(x_BTMP, dt_BTM, b_BTN, c_BTN, z_BTMP)
    delta = F.softplus(dt + dt_bias_M)
    rows, tokens, heads, head_dim = x.shape
    state = x.new_zeros(rows, heads, head_dim, b.shape[-1]) if state_BMPN is None else state_BMPN.to(x.dtype)
    found = []
    for t in range(tokens):
        if t or state_BMPN is None:
            state = torch.where(start_BT[:, t, None, None, None], torch.zeros_like(state), state)
        decay = torch.exp(delta[:, t] * a_M)[..., None, None]
        state = decay * state + torch.einsum("bm,bmp,bn->bmpn", delta[:, t], x[:, t], b[:, t])
        found.append(torch.einsum("bmpn,bn->bmp", state, c[:, t]) + d_M[:, None] * x[:, t])
    return torch.stack(found, 1) * F.silu(z), state


def ssd(
    x_BTMP: torch.Tensor,
    dt_BTM: torch.Tensor,
    a_M: torch.Tensor,
    b_BTN: torch.Tensor,
    c_BTN: torch.Tensor,
    d_M: torch.Tensor,
    z_BTMP: torch.Tensor,
    dt_bias_M: torch.Tensor,
    start_BT: torch.Tensor,
    state_BMPN: torch.Tensor | None = None,
    one: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(y [B, T, M, P], final state [B, M, P, N]).

    x: convolved input. dt: before bias and softplus. a: negative. state: before the row; then its first token is no
    start, whatever ``start`` says. one: rows are known to hold one document each.
    """
    if use_triton(x_BTMP):
        from trainer.kernels.triton.ssd import ssd as triton_ssd

        return triton_ssd(x_BTMP, dt_BTM, a_M, b_BTN, c_BTN, d_M, z_BTMP, dt_bias_M, start_BT, state_BMPN)
    start = None if one else start_BT
    y, end, _, _ = _ssd(x_BTMP, dt_BTM, a_M, b_BTN, c_BTN, d_M, z_BTMP, dt_bias_M, start, state_BMPN)
    return y, end


class Decays(NamedTuple):
    """Of one chunk. same: [B or 1, Q, Q], k <= q of one document. heads_total, heads_from: s and log(delta) - s,
    [B, M, Q]. carried: how much of the state before reaches a token; to_end: how much of a token reaches the state
    after, [B, Q, M, 1]. kept: how much of the state before is left where no document starts, [B, 1, M, 1]; whole:
    whether none does, [B, 1, 1, 1], None for always."""

    same: torch.Tensor
    heads_total: torch.Tensor
    heads_from: torch.Tensor
    carried: torch.Tensor
    to_end: torch.Tensor
    kept: torch.Tensor
    whole: torch.Tensor | None

    def inside(self) -> torch.Tensor:
        """E, [B, M, Q, Q]."""
        e = self.heads_total[..., :, None] + self.heads_from[..., None, :]
        return e.masked_fill_(~self.same[:, None], float("-inf")).exp_()


def _masks(
    start_BT: torch.Tensor | None, first: int, size: int, goes_on: bool, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(same: see Decays, number [B, Q] of the document in the chunk, 0 for the one before). goes_on: so does the first
    token, whatever start says."""
    earlier = torch.ones(size, size, dtype=torch.bool, device=device).tril()[None]
    if start_BT is None:
        return earlier, None
    start = start_BT[:, first : first + size].int()
    if goes_on:
        start[:, 0] = 0
    number = start.cumsum(1)
    return (number[:, :, None] == number[:, None, :]) & earlier, number


def _decays(delta: torch.Tensor, a_M: torch.Tensor, same: torch.Tensor, number: torch.Tensor | None) -> Decays:
    """delta: [B, Q, M]."""
    total = same.to(delta.dtype) @ (delta * a_M)
    heads_total = total.transpose(1, 2).contiguous()
    heads_from = delta.transpose(1, 2).log() - heads_total
    carried, kept, spread = torch.exp(total), torch.exp(total[:, -1]), heads_total[..., -1:] + heads_from
    whole = None
    if number is not None:  # selected away before exp: a difference between two documents means nothing
        carried = torch.where((number == 0)[..., None], carried, 0)
        spread = torch.where((number == number[:, -1:])[:, None], spread, float("-inf"))
        whole = (number[:, -1] == 0)[:, None, None, None]
    to_end = torch.exp(spread).transpose(1, 2)
    return Decays(same, heads_total, heads_from, carried[..., None], to_end[..., None], kept[:, None, :, None], whole)


def _by_head(x_BQMP: torch.Tensor) -> torch.Tensor:
    """[B, M, Q, P]."""
    return x_BQMP.transpose(1, 2).contiguous()


@custom_op("jacorpus::ssd_cpu", mutates_args=())
def _ssd(
    x: torch.Tensor,
    dt: torch.Tensor,
    a: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    d: torch.Tensor,
    z: torch.Tensor,
    bias: torch.Tensor,
    start: torch.Tensor | None,
    state: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """(y, end, y without its gate, states before and after each chunk [chunks + 1, B, N, M, P]).

    States are [B, N, M, P] inside: so no product has to turn a large tensor.
    """
    x, dt, b, c = _wide(x, dt, b, c)
    delta, parts = F.softplus(dt + bias), list(_parts(x.shape[1]))
    y, out = torch.empty_like(x), torch.empty_like(x)
    states = x.new_empty(len(parts) + 1, len(x), b.shape[-1], *x.shape[2:])
    states[0] = 0 if state is None else state.permute(0, 3, 1, 2)
    for i, (part, first, size) in enumerate(parts):
        same, number = _masks(start, first, size, first == 0 and state is not None, x.device)
        decays = _decays(delta[:, part], a, same, number)
        states[i + 1] = _forward(x[:, part], b[:, part], c[:, part], d, states[i], decays, y[:, part])
        torch.mul(y[:, part], F.silu(z[:, part].to(y.dtype)), out=out[:, part])
    return out, states[-1].permute(0, 2, 3, 1).contiguous(), y, states


@_ssd.register_fake
def _(x, dt, a, b, c, d, z, bias, start, state):  # type: ignore[no-untyped-def]
    kind = torch.float64 if x.dtype == torch.float64 else torch.float32
    y = x.new_empty(x.shape, dtype=kind)
    end, chunks = (len(x), *x.shape[2:], b.shape[-1]), -(-x.shape[1] // CHUNK)
    states = x.new_empty((chunks + 1, len(x), b.shape[-1], *x.shape[2:]), dtype=kind)
    return torch.empty_like(y), x.new_empty(end, dtype=kind), y, states


def _parts(tokens: int) -> Iterator[tuple[slice, int, int]]:
    """(slice, first token, tokens) of the chunks of a row."""
    for first in range(0, tokens, CHUNK):
        size = min(CHUNK, tokens - first)
        yield slice(first, first + size), first, size


def _forward(
    x: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    d: torch.Tensor,
    state: torch.Tensor,
    decays: Decays,
    y: torch.Tensor,
) -> torch.Tensor:
    """Writes y without its gate [B, Q, M, P] of a chunk; the state after it."""
    weight = decays.inside().mul_((c @ b.transpose(1, 2))[:, None])
    inside = (weight @ _by_head(x)).transpose(1, 2)
    handed = (c @ state.flatten(2)).view_as(x)
    torch.addcmul(inside, handed, decays.carried, out=y)
    y.addcmul_(x, d[:, None])
    added = (b.transpose(1, 2) @ (x * decays.to_end).flatten(2)).view_as(state)
    state = state if decays.whole is None else torch.where(decays.whole, state, 0)
    return added.addcmul_(state, decays.kept)


@custom_op("jacorpus::ssd_cpu_bwd", mutates_args=())
def _ssd_bwd(
    x: torch.Tensor,
    dt: torch.Tensor,
    a: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    d: torch.Tensor,
    z: torch.Tensor,
    bias: torch.Tensor,
    start: torch.Tensor | None,
    goes_on: bool,
    y: torch.Tensor,
    states: torch.Tensor,
    dout: torch.Tensor,
    dend: torch.Tensor,
) -> list[torch.Tensor]:
    """Gradients by x, dt, a, b, c, d, z, bias and the state before."""
    x, dt, b, c, dout = _wide(x, dt, b, c, dout)
    raw = dt + bias
    delta = F.softplus(raw)
    dx, db, dc, dz = (torch.empty_like(t) for t in (x, b, c, x))
    dlog, ddelta, along = (torch.empty_like(delta) for _ in range(3))
    dstate = dend.permute(0, 3, 1, 2).contiguous()
    for i, (part, first, size) in reversed(list(enumerate(_parts(x.shape[1])))):
        same, number = _masks(start, first, size, first == 0 and goes_on, x.device)
        decays = _decays(delta[:, part], a, same, number)
        wide_z, dy, now = z[:, part].to(y.dtype), dout[:, part], y[:, part]
        torch.ops.aten.silu_backward(dy * now, wide_z, grad_input=dz[:, part])
        dy = dy * F.silu(wide_z)
        given = x[:, part], b[:, part], c[:, part], states[i], decays
        dx_part, db[:, part], dc[:, part], before = _chunk_backward(*given, dy, dstate)
        key = torch.linalg.vecdot(x[:, part], dx_part)
        along[:, part] = torch.linalg.vecdot(x[:, part], dy)
        dtotal = torch.linalg.vecdot(dy, now) - along[:, part] * d - key
        dtotal[:, -1] += (dstate * states[i + 1]).sum((1, 3))
        dlog[:, part] = same.to(dtotal.dtype).transpose(1, 2) @ dtotal
        ddelta[:, part] = key
        torch.addcmul(dx_part, dy, d[:, None], out=dx[:, part])
        dstate = before
    ddelta = ddelta.div_(delta.clamp(min=torch.finfo(delta.dtype).tiny)).addcmul_(dlog, a)
    ddt = ddelta * torch.sigmoid(raw)
    da, dd, dbias = (t.flatten(0, 1).sum(0) for t in (dlog * delta, along, ddt))
    return [dx, ddt, da, db, dc, dd, dz, dbias, dstate.permute(0, 2, 3, 1).contiguous()]


@_ssd_bwd.register_fake
def _(x, dt, a, b, c, d, z, bias, start, goes_on, y, states, dout, dend):  # type: ignore[no-untyped-def]
    likes = (x, dt, a, b, c, d, y, bias, dend)
    return [torch.empty(t.shape, dtype=y.dtype, device=y.device) for t in likes]


def _setup(ctx, inputs, output):  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs, *output[2:])
    ctx.mark_non_differentiable(*output[2:])
    ctx.set_materialize_grads(False)


def _backward(ctx, dout, dend, *_):  # type: ignore[no-untyped-def]
    *inputs, state, y, states = ctx.saved_tensors
    dout = torch.zeros_like(y) if dout is None else dout
    if dend is None:
        dend = torch.zeros_like(states[0]).permute(0, 2, 3, 1)
    gradients = _ssd_bwd(*inputs, state is not None, y, states, dout, dend)
    *found, dstate = gradients
    typed = [g.to(t.dtype) for g, t in zip(found, inputs, strict=False)]
    return *typed, None, None if state is None else dstate.to(state.dtype)


torch.library.register_autograd("jacorpus::ssd_cpu", _backward, setup_context=_setup)


def _chunk_backward(x, b, c, state, decays, dy, dstate):  # type: ignore[no-untyped-def]
    """(dx without that of D, dB, dC, gradient by the state before) from those by y and by the state after."""
    e, product = decays.inside(), c @ b.transpose(1, 2)
    dy_heads = _by_head(dy)
    dweight = (dy_heads @ _by_head(x).transpose(2, 3)).mul_(e).sum(1)
    inside = (e.mul_(product[:, None]).transpose(2, 3) @ dy_heads).transpose(1, 2)
    state, dstate_flat = state.flatten(2), dstate.flatten(2)
    dy_carried = (dy * decays.carried).flatten(2)
    dc = dweight @ b + dy_carried @ state.transpose(1, 2)
    db = dweight.transpose(1, 2) @ c + (x * decays.to_end).flatten(2) @ dstate_flat.transpose(1, 2)
    dx = torch.addcmul(inside, (b @ dstate_flat).view_as(x), decays.to_end)
    goes_on = decays.kept if decays.whole is None else torch.where(decays.whole, decays.kept, 0)
    before = (c.transpose(1, 2) @ dy_carried).view_as(dstate).addcmul_(dstate, goes_on)
    return dx, db, dc, before


def ssd_step(
    x_BMP: torch.Tensor,
    dt_BM: torch.Tensor,
    a_M: torch.Tensor,
    b_BN: torch.Tensor,
    c_BN: torch.Tensor,
    d_M: torch.Tensor,
    z_BMP: torch.Tensor,
    dt_bias_M: torch.Tensor,
    state_BMPN: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One token a row: (y [B, M, P], the next state)."""
    x, dt, b, c, z = _wide(x_BMP, dt_BM, b_BN, c_BN, z_BMP)
    delta = F.softplus(dt + dt_bias_M)
    added = (delta[..., None] * x)[..., None] * b[:, None, None, :]
    state = torch.exp(delta * a_M)[..., None, None] * state_BMPN + added
    y = torch.einsum("bmpn,bn->bmp", state, c) + d_M[:, None] * x
    return y * F.silu(z), state
