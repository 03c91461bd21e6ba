"""Log-probabilities of given tokens: one place for the trainer's side of every method of post-training.

The head is applied to trained places alone and by chunks (trainer.kernels.linear_ce), so logits of all tokens never
exist at once.

Letters: B rows, T tokens of a row, N trained tokens of a batch, V vocabulary, D width.
"""

import torch

from trainer.batch import TokenBatch
from trainer.kernels.linear_ce import linear_ce
from trainer.model import Model


def token_logps(model: Model, batch: TokenBatch) -> torch.Tensor:
    """[B, T], float32 or wider: the log-probability of each target; 0 where the weight is 0."""
    return logps_of(model(batch.tokens_BT, batch.documents()), model, batch)


def logps_of(hidden_BTD: torch.Tensor, model: Model, batch: TokenBatch) -> torch.Tensor:
    """The same from the last hidden states."""
    trained_BT = batch.weight_BT > 0
    loss_N, _ = linear_ce(hidden_BTD[trained_BT], model.head_weight, batch.targets_BT[trained_BT])
    found_BT = torch.zeros(trained_BT.shape, dtype=loss_N.dtype, device=loss_N.device)
    return found_BT.masked_scatter(trained_BT, -loss_N)


def sequence_logps(model: Model, batch: TokenBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """(sums of log-probabilities [B], trained tokens [B]) of each row."""
    return token_logps(model, batch).sum(1), (batch.weight_BT > 0).sum(1)
