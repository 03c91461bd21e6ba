"""Kernels of the forward pass of ssd: decays, states between chunks, and the scan with D and the gate.

Letters: B rows, T tokens, M heads, P head size, N d_state; L tokens of a chunk, K chunks of a row, S = K * L; W
elements of a head at a time. Chunks are numbered by ``chunk``, tokens within one by their place 0 .. L-1.

delta   [B, M, S]  softplus(dt + bias), 0 after the row's end
total   [B, M, S]  sum of delta * A from the start of the chunk, or of the document if that is later, to the token
number  [B, S]     documents that began within the chunk up to the token: 0 means "still the one from before"
states  [B, K, M, N, P]  S before each chunk, in the type of the matrix products; the recurrence itself is float32

Sums over a document are products with a 0/1 matrix of the chunk's boundaries, in float32: a document's numbers never
enter another's sum, not even as rounding.
"""

import torch
import triton
import triton.language as tl

from trainer.kernels.triton import tables


@triton.jit
def tile(pointer, stride, left, L: tl.constexpr, W: tl.constexpr):
    """[L, W] of rows ``stride`` apart; 0 from row ``left`` on."""
    row = tl.arange(0, L)[:, None]
    return tl.load(pointer + row * stride + tl.arange(0, W)[None, :], mask=row < left, other=0.0)


@triton.jit
def put(pointer, stride, left, value, L: tl.constexpr, W: tl.constexpr):
    """Store [L, W] in rows ``stride`` apart, none from row ``left`` on."""
    row = tl.arange(0, L)[:, None]
    place = pointer + row * stride + tl.arange(0, W)[None, :]
    tl.store(place, value.to(pointer.dtype.element_ty), mask=row < left)


@triton.jit
def turned(N: tl.constexpr, W: tl.constexpr):
    """Offsets of an [N, W] tile of a state stored [P, N]."""
    return tl.arange(0, W)[None, :] * N + tl.arange(0, N)[:, None]


@triton.jit
def softplus(v):
    """log(1 + exp(v)) with the relative accuracy of float32 for very negative v too."""
    e = tl.exp(tl.minimum(v, 20.0))
    u = 1.0 + e
    exact = u - 1.0
    small = tl.where(exact == 0.0, e, tl.log(u) * (e / tl.where(exact == 0.0, 1.0, exact)))
    return tl.where(v > 20.0, v, small)


@triton.jit
def same_document(number, L: tl.constexpr):
    """bool [L, L]: whether token i (column) is of the same document as token l (row) and not after it."""
    place = tl.arange(0, L)
    return (place[:, None] >= place[None, :]) & (number[:, None] == number[None, :])


@triton.jit
def decays(total, same):
    """[L, L]: decay from token i (column) to token l (row), 0 where i is not seen."""
    return tl.exp(tl.where(same, total[:, None] - total[None, :], float("-inf")))


@triton.jit
def carried_in(total, number):
    """[L]: decay of the state before the chunk up to each token."""
    return tl.where(number == 0, tl.exp(tl.where(number == 0, total, 0.0)), 0.0)


@triton.jit
def handed_on(total, number, last_total, last_number):
    """[L]: decay of each token up to the end of the chunk."""
    stays = number == last_number
    return tl.where(stays, tl.exp(tl.where(stays, last_total - total, 0.0)), 0.0)


@triton.jit
def decay_kernel(dt, bias, a, start, delta, total, number, T, M, S, dt_b, dt_t, dt_m,
                 L: tl.constexpr, MB: tl.constexpr):  # fmt: skip
    """One chunk of some heads: delta, total, number."""
    chunk, row, group = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.program_id(2)
    place = tl.arange(0, L)
    t = chunk * L + place
    m = group * MB + tl.arange(0, MB)
    fresh = tl.load(start + row * T + t, mask=(t < T) & (t > 0), other=0).to(tl.int32)
    count = tl.cumsum(fresh, 0)
    inside = (t[:, None] < T) & (m[None, :] < M)
    raw = dt + row * dt_b + chunk.to(tl.int64) * L * dt_t + place[:, None] * dt_t + m[None, :] * dt_m
    v = tl.load(raw, mask=inside, other=float("-inf")).to(tl.float32)
    v += tl.load(bias + m, mask=m < M, other=0.0).to(tl.float32)[None, :]
    step = softplus(v)
    log_decay = step * tl.load(a + m, mask=m < M, other=0.0).to(tl.float32)[None, :]
    summed = tl.dot(same_document(count, L).to(tl.float32), log_decay, input_precision="ieee")
    place_MS = (row * M + m[None, :]) * S + t[:, None]
    tl.store(delta + place_MS, step, mask=m[None, :] < M)
    tl.store(total + place_MS, summed, mask=m[None, :] < M)
    if group == 0:
        tl.store(number + row * S + t, count)


@triton.jit
def states_kernel(x, b, delta, total, number, state, states, end, T, K, M, x_b, x_t, x_m, b_b, b_t,
                  L: tl.constexpr, P: tl.constexpr, W: tl.constexpr, N: tl.constexpr,
                  DOT: tl.constexpr, HAS_STATE: tl.constexpr):  # fmt: skip
    """Chunk after chunk of one head, W of its P elements: the states before each, and the last."""
    first, m, row = tl.program_id(0) * W, tl.program_id(1), tl.program_id(2).to(tl.int64)
    x += row * x_b + m * x_m + first
    b += row * b_b
    delta += (row * M + m) * K * L
    total += (row * M + m) * K * L
    number += row * K * L
    states += (row * K * M + m) * N * P + first
    whole = (row * M + m) * N * P + first * N + turned(N, W)
    place = tl.arange(0, L)
    now = tl.zeros((N, W), tl.float32)
    if HAS_STATE:
        now = tl.load(state + whole).to(tl.float32)
    for chunk in range(K):
        put(states, P, N, now, N, W)
        left = T - chunk * L
        tile_x = tile(x, x_t, left, L, W).to(DOT)
        tile_b = tile(b, b_t, left, L, N)
        last_total, last_number = tl.load(total + L - 1), tl.load(number + L - 1)
        weight = tl.load(delta + place) * handed_on(
            tl.load(total + place), tl.load(number + place), last_total, last_number
        )
        now = tl.where(last_number == 0, now * tl.exp(last_total), 0.0)
        weighted = (tile_b.to(tl.float32) * weight[:, None]).to(DOT)
        now = tl.dot(tl.trans(weighted), tile_x, now, input_precision="ieee")
        x += L * x_t
        b += L * b_t
        delta += L
        total += L
        number += L
        states += M * N * P
    tl.store(end + whole, now)


@triton.jit
def scan_kernel(x, z, b, c, d, delta, total, number, states, y, T, K, M, x_b, x_t, x_m, z_b, z_t, z_m,
                b_b, b_t, c_b, c_t, HEADS, L: tl.constexpr, P: tl.constexpr, N: tl.constexpr,
                DOT: tl.constexpr):  # fmt: skip
    """One chunk of HEADS heads: y = (what the chunk's own tokens and the state before give + D x) * silu(z)."""
    chunk, row, first = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.program_id(2) * HEADS
    token, left, place = chunk.to(tl.int64) * L, T - chunk * L, tl.arange(0, L)
    tile_b = tile(b + row * b_b + token * b_t, b_t, left, L, N).to(DOT)
    tile_c = tile(c + row * c_b + token * c_t, c_t, left, L, N).to(DOT)
    count = tl.load(number + row * K * L + token + place)
    gram = tl.dot(tile_c, tl.trans(tile_b), input_precision="ieee")
    same = same_document(count, L)
    x += row * x_b + token * x_t
    z += row * z_b + token * z_t
    y += (row * T + token) * M * P
    delta += row * M * K * L + token
    total += row * M * K * L + token
    states += (row * K + chunk) * M * N * P
    for m in range(first, tl.minimum(first + HEADS, M)):
        tile_z = tile(z + m * z_m, z_t, left, L, P)
        tile_x = tile(x + m * x_m, x_t, left, L, P)
        before = tile(states + m * N * P, P, N, N, P)
        summed = tl.load(total + m * K * L + place)
        acc = tl.dot(tile_c, before, input_precision="ieee") * carried_in(summed, count)[:, None]
        weight = gram * decays(summed, same) * tl.load(delta + m * K * L + place)[None, :]
        acc = tl.dot(weight.to(DOT), tile_x.to(DOT), acc, input_precision="ieee")
        acc += tl.load(d + m).to(tl.float32) * tile_x.to(tl.float32)
        gate = tile_z.to(tl.float32)
        put(y + m * P, M * P, left, acc * gate * tl.sigmoid(gate), L, P)


def dot_type(x: torch.Tensor) -> tl.dtype:
    """Type of the matrix products' factors; their sums are float32."""
    return {torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}.get(x.dtype, tl.float32)


def forward(
    x: torch.Tensor,
    dt: torch.Tensor,
    a: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    d: torch.Tensor,
    z: torch.Tensor,
    bias: torch.Tensor,
    start: torch.Tensor,
    state: torch.Tensor | None,
    outputs: tuple[torch.Tensor, ...],
) -> None:
    """Fill (y, end, delta, total, number, states)."""
    y, end, delta, total, number, states = outputs
    rows, tokens, heads, head_dim = x.shape
    chunks, n, size = states.shape[1], b.shape[-1], tables.SSD_BLOCK
    use = tables.launch("ssd_decay", x.device)
    decay_kernel[(chunks, rows, triton.cdiv(heads, use.part))](
        dt, bias, a, start, delta, total, number, tokens, heads, chunks * size, *dt.stride(),
        L=size, MB=use.part, num_warps=use.warps, num_stages=use.stages,
    )  # fmt: skip
    use = tables.launch("ssd_states", x.device, head_dim, n)
    width = min(use.part, head_dim)
    states_kernel[(head_dim // width, heads, rows)](
        x, b, delta, total, number, x if state is None else state, states, end, tokens, chunks, heads,
        *x.stride()[:3], *b.stride()[:2], L=size, P=head_dim, W=width, N=n, DOT=dot_type(x),
        HAS_STATE=state is not None, num_warps=use.warps, num_stages=use.stages,
    )  # fmt: skip
    use = tables.launch("ssd_scan", x.device, head_dim, n)
    group = tables.heads_a_program(heads, rows * chunks)
    scan_kernel[(chunks, rows, triton.cdiv(heads, group))](
        x, z, b, c, d, delta, total, number, states, y, tokens, chunks, heads, *x.stride()[:3], *z.stride()[:3],
        *b.stride()[:2], *c.stride()[:2], group, L=size, P=head_dim, N=n, DOT=dot_type(x),
        num_warps=use.warps, num_stages=use.stages,
    )  # fmt: skip
