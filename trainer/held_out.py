"""What a model knows of held-out text, by domain: the same rows for every model that is asked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from tokenizer_lab.tokens import Tokens
from trainer.batch import TokenBatch
from trainer.data import text_bytes_per_token, valid_batches
from trainer.model import Model


@dataclass(frozen=True)
class HeldOut:
    """On a domain's valid split. loss: nats a token. error: standard error of loss, rows taken as draws; it tells how
    well this text stands for the domain. Between models asked for the same text, differences are surer than that."""

    loss: float
    bits_per_byte: float
    error: float
    tokens: int


class HeldOutText:
    """The first rows of each domain's valid split, in memory, packed as in training.

    tokens_each: of a domain, at most, in whole batches of ``rows`` rows.
    """

    def __init__(
        self, tokens: Tokens, domains: Sequence[str], seq_len: int, rows: int, tokens_each: int, eos_id: int | None
    ) -> None:
        most = max(1, tokens_each // (rows * seq_len))
        self.batches: dict[str, list[TokenBatch]] = {}
        for name in domains:
            batches = valid_batches(tokens, name, seq_len, rows, eos_id)
            self.batches[name] = [batch for _, batch in zip(range(most), batches, strict=False)]
        self.bytes_per_token = {name: text_bytes_per_token(tokens, name) for name in domains}

    @torch.no_grad()
    def measured(self, model: Model) -> dict[str, HeldOut]:
        """Of each domain."""
        device, found = model.embed.weight.device, {}
        for name, batches in self.batches.items():
            nats, tokens = [], []
            for batch in batches:
                here = batch.to(device)
                nats.append((here.weight_BT * model.loss(here)[0]).sum(1).double().cpu())
                tokens.append(batch.weight_BT.sum(1).double())
            found[name] = _of_rows(torch.cat(nats), torch.cat(tokens), self.bytes_per_token[name])
        return found


def _of_rows(nats: torch.Tensor, tokens: torch.Tensor, bytes_per_token: float) -> HeldOut:
    """From sums of rows. The error is that of a ratio of two means."""
    nats, tokens = nats[tokens > 0], tokens[tokens > 0]
    total, rows = float(tokens.sum()), len(tokens)
    loss = float(nats.sum()) / total
    off = (nats - loss * tokens).square().sum().sqrt().item()
    error = off / total * math.sqrt(rows / (rows - 1)) if rows > 1 else math.inf
    return HeldOut(loss, loss / math.log(2) / bytes_per_token, error, int(total))
