"""The recurrence of Mamba 2 with D and the gate: what lies between a Mamba mixer's projections.

    delta = softplus(dt + dt_bias)                      one number for each token and head
    S     = exp(delta A) S + delta x B^T                [P, N] for each head; B and C serve all heads
    y     = (S C + D x) * silu(z)

``start`` marks tokens before which S is cleared. Everything runs in float32 (float64 for float64).

Fast path on a CPU ("state space dual", Mamba 2, arXiv 2405.21060, section 6): rows are cut into chunks of Q tokens;
inside a chunk the recurrence is a masked matrix product, between chunks the state is handed on. The logarithm of the
decay is summed anew from each document's start: a sum running on over a boundary would carry one document's rounding
into the next. Letters: G = B * chunks, Q tokens of a chunk.
"""

import torch
import torch.nn.functional as F

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

        if state_BMPN is not None:
            start_BT = torch.cat((torch.zeros_like(start_BT[:, :1]), start_BT[:, 1:]), 1)
        return triton_ssd(x_BTMP, dt_BTM, a_M, b_BTN, c_BTN, d_M, z_BTMP, dt_bias_M, start_BT, state_BMPN)
    x, dt, b, c = _wide(x_BTMP, dt_BTM, b_BTN, c_BTN)
    delta = F.softplus(dt + dt_bias_M)
    y, state = _chunked(x, delta, delta * a_M, b, c, None if one else start_BT, state_BMPN)
    y = torch.addcmul(y, x, d_M[:, None])
    return y * F.silu(z_BTMP.to(y.dtype)), state


def _cut(tensor: torch.Tensor, size: int) -> torch.Tensor:
    """[B, T, ...] -> [B * chunks, Q, ...], filled up with 0."""
    short = -tensor.shape[1] % size
    if short:
        tensor = F.pad(tensor, (0, 0) * (tensor.ndim - 2) + (0, short))
    return tensor.reshape(-1, size, *tensor.shape[2:])


def _chunked(
    x: torch.Tensor,
    delta: torch.Tensor,
    log_decay: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    start_BT: torch.Tensor | None,
    state: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The recurrence without D and gate. Filled-up tokens have delta 0: they change no state."""
    rows, tokens = delta.shape[:2]
    size = min(CHUNK, tokens)
    x, delta, log_decay, b, c = (_cut(tensor, size) for tensor in (x, delta, log_decay, b, c))
    earlier = torch.ones(size, size, dtype=torch.bool, device=x.device).tril()
    if start_BT is None:
        same, before, whole, tail = earlier, None, None, None
    else:
        if state is not None or tokens > size:
            start_BT = start_BT.clone()
            start_BT[:, 0] &= state is None
        number = _cut(start_BT, size).int().cumsum(1)
        same = (number[:, :, None] == number[:, None, :]) & earlier
        before, whole, tail = number == 0, number[:, -1] == 0, number == number[:, -1:]
    total = same.to(x.dtype).expand(len(x), -1, -1) @ log_decay  # sums from the document's start [G, Q, M]
    inside = _inside(x, delta, total, b, c, same)
    states, end = _pass(_ends(x, delta, total, b, tail), total[:, -1], whole, rows, state)
    carried = torch.exp(total) if before is None else torch.where(before[..., None], torch.exp(total), 0)
    handed = torch.einsum("gqn,gmpn->gqmp", c, states) * carried[..., None]
    return (inside + handed).reshape(rows, -1, *x.shape[2:])[:, :tokens], end


def _inside(
    x: torch.Tensor, delta: torch.Tensor, total: torch.Tensor, b: torch.Tensor, c: torch.Tensor, same: torch.Tensor
) -> torch.Tensor:
    """What tokens of a chunk give to later ones of the same chunk and document. [G, Q, M, P]."""
    total = total.transpose(1, 2)
    decay = (total[:, :, :, None] - total[:, :, None, :]).masked_fill(~same.unsqueeze(-3), float("-inf")).exp()
    weight = decay * (c @ b.transpose(1, 2))[:, None]
    return (weight @ (x * delta[..., None]).transpose(1, 2)).transpose(1, 2)


def _ends(
    x: torch.Tensor, delta: torch.Tensor, total: torch.Tensor, b: torch.Tensor, tail: torch.Tensor | None
) -> torch.Tensor:
    """What a chunk adds to the state at its end: tokens of its last document alone. [G, M, P, N]."""
    spread = total[:, -1:] - total
    if tail is None:
        weight = torch.exp(spread) * delta
    else:  # a difference between two documents means nothing: selected away before exp can overflow
        spread = torch.where(tail[..., None], spread, 0)
        weight = torch.where(tail[..., None], torch.exp(spread) * delta, 0)
    return torch.einsum("gqmp,gqn->gmpn", x * weight[..., None], b)


def _pass(
    ends: torch.Tensor, total: torch.Tensor, whole: torch.Tensor | None, rows: int, state: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(states before each chunk [G, M, P, N], state after the row [B, M, P, N]). whole: chunks without a start."""
    ends = ends.unflatten(0, (rows, -1))
    decay = torch.exp(total).unflatten(0, (rows, -1))[..., None, None]
    now = torch.zeros_like(ends[:, 0]) if state is None else state.to(ends.dtype)
    goes_on = None if whole is None else whole.unflatten(0, (rows, -1))[..., None, None, None]
    found = []
    for i in range(ends.shape[1]):
        found.append(now)
        now = decay[:, i] * now
        if goes_on is not None:
            now = torch.where(goes_on[:, i], now, 0)
        now = now + ends[:, i]
    return torch.stack(found, 1).flatten(0, 1), now


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
