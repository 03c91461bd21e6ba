"""Cross-entropy of a linear head without holding all logits: chunks of tokens, float32 softmax, no reduction.

Gives loss and lse (log of the sum of exponentials) for each token, so that z-loss, weights for each token, preference
losses and distillation are sums outside. The backward pass makes the logits of a chunk again, unless few enough were
kept (KEEP_BYTES). The gradient of the head is summed in float32 over chunks in order, whatever their number.
"""

import torch
from torch.library import custom_op

CHUNK = 2048
"""Tokens of a chunk: its float32 logits take CHUNK * V * 4 bytes."""

KEEP_BYTES = 256 << 20
"""Logits up to this size are kept from forward to backward on a CPU."""


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
    if logits.is_cuda:
        from trainer.kernels import use_triton

        if use_triton(logits):
            from trainer.kernels.triton.linear_ce import softmax_ce

            return softmax_ce(logits, targets)
    lse = torch.logsumexp(logits, -1)
    return lse - logits.gather(1, targets[:, None])[:, 0], lse


def _softmax_ce_bwd(
    logits: torch.Tensor, lse: torch.Tensor, targets: torch.Tensor, dloss: torch.Tensor, dlse: torch.Tensor
) -> torch.Tensor:
    """Gradient by the logits, in their place."""
    if logits.is_cuda:
        from trainer.kernels import use_triton

        if use_triton(logits):
            from trainer.kernels.triton.linear_ce import softmax_ce_bwd

            return softmax_ce_bwd(logits, lse, targets, dloss, dlse)
    logits.sub_(lse[:, None]).exp_().mul_((dloss + dlse)[:, None])
    return logits.scatter_add_(1, targets[:, None], -dloss[:, None])


@custom_op("jacorpus::linear_ce", mutates_args=())
def _linear_ce(
    x: torch.Tensor, w: torch.Tensor, targets: torch.Tensor, keep: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    kind = torch.float64 if x.dtype == torch.float64 else torch.float32
    loss, lse = (x.new_empty(len(x), dtype=kind) for _ in range(2))
    kept = x.new_empty(len(x) if keep else 0, len(w), dtype=kind)
    for first in range(0, len(x), CHUNK):
        rows = slice(first, first + CHUNK)
        logits = _logits(x[rows], w)
        loss[rows], lse[rows] = _softmax_ce(logits, targets[rows])
        if keep:
            kept[rows] = logits
    return loss, lse, kept


@_linear_ce.register_fake
def _(x, w, targets, keep):  # type: ignore[no-untyped-def]
    kind = torch.float64 if x.dtype == torch.float64 else torch.float32
    loss = x.new_empty(len(x), dtype=kind)
    return loss, torch.empty_like(loss), x.new_empty(len(x) if keep else 0, len(w), dtype=kind)


@custom_op("jacorpus::linear_ce_bwd", mutates_args=())
def _linear_ce_bwd(
    x: torch.Tensor,
    w: torch.Tensor,
    targets: torch.Tensor,
    lse: torch.Tensor,
    kept: torch.Tensor,
    dloss: torch.Tensor,
    dlse: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    dx = torch.empty_like(x)
    dw = torch.zeros(w.shape, dtype=lse.dtype, device=w.device)
    for first in range(0, len(x), CHUNK):
        rows = slice(first, first + CHUNK)
        logits = kept[rows].clone() if len(kept) else _logits(x[rows], w)
        d = _softmax_ce_bwd(logits, lse[rows], targets[rows], dloss[rows], dlse[rows]).to(x.dtype)
        dx[rows] = d @ w
        if d.is_cuda and d.dtype in (torch.bfloat16, torch.float16):
            dw += torch.mm(d.T, x[rows], out_dtype=torch.float32)
        else:
            dw += d.T @ x[rows]
    return dx, dw.to(w.dtype)


@_linear_ce_bwd.register_fake
def _(x, w, targets, lse, kept, dloss, dlse):  # type: ignore[no-untyped-def]
    return torch.empty_like(x), torch.empty_like(w)


def _setup(ctx, inputs, output):  # type: ignore[no-untyped-def]
    x, w, targets, _ = inputs
    _, lse, kept = output
    ctx.save_for_backward(x, w, targets, lse, kept)
    ctx.mark_non_differentiable(kept)


def _backward(ctx, dloss, dlse, _):  # type: ignore[no-untyped-def]
    x, w, targets, lse, kept = ctx.saved_tensors
    zero = torch.zeros_like(lse)
    dloss, dlse = (zero if d is None else d.contiguous() for d in (dloss, dlse))
    return *_linear_ce_bwd(x, w, targets, lse, kept, dloss, dlse), None, None


torch.library.register_autograd("jacorpus::linear_ce", _backward, setup_context=_setup)


def linear_ce(x_TD: torch.Tensor, w_VD: torch.Tensor, targets_T: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(loss [T], lse [T]) of logits x w^T, float32 or wider; differentiable in both. targets: int64 [T] in [0, V)."""
    w = w_VD.to(x_TD.dtype)
    grad = torch.is_grad_enabled() and (x_TD.requires_grad or w.requires_grad)
    keep = grad and not x_TD.is_cuda and len(x_TD) * len(w) * 4 <= KEEP_BYTES
    loss, lse, _ = _linear_ce(x_TD.contiguous(), w, targets_T, keep)
    return loss, lse


__all__ = ["linear_ce", "linear_ce_naive"]
