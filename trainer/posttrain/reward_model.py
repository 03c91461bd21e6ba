"""A reward model: a language model with one number at the end of an answer, learned from pairs (Bradley-Terry).

    OUT/reward/   the model as any folder of one, head.safetensors, chat.jinja; what the reward ``model`` opens

Loss -log sigmoid(r(chosen) - r(rejected)); the number is read where the model has seen the whole answer and its stop
token. Rewards are shifted so that their mean over training answers is 0: pairs say nothing of the level. The stage's
own folder holds no language model; the next stage starts from the one before.

Letters: B rows, T tokens of a row, D width.
"""

import copy
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from jacorpus.errors import InputError, RecipeError
from trainer.batch import TokenBatch
from trainer.model import Model
from trainer.objective import Sums
from trainer.opened import save_tensors
from trainer.posttrain.preference import EncodedPair, PairSource, Preference
from trainer.posttrain.rewarding import Answer
from trainer.posttrain.scalar_head import ScalarHead
from trainer.posttrain.sequences import Sequenced, padded
from trainer.posttrain.stage import (
    RESULT,
    Context,
    Training,
    finish,
    finished,
    key_of,
    settled,
    train,
    trainable,
    write_whole,
)

FOLDER, HEAD, CHAT = "reward", "head.safetensors", "chat.jinja"
MEASURED = 256
"""Training answers that the level is taken from, at most."""


class Judging(nn.Module):
    """The loss of pairs, chosen and rejected in turn as rows whose one trained place is the answer's last."""

    names = ("loss", "accuracy", "margin", "reward")

    def __init__(self, model: Model, spectral: bool, seed: int) -> None:
        super().__init__()
        self.model, self.head = model, ScalarHead(model.config.d_model, spectral, seed)

    def rewards(self, batch: TokenBatch) -> torch.Tensor:
        """[B]."""
        hidden_BTD = self.model(batch.tokens_BT, batch.documents())
        last_B = batch.weight_BT.argmax(1)
        found: torch.Tensor = self.head(hidden_BTD[torch.arange(len(last_B), device=last_B.device), last_B][:, None])
        return found[:, 0]

    def forward(self, batch: TokenBatch) -> Sums:
        reward_B = self.rewards(batch)
        margin = reward_B[0::2] - reward_B[1::2]
        loss = -F.logsigmoid(margin)
        facts = loss.detach(), (margin > 0).float(), margin.detach(), reward_B.detach().view(-1, 2).mean(1)
        sums = torch.stack([fact.float().sum() for fact in facts])
        return Sums(loss.sum(), loss.new_zeros(()), torch.stack((sums, torch.full_like(sums, len(loss)))))

    @torch.no_grad()
    def of(self, sequences: Sequence[Sequenced], rows: int = 8) -> list[float]:
        """Rewards of prompts with their answers (``whole``)."""
        device = self.model.embed.weight.device
        pieces = [sequences[first : first + rows] for first in range(0, len(sequences), rows)]
        self.eval()
        found = [reward for piece in pieces for reward in self.rewards(padded(piece).to(device)).tolist()]
        self.train()
        return found


def whole(ids: Sequence[int] | np.ndarray) -> Answer:
    """A sequence whose one trained place has seen all of ``ids``: an id that nobody reads follows."""
    longer = np.array([*ids, 0], np.int64)
    return Answer(longer, np.arange(len(longer)) == len(ids))


@dataclass(frozen=True, kw_only=True)
class RewardModel(Training):
    """data: files of pairs. rows: pairs of a step. epochs; steps: at most so many updates (0: no bound). spectral:
    bound the head's slope. valid_every: one of so many pairs is held out; 0: none."""

    data: tuple[str, ...] = ()
    epochs: int = 1
    steps: int = 0
    spectral: bool = False
    valid_every: int = 20
    leaves_model: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs < 1 or min(self.steps, self.valid_every) < 0:
            raise RecipeError("reward_model: epochs must be 1 or more, steps and valid_every 0 or more")

    def check(self, context: Context) -> dict[str, Any]:
        """What would be trained."""
        found, held, drops = self._pairs(context)
        return {
            "pairs": len(found),
            "held_out": len(held),
            "dropped": dict(drops),
            "steps": self._source(found).steps,
        }

    def run(self, context: Context) -> dict[str, Any]:
        """Train, or go on, or return what is there. Raises JacorpusError."""
        done = finished(context, key_of(self, context, context.paths(self.data)))
        if done is not None:
            return done
        found, held, drops = self._pairs(context)
        with settled(context):
            module = Judging(trainable(context, self), self.spectral, self.seed).to(context.world.device)
            source = self._source(found)
            micro_rows = 2 * max(1, context.micro_tokens(self) // (2 * self.seq_len))
            loop = train(context, self, module, source, Judging.names, micro_rows)
            with torch.no_grad():
                some = [row for pair in found[: MEASURED // 2] for row in pair.rows]
                module.head.line.bias.sub_(float(np.mean(module.of(some))))
            scored = np.array(module.of([row for pair in held for row in pair.rows])).reshape(-1, 2)
            share = float((scored[:, 0] > scored[:, 1]).mean()) if held else None
            about = {"pairs": len(found), "steps": loop.step, "dropped": dict(drops)}
            result = {"use": "reward_model", **about, "held_out": {"pairs": len(held), "accuracy": share}}
            self._save(context, module, result)
            write_whole(context.folder / RESULT, json.dumps(result, ensure_ascii=False, indent=1) + "\n")
            return result

    def _save(self, context: Context, module: Judging, result: dict[str, Any]) -> None:
        inner = copy.copy(context)  # with what it has opened
        inner.folder = context.folder / FOLDER
        inner.folder.mkdir(exist_ok=True)
        save_tensors(
            {name: tensor.cpu() for name, tensor in module.head.state_dict().items()}, inner.folder / HEAD, None
        )
        write_whole(inner.folder / CHAT, context.chat.source)
        finish(inner, module.model, result, self)

    def _source(self, found: Sequence[EncodedPair]) -> PairSource:
        return PairSource(found, np.zeros((len(found), 2)), self.rows, self.epochs, self.seed, self.steps)

    def _pairs(self, context: Context) -> tuple[list[EncodedPair], list[EncodedPair], Counter[str]]:
        """(to train on, held out, reasons of what was dropped), each answer with its end marked."""
        like = {name: getattr(self, name) for name in ("data", "rows", "valid_every", "seed")}
        found, held, drops = Preference(**like, loss="simpo", seq_len=self.seq_len - 1)._pairs(context)
        both = [[EncodedPair(tuple(_ended(row) for row in pair.rows)) for pair in part] for part in (found, held)]
        return both[0], both[1], drops


def _ended(row: Any) -> Any:
    """An encoded answer as ``whole`` has it."""
    sequence = whole(row.ids)
    return replace(row, ids=sequence.ids, trained=sequence.trained)


def open_reward_model(folder: Path, device: torch.device | str = "cpu") -> tuple[Judging, Any]:
    """(the model with its head, its chat) that the stage left; ``folder`` is the stage's or the one inside. Raises
    InputError where there is none."""
    from safetensors.torch import load_file

    from trainer.opened import open_model
    from trainer.posttrain.chat import Chat

    folder = folder / FOLDER if (folder / FOLDER).is_dir() else folder
    if not (folder / HEAD).is_file():
        raise InputError(f'{folder} holds no reward model ({HEAD}); train one with use = "reward_model"')
    opened = open_model(folder, device)
    head = load_file(folder / HEAD)
    module = Judging(opened.model, any("parametrizations" in name for name in head), 0)
    module.head.load_state_dict(head)
    module.to(device).eval()
    assert opened.eos_id is not None
    return module, Chat.open(str(folder / CHAT), opened.need_tokenizer(), opened.eos_id)
