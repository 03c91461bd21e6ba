"""Causal attention within documents, over all earlier tokens or a window of them.

A query sees itself and at most W keys before it (W + 1 in all), of its own document. On a CPU the work goes block by
block, keys cut to what the window can reach: for narrow windows as plain products over all heads of a key at once, else
through ``scaled_dot_product_attention``; on a GPU through FlexAttention with a block mask of the documents. A step of
decoding reads a ring of keys (trainer.cache).
"""

import functools
from typing import Any

import torch
import torch.nn.functional as F

from trainer.documents import NEVER, Documents

BLOCK = 256
"""Queries at a time where a window is shorter than the row."""

NARROW, NARROW_BLOCK = 512, 64
"""Windows up to NARROW go NARROW_BLOCK queries at a time through plain products on a CPU, which at W 128 takes 1 / 1.5
(float32) and 1 / 2.4 (bfloat16) of the time. Their weights, T * (W + 64) a head, are kept for the gradient."""


def attention_naive(
    q_BTHP: torch.Tensor, k_BTKP: torch.Tensor, v_BTKP: torch.Tensor, documents: Documents, window: int | None
) -> torch.Tensor:
    """Scores of all pairs, softmax, sum. -> [B, T, H, P]."""
    tokens, heads, head_dim = q_BTHP.shape[1:]
    group = heads // k_BTKP.shape[2]
    k, v = (t.repeat_interleave(group, 2) for t in (k_BTKP, v_BTKP))
    scores = torch.einsum("bihp,bjhp->bhij", q_BTHP, k) * head_dim**-0.5
    seen = documents.visible(0, tokens, 0, window)[:, None]
    return torch.einsum("bhij,bjhp->bihp", scores.masked_fill(~seen, NEVER).softmax(-1), v)


def prepare(documents: Documents, window: int | None, like: torch.Tensor) -> None:
    """Make the masks for activations like [B, T, ...], so that compiled layers find them made."""
    if like.is_cuda:
        documents.block_mask(window)
        return
    for first, last, low in _blocks(documents, window):
        documents.bias(first, last, low, _cut(window, documents), _bias_type(like.dtype, window, documents))


def _cut(window: int | None, documents: Documents) -> int | None:
    """None for a window that reaches over the whole row."""
    return window if window is not None and window < documents.document_BT.shape[1] - 1 else None


def _blocks(documents: Documents, window: int | None) -> list[tuple[int, int, int]]:
    """(first query, last, first key) of the blocks a CPU works in; none where no mask is needed."""
    tokens, window = documents.document_BT.shape[1], _cut(window, documents)
    if documents.one and window is None:
        return []
    block = NARROW_BLOCK if _narrow(window) else tokens if window is None or window + BLOCK >= tokens else BLOCK
    starts = range(0, tokens, block)
    return [(first, min(first + block, tokens), 0 if window is None else max(0, first - window)) for first in starts]


def _narrow(window: int | None) -> bool:
    return window is not None and window <= NARROW


def _bias_type(kind: torch.dtype, window: int | None, documents: Documents) -> torch.dtype:
    wide = kind == torch.float64 or not _narrow(_cut(window, documents))
    return kind if wide else torch.float32


def _products(q_BHQP: torch.Tensor, k_BKJP: torch.Tensor, v_BKJP: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """[B, H, Q, P] of a block: softmax of wide scores, products in the type of q."""
    kv_heads, group = k_BKJP.shape[1], q_BHQP.shape[1] // k_BKJP.shape[1]
    q = q_BHQP.unflatten(1, (kv_heads, group)).flatten(2, 3)
    scores = (q @ k_BKJP.transpose(2, 3)).unflatten(2, (group, -1)).flatten(1, 2)
    weight = torch.add(bias, scores, alpha=q.shape[-1] ** -0.5).softmax(-1).to(q.dtype)
    o = weight.unflatten(1, (kv_heads, group)).flatten(2, 3) @ v_BKJP
    return o.unflatten(2, (group, -1)).flatten(1, 2)


@functools.cache
def _flex() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False)


def attention(
    q_BTHP: torch.Tensor, k_BTKP: torch.Tensor, v_BTKP: torch.Tensor, documents: Documents, window: int | None
) -> torch.Tensor:
    """Attention within documents. window: keys seen back, None for all. -> [B, T, H, P]."""
    q, k, v = (t.transpose(1, 2) for t in (q_BTHP, k_BTKP, v_BTKP))
    if q.is_cuda:
        flex = _flex() if not torch.compiler.is_compiling() else _plain_flex()
        o = flex(q, k, v, block_mask=documents.block_mask(window), enable_gqa=q.shape[1] != k.shape[1])
        return o.transpose(1, 2)
    blocks, window = _blocks(documents, window), _cut(window, documents)
    if not blocks:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True).transpose(1, 2)
    found = []
    for first, last, low in blocks:
        bias = documents.bias(first, last, low, window, _bias_type(q.dtype, window, documents))
        part = q[:, :, first:last], k[:, :, low:last], v[:, :, low:last]
        if _narrow(window):
            found.append(_products(*part, bias))
        else:
            found.append(F.scaled_dot_product_attention(*part, attn_mask=bias, enable_gqa=True))
    return (found[0] if len(found) == 1 else torch.cat(found, 2)).transpose(1, 2)


def _plain_flex() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return flex_attention


def attention_step(
    q_BHP: torch.Tensor, k_BSKP: torch.Tensor, v_BSKP: torch.Tensor, seen_BS: torch.Tensor
) -> torch.Tensor:
    """One query a row over S cached keys, of which ``seen_BS`` count. -> [B, H, P]."""
    heads, kv_heads = q_BHP.shape[1], k_BSKP.shape[2]
    q = q_BHP.unflatten(1, (kv_heads, heads // kv_heads))
    scores = torch.einsum("bkgp,bskp->bkgs", q, k_BSKP)
    scores = (scores if scores.dtype == torch.float64 else scores.float()) * q_BHP.shape[-1] ** -0.5
    weight = scores.masked_fill(~seen_BS[:, None, None], NEVER).softmax(-1).to(v_BSKP.dtype)
    return torch.einsum("bkgs,bskp->bkgp", weight, v_BSKP).flatten(1, 2)
