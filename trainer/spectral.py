"""Spectral normalization (arXiv 1802.05957): a matrix divided by an estimate of its largest singular value.

The estimate is one power iteration a training step, from a vector that is kept between steps, so that it follows the
weights; a fresh vector each step would never get near. Bounds the slope of heads that give rewards or values. A
convolution counts as (outputs, everything else). The vector is a buffer: it is saved and goes on.
"""

import hashlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

EPS = 1e-12


class Spectral(nn.Module):
    """W -> W / s, s = u W v, without gradient to u and v. In training mode a call first moves them by one iteration."""

    def __init__(self, weight: Tensor, seed: int = 0, name: str = "weight") -> None:
        """weight: the tensor it is for, [outputs, ...]. The start of u is drawn from (seed, name)."""
        super().__init__()
        digest = hashlib.sha256(f"{seed} spectral {name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        u = torch.randn(weight.shape[0], dtype=torch.float64, generator=generator).to(weight)
        self.u: Tensor
        self.v: Tensor
        self.register_buffer("u", F.normalize(u, dim=0, eps=EPS))
        matrix = weight.detach().flatten(1)
        self.register_buffer("v", F.normalize(matrix.mT @ self.u, dim=0, eps=EPS))

    @torch.no_grad()
    def iterate(self, matrix: Tensor) -> None:
        """One power iteration; matrix [outputs, inputs]."""
        self.u = F.normalize(matrix @ self.v, dim=0, eps=EPS)
        self.v = F.normalize(matrix.mT @ self.u, dim=0, eps=EPS)

    def forward(self, weight: Tensor) -> Tensor:
        matrix = weight.flatten(1)
        if self.training:
            self.iterate(matrix.detach())
        return weight / torch.dot(self.u, matrix @ self.v).clamp(min=EPS)


def spectral_normalize(module: nn.Module, seed: int = 0, name: str = "weight") -> nn.Module:
    """Make ``module.name`` a normalized matrix from now on; gives back the module. Undo it with
    ``torch.nn.utils.parametrize.remove_parametrizations``."""
    parametrize.register_parametrization(module, name, Spectral(getattr(module, name), seed, name))
    return module
