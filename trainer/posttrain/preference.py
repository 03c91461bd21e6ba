"""Learning from preferences: DPO and its relatives over pairs of answers, the reference's log-probs from a cache.

A pair is two rows of a batch, chosen then rejected, for KTO a third: another pair's answer after this prompt. The loss
is a file of trainer.losses; this file knows none of them.

TR-DPO (arXiv 2404.09656): every ``sync_every`` steps the reference moves towards the policy, rho <- a theta + (1-a) rho
with a = ``sync_alpha``. A cycle's reference lies in OUT/reference/ until the next is made, and its log-probs are
computed for the cycle's pairs alone; one model is in memory.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from jacorpus.errors import InputError, RecipeError
from jacorpus.shards import storage_errors
from trainer.batch import TokenBatch
from trainer.log import Row
from trainer.losses import Pairs, load_loss
from trainer.model import Model
from trainer.objective import Sums
from trainer.opened import open_model, save_tensors
from trainer.posttrain.chat import Chat, Conversation, Encoded, Turn
from trainer.posttrain.conversations import Pair, read_pairs
from trainer.posttrain.logprobs import token_logps
from trainer.posttrain.refcache import reference_logps, swapped, weights_digest
from trainer.posttrain.sequences import padded, shuffled
from trainer.posttrain.sft import bucket
from trainer.posttrain.stage import Context, Training, finish, finished, key_of, settled, train, trainable

EVALUATED = 128
"""Held-out pairs that are scored, at most."""


class EncodedPair(NamedTuple):
    """rows: chosen, rejected, and for KTO the mismatched answer."""

    rows: tuple[Encoded, ...]


class Preferring(nn.Module):
    """A loss of pairs, plus ``nll`` times the cross-entropy of the chosen answer, a mean over its tokens.

    A batch's extra: reference_B, log-probs of the reference; weight_B, 1 / (rows of a pair).
    """

    names = ("loss", "accuracy", "margin", "chosen_reward", "rejected_reward", "chosen_nll")

    def __init__(self, model: Model, loss: Any, nll: float = 0.0) -> None:
        super().__init__()
        self.model, self.loss, self.nll = model, loss, nll
        self.rows = 3 if loss.needs_mismatched else 2

    def forward(self, batch: TokenBatch) -> Sums:
        logps_B, sizes_B = token_logps(self.model, batch).sum(1), (batch.weight_BT > 0).sum(1)
        columns = logps_B.view(-1, self.rows).unbind(1)
        references = batch.extra["reference_B"].to(logps_B.dtype).view(-1, self.rows).unbind(1)
        sizes = sizes_B.view(-1, self.rows).unbind(1)
        pairs = Pairs(*columns[:2], *references[:2], *sizes[:2], *columns[2:], *references[2:])
        loss_P, (good_P, bad_P) = self.loss(pairs), self.loss.rewards(pairs)
        nll_P = -columns[0] / sizes[0]
        weight_P = batch.extra["weight_B"].view(-1, self.rows).sum(1)
        total = ((loss_P + self.nll * nll_P) * weight_P).sum()
        facts = (loss_P, (good_P > bad_P).to(good_P.dtype), good_P - bad_P, good_P, bad_P, nll_P)
        sums = torch.stack([each.detach().sum() for each in facts])
        return Sums(total, total.new_zeros(()), torch.stack((sums, torch.full_like(sums, len(loss_P)))))


@dataclass
class PairSource:
    """Encoded pairs over epochs as the loop's source, ``rows`` pairs a step. references: float64 [pairs, rows of a
    pair]; ``before`` is called with a step's number ahead of its batch."""

    pairs: Sequence[EncodedPair]
    references: np.ndarray
    rows: int
    epochs: int
    seed: int
    most: int = 0
    before: Callable[[int], None] = lambda step: None
    order: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        self.order = np.concatenate([shuffled(len(self.pairs), self.seed, epoch) for epoch in range(self.epochs)])
        whole = len(self.order) // self.rows * self.rows or len(self.order)  # no step of fewer pairs
        self.order = self.order[: self.most * self.rows if self.most else whole][:whole]

    @property
    def steps(self) -> int:
        return -(-len(self.order) // self.rows)

    def numbers(self, step: int) -> np.ndarray:
        """The pairs of a step."""
        return self.order[step * self.rows : (step + 1) * self.rows]

    def batch(self, step: int) -> TokenBatch:
        """See trainer.loop.Source."""
        self.before(step)
        return pair_batch([self.pairs[i] for i in self.numbers(step)], self.references[self.numbers(step)])

    def tokens(self, step: int) -> int:
        """Pairs seen, in rows: lengths are not known ahead."""
        return min(step * self.rows, len(self.order)) * len(self.pairs[0].rows)


def pair_batch(pairs: Sequence[EncodedPair], references: np.ndarray) -> TokenBatch:
    """Pairs one below another. references: [pairs, rows of a pair]."""
    rows = [row for pair in pairs for row in pair.rows]
    weight = torch.full((len(rows),), 1 / len(pairs[0].rows))
    return padded(
        rows, {"reference_B": torch.from_numpy(references.reshape(-1).astype(np.float32)), "weight_B": weight}
    )


@dataclass(frozen=True, kw_only=True)
class Preference(Training):
    """data: files of pairs. loss: dpo, ipo, cdpo, robust, kto, orpo, simpo or hdpo; options: the loss's own, as beta
    and alpha. nll: weight of the chosen answer's cross-entropy. epochs; steps: at most so many updates (0: no bound).
    rows: pairs of a step. sync_every, sync_alpha: TR-DPO (0: the reference stays). valid_every: one of so many pairs is
    held out; 0: none."""

    data: tuple[str, ...] = ()
    loss: str = "dpo"
    options: dict[str, Any] = field(default_factory=dict)
    nll: float = 0.0
    epochs: int = 1
    steps: int = 0
    sync_every: int = 0
    sync_alpha: float = 1.0
    valid_every: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        loss = load_loss(self.loss, self.options)
        if self.loss == "brain":
            raise RecipeError('preference: loss "brain" learns from scored draws; write use = "online" for it')
        if loss.needs_mismatched and self.rows < 2:
            raise RecipeError(f"preference: the loss {self.loss} compares pairs of a step; rows must be 2 or more")
        if self.epochs < 1 or min(self.steps, self.sync_every, self.valid_every, self.nll) < 0:
            raise RecipeError("preference: epochs must be 1 or more; steps, sync_every, valid_every and nll 0 or more")
        if self.sync_every and not (loss.needs_reference and 0 < self.sync_alpha <= 1):
            raise RecipeError("preference: sync_every needs a loss with a reference, and sync_alpha above 0, at most 1")

    def check(self, context: Context) -> dict[str, Any]:
        """What would be trained, and one pair with its trained text marked."""
        found, held, drops = self._pairs(context)
        source = PairSource(found, np.zeros((len(found), 1)), self.rows, self.epochs, self.seed, self.steps)
        shown = [context.chat.shown(row) for row in found[0].rows[:2]]
        facts = {"pairs": len(found), "held_out": len(held), "dropped": dict(drops), "steps": source.steps}
        return {**facts, "first": "\n".join(shown)}

    def run(self, context: Context) -> dict[str, Any]:
        """Train, or go on, or return what is there. Raises JacorpusError."""
        key = key_of(self, context, context.paths(self.data))
        done = finished(context, key)
        if done is not None:
            return done
        found, held, drops = self._pairs(context)
        with settled(context):
            loss = load_loss(self.loss, self.options)
            model = trainable(context, self)
            references, of_held = self._references(context, model, found, held)
            source = PairSource(found, references, self.rows, self.epochs, self.seed, self.steps)
            if self.sync_every:
                source.before = Moving(self, context, model, source).step
            module = Preferring(model, loss, self.nll)
            before = _measured(module, held, of_held, context)
            loop = train(
                *(context, self, module, source, Preferring.names),
                micro_rows=self._micro_pairs(context, module.rows) * module.rows,
                evaluate=lambda step: _rows(_measured(module, held, of_held, context)),
                ahead=not self.sync_every,
            )
            result = {
                "use": "preference",
                "loss": self.loss,
                "pairs": len(found),
                "steps": loop.step,
                "dropped": dict(drops),
                "held_out": {"pairs": len(held), "before": before, "after": _measured(module, held, of_held, context)},
            }
            return finish(context, model, result, self)

    def _micro_pairs(self, context: Context, rows: int) -> int:
        """Pairs of a forward pass; KTO compares those of one pass."""
        fit = max(1, context.micro_tokens(self) // (self.seq_len * rows))
        return max(2, fit) if rows == 3 else fit

    def _references(
        self, context: Context, model: Model, found: Sequence[EncodedPair], held: Sequence[EncodedPair]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of all rows of training and held-out pairs, under the weights the stage starts from."""
        loss = load_loss(self.loss, self.options)
        each = len(found[0].rows)
        if not loss.needs_reference:
            return np.zeros((len(found), each)), np.zeros((len(held), each))
        rows = [row for pair in [*found, *held] for row in pair.rows]
        logps = logps_of_start(context, self, model, rows).reshape(-1, each)
        return logps[: len(found)], logps[len(found) :]

    def _pairs(self, context: Context) -> tuple[list[EncodedPair], list[EncodedPair], Counter[str]]:
        """(to train on, held out, reasons of what was dropped)."""
        drops: Counter[str] = Counter()
        paths = context.paths(self.data)
        pairs = list(read_pairs(paths, drops))
        found = encoded_pairs(
            context.chat, pairs, self.seq_len, load_loss(self.loss, self.options).needs_mismatched, drops
        )
        if not found:
            why = "; ".join(f"{count:,} {reason}" for reason, count in drops.items()) or "the files are empty"
            raise InputError(
                f"preference: no pair is left to train on in {', '.join(map(str, paths))} ({why}); give rows with "
                f"prompt, chosen and rejected, or raise seq_len"
            )
        held = [each for each in found if self.valid_every and bucket(each.rows[0]) % self.valid_every == 0]
        if len(held) < len(found):
            names = set(map(id, held))
            found = [each for each in found if id(each) not in names]
        return found, held[:EVALUATED], drops


def logps_of_start(context: Context, options: Training, model: Model, rows: Sequence[Encoded]) -> np.ndarray:
    """Reference log-probs of sequences, float64, under the weights the stage starts from, from the cache."""
    said = [0.0]

    def progress(done: int, total: int) -> None:
        if done / total >= said[0] + 0.2 or done == total:
            said[0] = done / total
            context.watcher.say(f"reference log-probs: {done:,} of {total:,} sequences")

    model.eval()
    found = reference_logps(model, rows, context.weights, context.cache, context.micro_tokens(options), progress)
    model.train()
    return found


def encoded_pairs(
    chat: Chat, pairs: Sequence[Pair], seq_len: int, mismatched: bool, drops: Counter[str]
) -> list[EncodedPair]:
    """Pairs as ids; only the answers are trained. Too long ones keep their start, if some of both answers is left."""
    answers = [pair.chosen if i % 2 == 0 else pair.rejected for i, pair in enumerate(pairs)]
    found: list[EncodedPair] = []
    for number, pair in enumerate(pairs):
        texts = [pair.chosen, pair.rejected]
        if mismatched:
            texts.append(answers[(number + 1) % len(pairs)])
        prompt = tuple(Turn(turn.role, turn.content, trained=False) for turn in pair.prompt)
        rows = chat.encode([Conversation((*prompt, Turn("assistant", text)), pair.id, pair.where) for text in texts])
        rows = [Encoded(row.ids[: seq_len + 1], row.trained[: seq_len + 1], row.id, row.where) for row in rows]
        if pair.chosen == pair.rejected:
            drops["chosen equals rejected"] += 1
        elif not all(row.trained.any() for row in rows):
            drops["no answer within seq_len"] += 1
        else:
            found.append(EncodedPair(tuple(rows)))
    return found


class Moving:
    """TR-DPO's reference: moved every so many steps, its log-probs of the next cycle's pairs put into the source."""

    def __init__(self, stage: Preference, context: Context, model: Model, source: PairSource) -> None:
        self.stage, self.context, self.model, self.source = stage, context, model, source
        self.folder = context.folder / "reference"
        self.cycle = 0

    def step(self, step: int) -> None:
        """Called before each batch, in the thread that trains."""
        cycle = step // self.stage.sync_every
        if cycle == self.cycle:
            return
        path = self._path(cycle)
        if not path.is_file():  # else this cycle began in a process that was killed
            self._move(cycle)
        weights = _load(path)
        self._score(cycle, weights)
        self.cycle = cycle

    def _path(self, cycle: int) -> Path:
        return self.folder / f"cycle-{cycle:06d}.safetensors"

    def _move(self, cycle: int) -> None:
        before = _load(self._path(cycle - 1)) if cycle > 1 else start_weights(self.context)
        a, policy = self.stage.sync_alpha, plain_weights(self.model)
        moved = {name: torch.lerp(before[name].to(each), each, a).cpu() for name, each in policy.items()}
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            scratch = self._path(cycle).with_suffix(".tmp")
            save_tensors(moved, scratch, None)
            scratch.replace(self._path(cycle))
        if cycle > 2:
            self._path(cycle - 2).unlink(missing_ok=True)

    def _score(self, cycle: int, weights: dict[str, torch.Tensor]) -> None:
        every, pairs = self.stage.sync_every, self.source
        steps = range(cycle * every, min((cycle + 1) * every, pairs.steps))
        numbers = np.unique(np.concatenate([pairs.numbers(step) for step in steps]))
        rows = [row for number in numbers for row in pairs.pairs[number].rows]
        with as_plain(self.model, weights):
            found = reference_logps(
                *(self.model, rows, weights_digest(weights), self.context.cache, self.context.micro_tokens(self.stage))
            )
        pairs.references[numbers] = found.reshape(len(numbers), -1)


def start_weights(context: Context) -> dict[str, torch.Tensor]:
    """Of the model before the stage, on the host."""
    return dict(open_model(context.start).model.state_dict())


def plain_weights(model: Model) -> dict[str, torch.Tensor]:
    """The policy's weights by the names of a plain model, an adapter merged."""
    from trainer.lora import has_adapter, merged

    return dict(merged(model) if has_adapter(model) else model.state_dict())


def as_plain(model: Model, weights: Mapping[str, torch.Tensor]) -> Any:
    """The model with plain weights for the moment, an adapter left out: the average of an adapter's products is a dense
    change, and no adapter of the same rank."""
    from contextlib import ExitStack

    from trainer.lora import disabled, has_adapter

    stack = ExitStack()
    if has_adapter(model):
        stack.enter_context(disabled(model))
    stack.enter_context(swapped(model, weights))
    return stack


def _load(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


@torch.no_grad()
def _measured(
    module: Preferring, held: Sequence[EncodedPair], references: np.ndarray, context: Context
) -> dict[str, float]:
    """Means over held-out pairs, by name; empty without any."""
    total = torch.zeros(2, len(Preferring.names), dtype=torch.float64)
    if len(held) < 2:
        return {}
    for first in range(0, len(held) - 1, 8):
        last = first + 8 if first + 9 < len(held) else len(held)  # never one alone: KTO compares
        batch = pair_batch(held[first:last], references[first:last])
        total += module(batch.to(context.world.device)).by_domain.double().cpu()
        if last == len(held):
            break
    return dict(zip(Preferring.names, (total[0] / total[1]).tolist(), strict=True))


def _rows(found: dict[str, float]) -> list[Row]:
    return [{"domain": None, "bits_per_byte": None, **found}] if found else []
