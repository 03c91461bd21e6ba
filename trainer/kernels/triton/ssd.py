"""The recurrence of Mamba 2 with D and the gate, as one differentiable operation on a GPU (see trainer.kernels.ssd).

    delta = softplus(dt + dt_bias),  S = exp(delta A) S + delta x B^T,  y = (S C + D x) * silu(z)

Letters: B rows, T tokens, M heads, P head size, N d_state, L = 64 tokens of a chunk, K chunks of a row.

Forward: ``decay_kernel`` (softplus and sums of log decays), ``states_kernel`` (chunk state and state passing in one:
the recurrence over chunks in float32, which leaves the state before each), ``scan_kernel`` (all chunks at once; a
program keeps B, C and their products for many heads and streams x, z and states through them). Backward:
``dstates_kernel``, ``grad_kernel`` (dx, dz, and dB and dC summed over the heads of a program), ``ddecay_kernel``.

Bytes a token at M 32, P 128, N 64 in bfloat16: 8.2 KB for each of x, z, y and their gradients, and, N being L, for the
states before chunks and for their gradients. Computed, not measured:

    forward   x, states written | x, z, states, y                                      49 KB  (floor x z y: 25)
    backward  dout, z, dstates written | x, z, dout, states, dstates, dx, dz           82 KB  (floor 41)

B, C, dt and what belongs to them add about 3 KB. So 131 KB where the floor is 66, 2.0 times it: at 4.3 TB/s 30 ns a
token and layer beside 15. Products: 1.8 MFLOP forward, 5 backward, 9 ns at 790 TFLOP/s, beside the bytes and not after
them if programs overlap. ``grad_kernel`` goes three times over a head's tiles, the second and third time out of the
caches: in one pass they take more registers than there are. Chunks of 128 would move 111 KB.

The two recurrences run one program for each row, head and part of P: at one row of 32 heads 64 programs, which leave
half of a large GPU idle. Rows of a batch, not chunks, fill them.
"""

import torch
from torch.library import custom_op

from jacorpus.errors import RecipeError
from trainer.kernels.triton import ssd_backward, ssd_forward
from trainer.kernels.triton.tables import SSD_BLOCK

LARGEST = 128
"""P and N up to here fit a program's registers."""


def _check(x: torch.Tensor, b: torch.Tensor) -> None:
    for size, name in ((x.shape[-1], "a Mamba head"), (b.shape[-1], "d_state")):
        if size < 16 or size > LARGEST or size & (size - 1):
            raise RecipeError(
                f"The Triton kernel of ssd can't take {name} of {size} elements: it needs 16, 32, 64 or {LARGEST}. "
                "Change the recipe's [model] table, or train without triton."
            )


def _rowwise(tensor: torch.Tensor) -> torch.Tensor:
    """Kernels take any strides but that of the last axis."""
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def _outputs(x: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """y, end, delta, total, number, states: empty."""
    rows, tokens, heads, head_dim = x.shape
    n, chunks = b.shape[-1], (tokens + SSD_BLOCK - 1) // SSD_BLOCK
    kept = x.dtype if x.dtype in (torch.bfloat16, torch.float16) else torch.float32
    return (
        x.new_empty(x.shape),
        x.new_empty(rows, heads, head_dim, n, dtype=torch.float32),
        x.new_empty(rows, heads, chunks * SSD_BLOCK, dtype=torch.float32),
        x.new_empty(rows, heads, chunks * SSD_BLOCK, dtype=torch.float32),
        x.new_empty(rows, chunks * SSD_BLOCK, dtype=torch.int32),
        x.new_empty(rows, chunks, heads, n, head_dim, dtype=kept),
    )


@custom_op("jacorpus::ssd_fwd", mutates_args=())
def ssd_fwd(
    x: torch.Tensor,
    dt: torch.Tensor,
    a: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    d: torch.Tensor,
    z: torch.Tensor,
    dt_bias: torch.Tensor,
    start: torch.Tensor,
    state: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """(y, final state, and for the backward pass: delta, total, number, states); see ``ssd_forward``."""
    _check(x, b)
    outputs = _outputs(x, b)
    x, b, c, z = (_rowwise(tensor) for tensor in (x, b, c, z))
    a, d, dt_bias, start = (tensor.contiguous() for tensor in (a, d, dt_bias, start))
    state = None if state is None else state.contiguous()
    ssd_forward.forward(x, dt, a, b, c, d, z, dt_bias, start.view(torch.uint8), state, outputs)
    y, end, delta, total, number, states = outputs
    return y, end, delta, total, number, states


@ssd_fwd.register_fake
def _(x, dt, a, b, c, d, z, dt_bias, start, state):  # type: ignore[no-untyped-def]
    return _outputs(x, b)


def _gradients(x: torch.Tensor, dt: torch.Tensor, z: torch.Tensor, n: int) -> tuple[torch.Tensor, ...]:
    """dx, ddt, dz, gradient of the initial state: empty."""
    rows, _, heads, head_dim = x.shape
    state = x.new_empty(rows, heads, head_dim, n, dtype=torch.float32)
    return x.new_empty(x.shape), dt.new_empty(dt.shape), z.new_empty(z.shape), state


@custom_op("jacorpus::ssd_bwd", mutates_args=())
def ssd_bwd(
    dy: torch.Tensor,
    dend: torch.Tensor | None,
    x: torch.Tensor,
    dt: torch.Tensor,
    a: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    d: torch.Tensor,
    z: torch.Tensor,
    dt_bias: torch.Tensor,
    delta: torch.Tensor,
    total: torch.Tensor,
    number: torch.Tensor,
    states: torch.Tensor,
) -> tuple[
    torch.Tensor,
    torch.Tensor,
    torch.Tensor,
    torch.Tensor,
    torch.Tensor,
    torch.Tensor,
    torch.Tensor,
    torch.Tensor,
    torch.Tensor,
]:
    """Gradients of x, dt, a, b, c, d, z, dt_bias and the initial state (float32), in this order."""
    outputs = _gradients(x, dt, z, b.shape[-1])
    x, b, c, z, dy = (_rowwise(tensor) for tensor in (x, b, c, z, dy))
    inputs = (x, dt, a.contiguous(), b, c, d.contiguous(), z, dt_bias.contiguous())
    dend = None if dend is None else dend.contiguous()
    da, db, dc, dd, dbias = ssd_backward.backward(dy, dend, inputs, (delta, total, number, states), outputs)
    dx, ddt, dz, dstate = outputs
    return dx, ddt, da.to(a.dtype), db.to(b.dtype), dc.to(c.dtype), dd.to(d.dtype), dz, dbias.to(dt_bias.dtype), dstate


@ssd_bwd.register_fake
def _(dy, dend, x, dt, a, b, c, d, z, dt_bias, delta, total, number, states):  # type: ignore[no-untyped-def]
    dx, ddt, dz, dstate = _gradients(x, dt, z, b.shape[-1])
    da, db, dc, dd, dbias = (tensor.new_empty(tensor.shape) for tensor in (a, b, c, d, dt_bias))
    return dx, ddt, da, db, dc, dd, dz, dbias, dstate


def _setup(ctx, inputs, output):  # type: ignore[no-untyped-def]
    x, dt, a, b, c, d, z, dt_bias, _, state = inputs
    kept = output[2:]
    ctx.save_for_backward(x, dt, a, b, c, d, z, dt_bias, *kept)
    ctx.mark_non_differentiable(*kept)
    ctx.set_materialize_grads(False)  # or zeros as large as all states would be made
    ctx.state_type = None if state is None else state.dtype


def _backward(ctx, dy, dend, *_):  # type: ignore[no-untyped-def]
    saved = ctx.saved_tensors  # once: under checkpointing they can't be unpacked again
    dy = torch.zeros_like(saved[0]) if dy is None else dy
    *found, dstate = ssd_bwd(dy, dend, *saved)
    return *found, None, None if ctx.state_type is None else dstate.to(ctx.state_type)


ssd_fwd.register_autograd(_backward, setup_context=_setup)


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
) -> tuple[torch.Tensor, torch.Tensor]:
    """(y [B, T, M, P] in the type of x, final state [B, M, P, N] in float32); differentiable in all but ``start``.

    x: convolved; x and z may be views with gaps (halves of the projection). dt: before bias and softplus. a: negative.
    start: bool, tokens before which the state is cleared. state: before the row; its first token goes on from it,
    whatever ``start`` says. P and N: 16, 32, 64 or 128. Matrix products in the type of x if that has 16 bits.

    Raises RecipeError for another P or N.
    """
    y, end, *_ = ssd_fwd(x_BTMP, dt_BTM, a_M, b_BTN, c_BTN, d_M, z_BTMP, dt_bias_M, start_BT, state_BMPN)
    return y, end


__all__ = ["ssd", "ssd_bwd", "ssd_fwd"]
