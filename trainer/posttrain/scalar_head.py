"""One number for each place of a text: the head of critics and reward models.

Letters: B rows, T tokens, D width.
"""

import torch
from torch import nn

from trainer.spectral import spectral_normalize


class ScalarHead(nn.Module):
    """A line on hidden states, from 0 at the start. spectral: its weight has length 1 times a trained scale-free
    direction, so that its slope is bounded (arXiv 1802.05957)."""

    def __init__(self, width: int, spectral: bool = False, seed: int = 0) -> None:
        super().__init__()
        self.line = nn.Linear(width, 1)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.line.bias.zero_()
            self.line.weight.copy_(torch.randn(1, width, generator=generator) * spectral * width**-0.5)
        if spectral:
            spectral_normalize(self.line, seed)

    def forward(self, hidden_BTD: torch.Tensor) -> torch.Tensor:
        """[B, T], float32 or wider."""
        wide = hidden_BTD if hidden_BTD.dtype == torch.float64 else hidden_BTD.float()
        found: torch.Tensor = self.line(wide)[..., 0]
        return found
