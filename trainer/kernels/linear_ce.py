"""Cross-entropy of a linear head without holding all logits: chunks of tokens, float32 softmax, no reduction.

Gives loss and lse (log of the sum of exponentials) for each token, so that z-loss, weights for each token, preference
losses and distillation are sums outside. The backward pass makes the logits of a chunk again, unless few enough were
kept (KEEP_BYTES). The gradient of the head is summed in float32 over chunks in order, whatever their number.
"""

import torch
from torch.library import custom_op

from trainer.kernels import use_triton

CHUNK = 2048
"""Tokens of a chunk: CHUNK * V float32 logits on a GPU, as many probabilities in the type of x on a CPU."""

BLOCK = 256
"""Tokens whose logits a CPU works on at a time: they stay in its cache."""

KEEP_BYTES = 256 << 20
"""Probabilities up to this size are kept from forward to backward on a CPU."""

REMADE_BYTES = 32 << 20
"""Probabilities made again on a CPU at a time, at least BLOCK / 2 tokens."""


def linear_ce_naive(
    x_TD: torch.Tensor, w_VD: torch.Tensor, targets_T: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(loss [T], lse [T]) with all logits at once."""
    logits = x_TD @ w_VD.T
    logits = logits if logits.dtype == torch.float64 else logits.float()
    lse = logits.logsumexp(-1)
    return lse - logits.gather(1, targets_T[:, None])[:, 0], lse


def _logits(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """x w^T, float32 or wider. A GPU adds up and gives float32; elsewhere the product is rounded to the type of x."""
    if x.is_cuda and x.dtype in (torch.bfloat16, torch.float16):
        return torch.mm(x, w.T, out_dtype=torch.float32)
    logits = x @ w.T
    return logits if logits.dtype == torch.float64 else logits.float()


def _softmax_ce(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if use_triton(logits):
        from trainer.kernels.triton.linear_ce import softmax_ce

        return softmax_ce(logits, targets)
    lse = torch.logsumexp(logits, -1)
    return lse - logits.gather(1, targets[:, None])[:, 0], lse


def _softmax_ce_bwd(
    logits: torch.Tensor, lse: torch.Tensor, targets: torch.Tensor, dloss: torch.Tensor, dlse: torch.Tensor
) -> torch.Tensor:
    """Gradient by the logits, in their place."""
    if use_triton(logits):
        from trainer.kernels.triton.linear_ce import softmax_ce_bwd

        return softmax_ce_bwd(logits, lse, targets, dloss, dlse)
    logits.sub_(lse[:, None]).exp_().mul_((dloss + dlse)[:, None])
    return logits.scatter_add_(1, targets[:, None], -dloss[:, None])


def _probabilities(
    x: torch.Tensor, w: torch.Tensor, targets: torch.Tensor, found: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(loss, lse) block by block; softmax goes into ``found`` [tokens, V], if given.

    The largest probability is 1 / sum(exp(logit - largest logit)): lse follows from it, to float32's precision.
    """
    pairs = []
    for first in range(0, len(x), BLOCK):
        rows = slice(first, first + BLOCK)
        logits = _logits(x[rows], w)
        p = torch.softmax(logits, -1)
        lse = logits.amax(-1) - p.amax(-1).log()
        pairs.append((lse - logits.gather(1, targets[rows, None])[:, 0], lse))
        if found is not None:
            found[rows] = p
    return torch.cat([loss for loss, _ in pairs]), torch.cat([lse for _, lse in pairs])


def _logit_gradient(
    p: torch.Tensor, targets: torch.Tensor, loss: torch.Tensor, dloss: torch.Tensor, dlse: torch.Tensor
) -> torch.Tensor:
    """Gradient by the logits from softmax; at the target, where both terms nearly cancel, from the loss itself."""
    scale, d = dloss + dlse, torch.empty_like(p)
    for first in range(0, len(p), BLOCK):
        rows = slice(first, first + BLOCK)
        d[rows] = p[rows] * scale[rows, None]
    d[torch.arange(len(d)), targets] = (scale * torch.exp(-loss) - dloss).to(d.dtype)  # scatter_ would copy all of d
    return d


@custom_op("jacorpus::linear_ce", mutates_args=())
def _linear_ce(
    x: torch.Tensor, w_master: torch.Tensor, targets: torch.Tensor, keep: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    kind, w = torch.float64 if x.dtype == torch.float64 else torch.float32, w_master.to(x.dtype)
    loss, lse = (x.new_empty(len(x), dtype=kind) for _ in range(2))
    kept = x.new_empty(len(x) if keep else 0, len(w))
    for first in range(0, len(x), CHUNK):
        rows = slice(first, first + CHUNK)
        if x.is_cuda:
            loss[rows], lse[rows] = _softmax_ce(_logits(x[rows], w), targets[rows])
        else:
            loss[rows], lse[rows] = _probabilities(x[rows], w, targets[rows], kept[rows] if keep else None)
    return loss, lse, kept


@_linear_ce.register_fake
def _(x, w_master, targets, keep):  # type: ignore[no-untyped-def]
    kind = torch.float64 if x.dtype == torch.float64 else torch.float32
    loss = x.new_empty(len(x), dtype=kind)
    return loss, torch.empty_like(loss), x.new_empty(len(x) if keep else 0, len(w_master))


@custom_op("jacorpus::linear_ce_bwd", mutates_args=())
def _linear_ce_bwd(
    x: torch.Tensor,
    w_master: torch.Tensor,
    targets: torch.Tensor,
    loss: torch.Tensor,
    lse: torch.Tensor,
    kept: torch.Tensor,
    dloss: torch.Tensor,
    dlse: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    dx, w = torch.empty_like(x), w_master.to(x.dtype)
    dw = torch.zeros(w.shape, dtype=lse.dtype, device=w.device)
    chunk = CHUNK if x.is_cuda or len(kept) else min(CHUNK, max(BLOCK // 2, REMADE_BYTES // (4 * len(w))))
    for first in range(0, len(x), chunk):
        rows = slice(first, first + chunk)
        if x.is_cuda:
            d = _softmax_ce_bwd(_logits(x[rows], w), lse[rows], targets[rows], dloss[rows], dlse[rows]).to(x.dtype)
        else:
            p = kept[rows]
            if not len(kept):
                p = x.new_empty(len(x[rows]), len(w))
                _probabilities(x[rows], w, targets[rows], p)
            d = _logit_gradient(p, targets[rows], loss[rows], dloss[rows], dlse[rows])
        dx[rows] = d @ w
        if d.is_cuda and d.dtype in (torch.bfloat16, torch.float16):
            dw += torch.mm(d.T, x[rows], out_dtype=torch.float32)
        else:
            dw += d.T @ x[rows]
    return dx, dw.to(w_master.dtype)


@_linear_ce_bwd.register_fake
def _(x, w_master, targets, loss, lse, kept, dloss, dlse):  # type: ignore[no-untyped-def]
    return torch.empty_like(x), torch.empty_like(w_master)


def _setup(ctx, inputs, output):  # type: ignore[no-untyped-def]
    x, w_master, targets, _ = inputs
    ctx.save_for_backward(x, w_master, targets, *output)
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)


def _backward(ctx, dloss, dlse, _):  # type: ignore[no-untyped-def]
    saved = ctx.saved_tensors  # once: under checkpointing they can't be unpacked again
    zero = torch.zeros_like(saved[3])
    dloss, dlse = (zero if d is None else d.contiguous() for d in (dloss, dlse))
    return *_linear_ce_bwd(*saved, dloss, dlse), None, None


torch.library.register_autograd("jacorpus::linear_ce", _backward, setup_context=_setup)


def linear_ce(x_TD: torch.Tensor, w_VD: torch.Tensor, targets_T: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(loss [T], lse [T]) of logits x w^T, float32 or wider; differentiable in both. targets: int64 [T] in [0, V)."""
    grad = torch.is_grad_enabled() and (x_TD.requires_grad or w_VD.requires_grad)
    keep = grad and not x_TD.is_cuda and x_TD.element_size() * len(x_TD) * len(w_VD) <= KEEP_BYTES
    loss, lse, _ = _linear_ce(x_TD.contiguous(), w_VD, targets_T, keep)
    return loss, lse


__all__ = ["linear_ce", "linear_ce_naive"]
