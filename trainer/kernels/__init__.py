"""Operations of the model: in each file a readable twin (``foo_naive``), the fast path, and one public function.

The fast path on a CPU is torch in chunks; on a GPU ``ssd``, ``conv_silu`` and the softmax of ``linear_ce`` have Triton
kernels (``kernels/triton``), the rest is torch under ``torch.compile``. The path is chosen per call, never at import.

Letters in all files: B rows, T tokens of a row, D d_model, H query heads, K key/value heads, P head size,
M Mamba heads, C = M*P, N d_state, R dt rank, F feed-forward, V vocabulary, W window.
"""

import functools
import importlib.util

import torch


@functools.cache
def _triton_there() -> bool:
    return importlib.util.find_spec("triton") is not None


def use_triton(x: torch.Tensor) -> bool:
    """Whether a tensor's operation goes to a Triton kernel: it lies on a CUDA device and triton is installed."""
    return x.is_cuda and _triton_there()
