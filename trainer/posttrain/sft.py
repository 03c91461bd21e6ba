"""Supervised fine-tuning: conversations through a chat template, loss on assistant turns with their stop token.

Sequences are packed into rows, each a document of its own, so that no conversation sees another. Every epoch packs in
another order. Every ``valid_every``-th conversation by the hash of its content is held out: its loss is in the log
before the first step and at the end.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from jacorpus.errors import InputError, RecipeError
from trainer.batch import TokenBatch
from trainer.log import Row
from trainer.model import Model
from trainer.objective import Sums
from trainer.posttrain.chat import Encoded
from trainer.posttrain.conversations import read_conversations
from trainer.posttrain.logprobs import token_logps
from trainer.posttrain.sequences import Packed, padded
from trainer.posttrain.stage import Context, Training, finish, finished, key_of, settled, train, trainable

EVALUATED = 256
"""Held-out conversations that are scored, at most."""


class Supervised(nn.Module):
    """Cross-entropy of trained tokens."""

    names = ("loss",)

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: TokenBatch) -> Sums:
        nats = -(token_logps(self.model, batch) * batch.weight_BT).sum()
        return Sums(nats, nats.new_zeros(()), torch.stack((nats.detach(), batch.weight_BT.sum()))[:, None])


@dataclass(frozen=True, kw_only=True)
class Sft(Training):
    """data: files of conversations. epochs: times each is seen. steps: at most so many updates; 0: no bound.
    rows: packed rows of ``seq_len`` tokens a step. valid_every: one of so many conversations is held out; 0: none.
    too_long: ``cut`` a conversation longer than seq_len, without its end, or ``drop`` it."""

    data: tuple[str, ...] = ()
    epochs: int = 2
    steps: int = 0
    valid_every: int = 50
    too_long: str = "cut"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs < 1 or self.steps < 0 or self.valid_every < 0:
            raise RecipeError("sft: epochs must be 1 or more, steps and valid_every 0 or more")
        if self.too_long not in ("cut", "drop"):
            raise RecipeError(f"sft: too_long must be cut or drop, got {self.too_long!r}")

    def check(self, context: Context) -> dict[str, Any]:
        """What would be trained, and one conversation with its trained text marked."""
        found, held, drops = self._sequences(context)
        sizes = sum(len(each.ids) - 1 for each in found)
        trained = sum(int(each.trained.sum()) for each in found)
        return {
            "conversations": len(found),
            "held_out": len(held),
            "tokens": sizes,
            "trained_tokens": trained,
            "dropped": dict(drops),
            "steps": self._source(found).steps,
            "first": context.chat.shown(found[0]),
        }

    def run(self, context: Context) -> dict[str, Any]:
        """Train, or go on, or return what is there. Raises JacorpusError."""
        key = key_of(self, context, context.paths(self.data))
        done = finished(context, key)
        if done is not None:
            return done
        found, held, drops = self._sequences(context)
        source = self._source(found)
        with settled(context):
            module = Supervised(trainable(context, self))
            before = _loss(module, held, context)
            loop = train(
                *(context, self, module, source, Supervised.names),
                micro_rows=max(1, context.micro_tokens(self) // self.seq_len),
                evaluate=lambda step: _evaluated(module, held, context),
            )
            result = {
                "use": "sft",
                "conversations": len(found),
                "steps": loop.step,
                "dropped": dict(drops),
                "held_out": {"conversations": len(held), "loss_before": before, "loss": _loss(module, held, context)},
            }
            return finish(context, module.model, result, self)

    def _source(self, found: Sequence[Encoded]) -> Packed:
        return Packed(found, self.seq_len, self.rows, self.epochs, self.seed, self.steps)

    def _sequences(self, context: Context) -> tuple[list[Encoded], list[Encoded], Counter[str]]:
        """(to train on, held out, reasons of what was dropped)."""
        drops: Counter[str] = Counter()
        paths = context.paths(self.data)
        found: list[Encoded] = []
        for each in context.chat.encode(list(read_conversations(paths, drops))):
            if len(each.ids) - 1 > self.seq_len:
                if self.too_long == "drop":
                    drops["longer than seq_len"] += 1
                    continue
                each = replace(each, ids=each.ids[: self.seq_len + 1], trained=each.trained[: self.seq_len + 1])
            if each.trained.any():
                found.append(each)
            else:
                drops["no trained token within seq_len"] += 1
        if not found:
            why = "; ".join(f"{count:,} {reason}" for reason, count in drops.items()) or "the files are empty"
            raise InputError(
                f"sft: no conversation is left to train on in {', '.join(map(str, paths))} ({why}); "
                f"give conversations with assistant turns, or raise seq_len"
            )
        held = [each for each in found if self.valid_every and bucket(each) % self.valid_every == 0]
        if len(held) < len(found):
            names = set(map(id, held))
            found = [each for each in found if id(each) not in names]
        return found, held[:EVALUATED], drops


def bucket(sequence: Encoded) -> int:
    """A number by content alone: which file or line a conversation came from changes nothing."""
    return int.from_bytes(hashlib.sha256(sequence.ids.tobytes()).digest()[:8], "little")


@torch.no_grad()
def _loss(module: Supervised, held: Sequence[Encoded], context: Context) -> float | None:
    """Mean loss a trained token of held-out conversations; None without any."""
    nats, weight = 0.0, 0.0
    for first in range(0, len(held), 8):
        sums = module(padded(held[first : first + 8]).to(context.world.device)).by_domain[:, 0].tolist()
        nats, weight = nats + sums[0], weight + sums[1]
    return nats / weight if weight else None


def _evaluated(module: Supervised, held: Sequence[Encoded], context: Context) -> list[Row]:
    loss = _loss(module, held, context)
    bits = None if loss is None else loss / math.log(2)
    return [] if loss is None else [{"domain": None, "bits_per_byte": None, "loss": loss, "bits_per_token": bits}]
