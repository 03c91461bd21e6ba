"""torch's random generators as tensors, for checkpoints.

The state of one rank stands for all: it is what every rank goes on with. Work that must differ by rank draws from a
generator seeded by rank and step, not from these.
"""

import torch
from torch import Tensor

CUDA_BYTES = 16
"""Seed and offset of torch's generator on a GPU."""


def capture_rng() -> dict[str, Tensor]:
    """{"cpu", "cuda"}: uint8 on the CPU, of the same sizes on every machine.

    cuda begins with 1 where a GPU's generator follows, with 0 where there was no GPU.
    """
    cuda = torch.zeros(1 + CUDA_BYTES, dtype=torch.uint8)
    if torch.cuda.is_available():
        cuda[0] = 1
        cuda[1:] = torch.cuda.get_rng_state()
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def restore_rng(state: dict[str, Tensor]) -> None:
    """Go on from what capture_rng gave. A GPU's generator stays as it is where none was captured."""
    torch.set_rng_state(state["cpu"].cpu())
    cuda = state["cuda"].cpu()
    if torch.cuda.is_available() and cuda[0]:
        torch.cuda.set_rng_state(cuda[1:].clone())
