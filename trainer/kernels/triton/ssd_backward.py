"""Kernels of the backward pass of ssd: gradients of the states, of all inputs in one pass over heads, of the decays.

Letters and intermediates as in ``ssd_forward``. Stored from the forward pass are the states before chunks; y before the
gate, the products of C and B and the decays inside chunks are made again.

With dy = dout * silu(z), w[l, i] the decay from token i to l, e and f the decays from the chunk's start and to its end:

    u[i]  = sum_l (C[l].B[i]) w[l, i] dy[l] + f[i] dS B[i]        dx = D dy + delta u,  ddelta += x . u
    q[l, i] = (dy[l].x[i]) w[l, i] delta[i]                       dC += q B + e S^T dy, dB += q^T C + delta f dS^T x
    dS before the chunk = sum_l e[l] dy[l] C[l]^T + exp(total) dS after it

The gradient of a step's log decay is the sum over all pairs (i before it, l at or after it) of the same document. It is
put together from pairs inside the chunk (sums of q (C.B) by row minus by column, of the same float32 numbers), pairs
that leave the chunk, and the pairs that pass through it, S.dS. The shorter formula dy.y - delta u.x needs no such sums
but takes the difference of two large numbers rounded apart, which in bfloat16 leaves little of it.
"""

import torch
import triton
import triton.language as tl

from trainer.kernels.triton import tables
from trainer.kernels.triton.ssd_forward import (
    carried_in,
    decays,
    dot_type,
    handed_on,
    put,
    same_document,
    tile,
    turned,
)


@triton.jit
def dstates_kernel(dout, z, c, total, number, dend, dstates, dstate, T, K, M, dy_b, dy_t, dy_m, z_b, z_t, z_m,
                   c_b, c_t, L: tl.constexpr, P: tl.constexpr, W: tl.constexpr, N: tl.constexpr,
                   DOT: tl.constexpr, HAS_END: tl.constexpr):  # fmt: skip
    """Chunk before chunk of one head, W of its P elements: the gradient of the state after each, and of the first."""
    first, m, row = tl.program_id(0) * W, tl.program_id(1), tl.program_id(2).to(tl.int64)
    last = (K - 1) * L
    dout += row * dy_b + m * dy_m + first + last.to(tl.int64) * dy_t
    z += row * z_b + m * z_m + first + last.to(tl.int64) * z_t
    c += row * c_b + last.to(tl.int64) * c_t
    total += (row * M + m) * K * L + last
    number += row * K * L + last
    dstates += ((row * K + K - 1) * M + m) * N * P + first
    whole = (row * M + m) * N * P + first * N + turned(N, W)
    place = tl.arange(0, L)
    now = tl.zeros((N, W), tl.float32)
    if HAS_END:
        now = tl.load(dend + whole).to(tl.float32)
    for step in range(K):
        put(dstates, P, N, now, N, W)
        left = T - (last - step * L)
        gate = tile(z, z_t, left, L, W).to(tl.float32)
        dy = tile(dout, dy_t, left, L, W).to(tl.float32) * gate * tl.sigmoid(gate)
        weight = carried_in(tl.load(total + place), tl.load(number + place))
        weighted = (tile(c, c_t, left, L, N).to(tl.float32) * weight[:, None]).to(DOT)
        now = tl.where(tl.load(number + L - 1) == 0, now * tl.exp(tl.load(total + L - 1)), 0.0)
        now = tl.dot(tl.trans(weighted), dy.to(DOT), now, input_precision="ieee")
        dout -= L * dy_t
        z -= L * z_t
        c -= L * c_t
        total -= L
        number -= L
        dstates -= M * N * P
    tl.store(dstate + whole, now)


@triton.jit
def through_gate(dout, z):
    """(gradient before the gate, factor that turns y before the gate into the gradient of z)."""
    sigmoid = tl.sigmoid(z)
    return dout * z * sigmoid, dout * sigmoid * (1.0 + z * (1.0 - sigmoid))


@triton.jit
def gate_grad(x, z, dout, states, dz, tile_c, forth, e, skip, x_t, z_t, dy_t, dz_t, left,
              L: tl.constexpr, P: tl.constexpr, W: tl.constexpr, N: tl.constexpr, DOT: tl.constexpr):  # fmt: skip
    """y of one head once more, dz from it; dy times what y has of the state before the chunk, [L]."""
    from_before = tl.zeros((L,), tl.float32)
    for w in range(0, P, W):
        tile_x = tile(x + w, x_t, left, L, W).to(DOT)
        before = tile(states + w, P, N, N, W)
        gate = tile(z + w, z_t, left, L, W).to(tl.float32)
        dy, dz_factor = through_gate(tile(dout + w, dy_t, left, L, W).to(tl.float32), gate)
        y = tl.dot(tile_c, before, input_precision="ieee") * e[:, None]
        from_before += tl.sum(dy * y, 1)
        y = tl.dot(forth, tile_x, y, input_precision="ieee") + skip * tile_x.to(tl.float32)
        put(dz + w, dz_t, left, dz_factor * y, L, W)
    return from_before


@triton.jit
def input_grad(x, z, dout, states, dstates, dx, tile_b, back, f, step, skip, x_t, z_t, dy_t, dx_t, left,
               L: tl.constexpr, P: tl.constexpr, W: tl.constexpr, N: tl.constexpr, DOT: tl.constexpr):  # fmt: skip
    """dx of one head; x times the part of u from the state's gradient, [L]; S.dS."""
    to_after, flow = tl.zeros((L,), tl.float32), tl.zeros((N,), tl.float32)
    for w in range(0, P, W):
        gate = tile(z + w, z_t, left, L, W).to(tl.float32)
        dy, _ = through_gate(tile(dout + w, dy_t, left, L, W).to(tl.float32), gate)
        before, after = tile(states + w, P, N, N, W), tile(dstates + w, P, N, N, W)
        flow += tl.sum(before.to(tl.float32) * after.to(tl.float32), 1)
        u = tl.dot(tile_b, after, input_precision="ieee") * f[:, None]
        to_after += tl.sum(tile(x + w, x_t, left, L, W).to(tl.float32) * u, 1)
        u = tl.dot(back, dy.to(DOT), u, input_precision="ieee")
        put(dx + w, dx_t, left, skip * dy + step[:, None] * u, L, W)
    return to_after, tl.sum(flow, 0)


@triton.jit
def products(x, z, dout, states, dstates, e, f, sum_db, sum_dc, x_t, z_t, dy_t, left,
             L: tl.constexpr, P: tl.constexpr, W: tl.constexpr, N: tl.constexpr, DOT: tl.constexpr):  # fmt: skip
    """dy x^T of one head [L, L], and its part through the states added to db and dc."""
    q = tl.zeros((L, L), tl.float32)
    for w in range(0, P, W):
        gate = tile(z + w, z_t, left, L, W).to(tl.float32)
        dy, _ = through_gate(tile(dout + w, dy_t, left, L, W).to(tl.float32), gate)
        tile_x = tile(x + w, x_t, left, L, W).to(DOT)
        q = tl.dot(dy.to(DOT), tl.trans(tile_x), q, input_precision="ieee")
        before, after = tile(states + w, P, N, N, W), tile(dstates + w, P, N, N, W)
        sum_dc = tl.dot((dy * e[:, None]).to(DOT), tl.trans(before), sum_dc, input_precision="ieee")
        scaled = (tile_x.to(tl.float32) * f[:, None]).to(DOT)
        sum_db = tl.dot(scaled, tl.trans(after), sum_db, input_precision="ieee")
    return q, sum_db, sum_dc


@triton.jit
def grad_kernel(x, z, dout, b, c, d, delta, total, number, states, dstates, dx, dz, db, dc, pairs, leaving, passing,
                ddelta, dd, T, K, M, ROWS, x_b, x_t, x_m, z_b, z_t, z_m, dy_b, dy_t, dy_m, b_b, b_t, c_b, c_t, HEADS,
                L: tl.constexpr, P: tl.constexpr, W: tl.constexpr, N: tl.constexpr,
                DOT: tl.constexpr):  # fmt: skip
    """One chunk of HEADS heads: everything but the sums of decays; db and dc are sums over these heads."""
    chunk, row, group = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.program_id(2)
    token, left, place = chunk.to(tl.int64) * L, T - chunk * L, tl.arange(0, L)
    tile_b = tile(b + row * b_b + token * b_t, b_t, left, L, N).to(DOT)
    tile_c = tile(c + row * c_b + token * c_t, c_t, left, L, N).to(DOT)
    count = tl.load(number + row * K * L + token + place)
    last_number = tl.load(number + row * K * L + token + L - 1)
    gram = tl.dot(tile_c, tl.trans(tile_b), input_precision="ieee")
    same = same_document(count, L)
    x += row * x_b + token * x_t
    z += row * z_b + token * z_t
    dout += row * dy_b + token * dy_t
    dense = (row * T + token) * M * P
    sum_db, sum_dc = tl.zeros((L, N), tl.float32), tl.zeros((L, N), tl.float32)
    for m in range(group * HEADS, tl.minimum(group * HEADS + HEADS, M)):
        steps = (row * M + m) * K * L + token + place
        at = (row * K + chunk) * M + m
        summed = tl.load(total + steps)
        forth = (gram * decays(summed, same) * tl.load(delta + steps)[None, :]).to(DOT)
        from_before = gate_grad(
            x + m * x_m, z + m * z_m, dout + m * dy_m, states + at * N * P, dz + dense + m * P, tile_c, forth,
            carried_in(summed, count), tl.load(d + m).to(tl.float32), x_t, z_t, dy_t, M * P, left, L, P, W, N, DOT,
        )  # fmt: skip
        summed, step = tl.load(total + steps), tl.load(delta + steps)
        last_total = tl.load(total + (row * M + m) * K * L + token + L - 1)
        f = handed_on(summed, count, last_total, last_number)
        back = tl.trans(gram * decays(summed, same)).to(DOT)
        to_after, flow = input_grad(
            x + m * x_m, z + m * z_m, dout + m * dy_m, states + at * N * P, dstates + at * N * P, dx + dense + m * P,
            tile_b, back, f, step, tl.load(d + m).to(tl.float32), x_t, z_t, dy_t, M * P, left, L, P, W, N, DOT,
        )  # fmt: skip
        tl.store(passing + at, tl.where(last_number == 0, tl.exp(last_total) * flow, 0.0))
        tl.store(leaving + steps, step * to_after)
        summed, step = tl.load(total + steps), tl.load(delta + steps)
        e, f = carried_in(summed, count), step * handed_on(summed, count, last_total, last_number)
        q, sum_db, sum_dc = products(
            x + m * x_m, z + m * z_m, dout + m * dy_m, states + at * N * P, dstates + at * N * P,
            e, f, sum_db, sum_dc, x_t, z_t, dy_t, left, L, P, W, N, DOT,
        )  # fmt: skip
        tl.store(dd + at, tl.sum(tl.sum(tl.where(place[:, None] == place[None, :], q, 0.0), 1), 0))
        summed, step = tl.load(total + steps), tl.load(delta + steps)
        q *= decays(summed, same)
        tl.store(ddelta + steps, tl.sum(q * gram, 0) + to_after)
        q *= step[None, :]
        sum_dc = tl.dot(q.to(DOT), tile_b, sum_dc, input_precision="ieee")
        sum_db = tl.dot(tl.trans(q).to(DOT), tile_c, sum_db, input_precision="ieee")
        q = tl.where(place[:, None] > place[None, :], q * gram, 0.0)
        tl.store(pairs + steps, from_before + tl.sum(q, 1) - tl.sum(q, 0))
    partial = ((group * ROWS + row) * T + token) * N
    put(dc + partial, N, left, sum_dc, L, N)
    put(db + partial, N, left, sum_db, L, N)


@triton.jit
def ddecay_kernel(dt, bias, a, delta, number, pairs, leaving, passing, ddelta, ddt, da, dbias, T, M, S, K,
                  dt_b, dt_t, dt_m, L: tl.constexpr, MB: tl.constexpr):  # fmt: skip
    """One chunk of some heads: gradients of dt, and this chunk's part of those of A and of the bias."""
    chunk, row, group = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.program_id(2)
    place = tl.arange(0, L)
    t = chunk * L + place
    m = group * MB + tl.arange(0, MB)
    known = m < M
    count = tl.load(number + row * S + t)
    last_number = tl.load(number + row * S + chunk * L + L - 1)
    steps = (row * M + m[None, :]) * S + t[:, None]
    same = count[:, None] == count[None, :]
    to_end = count == last_number
    later = same & (place[None, :] >= place[:, None])
    earlier = same & to_end[:, None] & (place[None, :] < place[:, None])
    inner = tl.load(pairs + steps, mask=known[None, :], other=0.0)
    outer = tl.load(leaving + steps, mask=known[None, :], other=0.0)
    dlog = tl.dot(later.to(tl.float32), inner, input_precision="ieee")
    dlog = tl.dot(earlier.to(tl.float32), outer, dlog, input_precision="ieee")
    at = (row * K + chunk) * M + m
    through = tl.load(passing + at, mask=known, other=0.0)
    dlog += tl.where((to_end & (last_number == 0))[:, None], through[None, :], 0.0)
    step = tl.load(delta + steps, mask=known[None, :], other=0.0)
    dstep = tl.load(ddelta + steps, mask=known[None, :], other=0.0)
    dstep += dlog * tl.load(a + m, mask=known, other=0.0).to(tl.float32)[None, :]
    inside = (t[:, None] < T) & known[None, :]
    raw = dt + row * dt_b + chunk.to(tl.int64) * L * dt_t + place[:, None] * dt_t + m[None, :] * dt_m
    v = tl.load(raw, mask=inside, other=float("-inf")).to(tl.float32)
    v += tl.load(bias + m, mask=known, other=0.0).to(tl.float32)[None, :]
    dv = tl.where(inside, dstep * tl.sigmoid(v), 0.0)
    tl.store(ddt + (row * T + t[:, None]) * M + m[None, :], dv.to(ddt.dtype.element_ty), mask=inside)
    tl.store(da + at, tl.sum(tl.where(inside, dlog * step, 0.0), 0), mask=known)
    tl.store(dbias + at, tl.sum(dv, 0), mask=known)


def backward(
    dout: torch.Tensor,
    dend: torch.Tensor | None,
    inputs: tuple[torch.Tensor, ...],
    kept: tuple[torch.Tensor, ...],
    outputs: tuple[torch.Tensor, ...],
) -> tuple[torch.Tensor, ...]:
    """Fill outputs (dx, ddt, dz, dstate); give (da, db, dc, dd, dbias) in float32.

    inputs: x, dt, a, b, c, d, z, bias. kept: delta, total, number, states of the forward pass.
    """
    x, dt, a, b, c, d, z, bias = inputs
    delta, total, number, states = kept
    dx, ddt, dz, dstate = outputs
    rows, tokens, heads, head_dim = x.shape
    chunks, n, size = states.shape[1], b.shape[-1], tables.SSD_BLOCK
    dstates = torch.empty_like(states)
    use = tables.launch("ssd_dstates", x.device, head_dim, n)
    width = min(use.part, head_dim)
    dstates_kernel[(head_dim // width, heads, rows)](
        dout, z, c, total, number, dout if dend is None else dend, dstates, dstate, tokens, chunks, heads,
        *dout.stride()[:3], *z.stride()[:3], *c.stride()[:2], L=size, P=head_dim, W=width, N=n, DOT=dot_type(x),
        HAS_END=dend is not None, num_warps=use.warps, num_stages=use.stages,
    )  # fmt: skip
    use = tables.launch("ssd_grad", x.device, head_dim, n)
    group = tables.heads_a_program(heads, rows * chunks)
    groups = triton.cdiv(heads, group)
    db, dc = (b.new_empty(groups, rows, tokens, n, dtype=torch.float32) for _ in range(2))
    pairs, leaving, ddelta = (torch.empty_like(delta) for _ in range(3))
    passing, dd, da, dbias = (delta.new_empty(rows * chunks, heads) for _ in range(4))
    grad_kernel[(chunks, rows, groups)](
        x, z, dout, b, c, d, delta, total, number, states, dstates, dx, dz, db, dc, pairs, leaving, passing, ddelta, dd,
        tokens, chunks, heads, rows, *x.stride()[:3], *z.stride()[:3], *dout.stride()[:3], *b.stride()[:2],
        *c.stride()[:2], group, L=size, P=head_dim, W=min(use.part, head_dim), N=n, DOT=dot_type(x),
        num_warps=use.warps, num_stages=use.stages,
    )  # fmt: skip
    use = tables.launch("ssd_ddecay", x.device)
    ddecay_kernel[(chunks, rows, triton.cdiv(heads, use.part))](
        dt, bias, a, delta, number, pairs, leaving, passing, ddelta, ddt, da, dbias, tokens, heads, chunks * size,
        chunks, *dt.stride(), L=size, MB=use.part, num_warps=use.warps, num_stages=use.stages,
    )  # fmt: skip
    return da.sum(0), db.sum(0), dc.sum(0), dd.sum(0), dbias.sum(0)
