"""What a step minimizes: a model and a loss as one module, so that both kinds of data parallelism can wrap it.

An objective takes a TokenBatch and gives sums over its tokens; the loop divides by the weight of the global batch.
Another kind of training is another objective (and another source of batches) in the same loop.

Letters: B rows, T tokens of a row, E domains.
"""

from typing import Any, NamedTuple, Protocol

import torch
from torch import nn

from trainer.batch import TokenBatch
from trainer.model import Model


class Sums(NamedTuple):
    """Sums over a batch's tokens. total: what is differentiated. z_loss: the part of total that is z-loss.
    by_domain: [2, E], nats and weight of each domain's tokens, whatever counts in total."""

    total: torch.Tensor
    z_loss: torch.Tensor
    by_domain: torch.Tensor


class Reference(Protocol):
    """What a model's loss is compared with: another model, or several, each for its domains."""

    def loss(self, batch: TokenBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """(loss, lse) of each token, [B, T]."""
        ...


class LanguageModeling(nn.Module):
    """Cross-entropy of the next token, plus z-loss; over all tokens or over those a reference model finds hard.

    z_loss: weight of lse^2 (1e-5 as OLMo). reference, ratio: selective loss (Rho-1, arXiv 2404.07965): of each
    micro-batch only the share ``ratio`` of tokens counts, those with the largest excess of the model's loss over the
    reference's; without a ratio the reference only measures excess by domain, for a controller.
    """

    def __init__(
        self,
        model: Model,
        domains: int,
        z_loss: float = 0.0,
        reference: Reference | None = None,
        ratio: float | None = None,
    ) -> None:
        super().__init__()
        self.model, self.z_loss, self.ratio = model, z_loss, ratio
        # In a list, so that the reference's weights are no weights of this module: nothing trains or saves them.
        self._reference = [reference] if reference is not None else []
        self.domain_weight_E: torch.Tensor
        self.weighted = False  # whether domains weigh differently; without it, no product
        self.register_buffer("domain_weight_E", torch.ones(domains), persistent=False)
        self._excess: list[torch.Tensor] = []

    def forward(self, batch: TokenBatch) -> Sums:
        loss_BT, lse_BT = self.model.loss(batch)
        z_BT = self.z_loss * lse_BT.square()
        place_BE = self.places(batch)
        counted_BT = self.counted(batch, loss_BT.detach(), place_BE)
        total = (counted_BT * (loss_BT + z_BT)).sum()
        nats_B, weight_B = (batch.weight_BT * loss_BT.detach()).sum(1), batch.weight_BT.sum(1)
        by_domain = torch.stack((nats_B, weight_B)).to(place_BE.dtype) @ place_BE
        return Sums(total, (counted_BT * z_BT.detach()).sum(), by_domain)

    def places(self, batch: TokenBatch) -> torch.Tensor:
        """float32 [B, E], one-hot: sums by domain are products, a scattered sum would need atomics on a GPU."""
        domains = torch.arange(self.domain_weight_E.shape[0], device=batch.domain_B.device)
        return (batch.domain_B[:, None] == domains).float()

    @torch.no_grad()
    def counted(self, batch: TokenBatch, loss_BT: torch.Tensor, place_BE: torch.Tensor) -> torch.Tensor:
        """[B, T]: how much each token counts in what is minimized."""
        counted_BT = batch.weight_BT
        if self._reference:
            reference_BT, _ = self._reference[0].loss(batch)
            excess_BT = loss_BT - reference_BT
            if self.ratio is not None:
                counted_BT = hardest(batch.weight_BT, excess_BT, self.ratio)
            else:
                kinds = excess_BT, excess_BT.clamp(min=0)
                self._excess.append(torch.stack([(batch.weight_BT * e).sum(1) for e in kinds]) @ place_BE)
        if self.weighted:
            counted_BT = counted_BT * (place_BE @ self.domain_weight_E)[:, None]
        return counted_BT

    def set_domain_weights(self, weights: list[float]) -> None:
        """How much a token of each domain counts from now on; all 1 counts every token once."""
        self.weighted = True
        self.domain_weight_E.copy_(torch.tensor(weights))

    def facts(self) -> dict[str, Any]:
        """What a controller hears beside losses: nats by domain over the reference, signed and clipped at 0."""
        if not self._excess:
            return {}
        signed, clipped = torch.stack(self._excess).sum(0).tolist()
        self._excess.clear()
        return {"excess_nats": signed, "clipped_excess_nats": clipped}


def hardest(weight_BT: torch.Tensor, excess_BT: torch.Tensor, ratio: float) -> torch.Tensor:
    """Weights with only the share ``ratio`` of largest excess left, scaled so that their sum stays.

    The number chosen depends on the shape alone, so that nothing waits for a device; padding is chosen last.
    """
    excess = torch.where(weight_BT > 0, excess_BT, float("-inf")).flatten()
    chosen = torch.zeros_like(excess)
    chosen[excess.topk(max(1, round(ratio * excess.numel()))).indices] = 1
    kept_BT = weight_BT * chosen.view_as(weight_BT)
    return kept_BT * (weight_BT.sum() / kept_BT.sum().clamp(min=1e-9))
