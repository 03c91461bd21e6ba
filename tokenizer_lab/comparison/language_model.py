"""What a language model is to a comparison, and the count-based one behind it.

Legend: N documents.

A ``Train`` takes a tokenizer, token lists in their order and a seed, and gives a ``LanguageModel``. The one here counts
(tokenizer_lab.kernels.token_counts: interpolated Kneser-Ney, context equal in bytes) and needs seconds; a training
function of a neural model may be passed in its place.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import pyarrow as pa

from tokenizer_lab.comparison.encoded import summed
from tokenizer_lab.kernels.token_counts import CONTEXT_BYTES, TokenCounts, token_counts
from tokenizer_lab.tokenizer import Tokenizer, list_buffers

D_MODEL, LAYERS = 256, 4
"""The small model whose FLOPs stand for compute where a count model judges."""


class LanguageModel(Protocol):
    def bits(self, tokens: pa.LargeListArray) -> np.ndarray:
        """float64 [N]: bits of each document given nothing before it, the event of its end included."""
        ...


Train: TypeAlias = Callable[[Tokenizer, pa.LargeListArray, int], LanguageModel]
"""(tokenizer, documents in their order, seed) -> model. Each document ends with an end event, and begins anew."""


@dataclass(frozen=True)
class CountModel:
    counts: TokenCounts

    def bits(self, tokens: pa.LargeListArray) -> np.ndarray:
        offsets, ids = list_buffers(tokens)
        each = self.counts.bits(offsets, np.ascontiguousarray(ids))
        return summed(each, offsets + np.arange(len(offsets)))


def train_counts(tokenizer: Tokenizer, tokens: pa.LargeListArray, seed: int) -> LanguageModel:
    """The count model. Counting knows no order and no chance: the seed changes nothing, the documents drawn do."""
    offsets, ids = list_buffers(tokens)
    return CountModel(token_counts(offsets, ids, tokenizer.vocabulary.token_bytes, CONTEXT_BYTES))


def flops_per_token(vocab_size: int, d_model: int = D_MODEL, layers: int = LAYERS) -> float:
    """FLOPs of training on one token, forward and backward: 6 (12 layers d_model^2 + V d_model).

    12 d_model^2 a layer are attention and a four-fold MLP, V d_model the logits; looking an embedding up is free, and
    the attention's own products (a few per cent at short context) are left out (Kaplan et al. 2020, arXiv 2001.08361).
    """
    return 6.0 * (12 * layers * d_model**2 + vocab_size * d_model)
