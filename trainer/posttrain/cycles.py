"""The loop's source of a stage that draws its own data: a batch is a part of a cycle, the first of a cycle makes it.

Letters: B answers, T tokens of a row, F facts.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from jacorpus.errors import InputError
from trainer.batch import TokenBatch
from trainer.order import named_key
from trainer.posttrain.conversations import Prompt
from trainer.posttrain.reinforce import FACTS, Policy, Reinforce
from trainer.posttrain.rewarding import Answer
from trainer.posttrain.rollout import Draw, Rollouts, answer_texts, draw, trainer_logps
from trainer.posttrain.sequences import padded, shuffled
from trainer.posttrain.stage import Context
from trainer.rewards import Answered, Reward, score

_SHARE = float(1 << 64)


class Cycles:
    """Cycles of a stage over its prompts, each prompt once an epoch, every epoch in another order."""

    def __init__(
        self,
        stage: Reinforce,
        context: Context,
        module: Policy,
        prompts: Sequence[tuple[Prompt, list[int]]],
        rewards: dict[str, tuple[float, Reward]],
    ) -> None:
        self.stage, self.context, self.module = stage, context, module
        self.prompts, self.rewards = prompts, rewards
        self.rollouts = Rollouts(context.folder / "rollouts")
        ends = context.chat.stop_id, context.opened.eos_id
        self.stop_ids = tuple(sorted({end for end in ends if end is not None}))
        self.facts = (*FACTS, *(f"reward_{name}" for name in rewards if len(rewards) > 1))
        self._cycle = -1
        self._rows: list[dict[str, Any]] = []

    @property
    def steps(self) -> int:
        return self.stage.cycles * self.stage.updates

    def tokens(self, step: int) -> int:
        """Answers learned from: lengths are not known ahead."""
        return step * self.stage.rows * self.stage.draws // self.stage.minibatches

    def reward(self, cycle: int) -> float:
        """Mean reward of a cycle's answers."""
        return float(np.mean([row["reward"] for row in self.rollouts.read(cycle)]))

    def batch(self, step: int) -> TokenBatch:
        """See trainer.loop.Source. The first of a cycle moves the reference and, unless it was drawn before, draws."""
        stage = self.stage
        cycle, update = divmod(step, stage.updates)
        if update == 0 and cycle:
            self.module.reference.move(self.module.model)
        if not self.rollouts.has(cycle):
            if update:
                where = self.rollouts.path(cycle)
                raise InputError(
                    f"{where} is gone, and half of its updates are done; put it back, or begin the stage anew"
                )
            self.rollouts.write(cycle, self._made(cycle))
        if cycle != self._cycle:
            self._cycle, self._rows = cycle, self.rollouts.read(cycle)
        if update == 0:
            self.module.begin(self._rows)
        epoch, part = divmod(update, stage.minibatches)
        order = shuffled(len(self._rows), named_key("minibatches", stage.seed, cycle), epoch)
        if stage.updates == 1:
            order = np.arange(len(self._rows))
        return self._batch([self._rows[i] for i in np.array_split(order, stage.minibatches)[part]])

    def _batch(self, rows: Sequence[dict[str, Any]]) -> TokenBatch:
        names = {"old_BT": "trainer_logp", "ref_BT": "ref_logp", "advantage_BT": "advantage"}
        lists = {name: [row[column] for row in rows] for name, column in names.items()}
        lists |= {f"{name}_BT": found for name, found in self.stage.extra(self.module, rows).items()}
        batch = padded([_row(row) for row in rows])
        shape = batch.tokens_BT.shape
        extra = {name: placed(shape, rows, found) for name, found in lists.items()}
        extra["weight_B"] = self.stage.weights((batch.weight_BT > 0).sum(1))
        return replace(batch, extra={**extra, "about_BF": self._about(rows)})

    def _about(self, rows: Sequence[dict[str, Any]]) -> torch.Tensor:
        """[B, F]: what the log says of answers."""
        drift = [np.abs(np.subtract(row["logp"], row["trainer_logp"])) for row in self._rows]
        largest = max(float(each.max(initial=0.0)) for each in drift)
        found = []
        for row in rows:
            apart = np.abs(np.subtract(row["logp"], row["trainer_logp"]))
            drawn = max(1, sum(row["mask"]))
            facts = [
                row["reward"],
                len(row["ids"]),
                row["end"] == "eos",
                not all(row["mask"]),
                apart.sum() / drawn,
                largest,
            ]
            parts = dict(row["parts"])
            found.append([*map(float, facts), *(parts[name] for name in self.rewards if len(self.rewards) > 1)])
        return torch.tensor(found, dtype=torch.float32)

    def _made(self, cycle: int) -> list[dict[str, Any]]:
        """A cycle's answers: drawn, rewarded, credited."""
        size, wanted = len(self.prompts), self.stage.rows
        epochs, places = np.divmod(np.arange(cycle * wanted, (cycle + 1) * wanted), size)
        orders = {epoch: shuffled(size, self.stage.seed, epoch) for epoch in set(epochs.tolist())}
        numbers = [int(orders[epoch][place]) for epoch, place in zip(epochs.tolist(), places.tolist(), strict=True)]
        self.module.eval()
        groups = self._groups(cycle, 0, numbers)
        groups = self.stage.refilled(groups, lambda turn, count: self._more(cycle, turn, count))
        rows = [{**row, "group": group} for group, found in enumerate(groups) for row in found]
        self._measure(rows)
        self.stage.credit(self.module, rows)
        self.module.train()
        return rows

    def _more(self, cycle: int, turn: int, count: int) -> list[list[dict[str, Any]]]:
        """Groups of other prompts, for those that taught nothing."""
        order = shuffled(len(self.prompts), named_key("refill", self.stage.seed, cycle), turn)
        return self._groups(cycle, turn, [int(i) for i in np.resize(order, count)])

    def _groups(self, cycle: int, turn: int, numbers: Sequence[int]) -> list[list[dict[str, Any]]]:
        """Answers to prompts by their numbers, ``draws`` to each, with rewards."""
        stage, chat = self.stage, self.context.chat
        tasks = [(place, number, n) for place, number in enumerate(numbers) for n in range(stage.draws)]
        keys = [f"{cycle} {turn} {place} {n}" for place, _, n in tasks]
        befores = [
            self._before(number, f"{cycle} {turn} {place}" if stage.by_group else key)
            for (place, number, _), key in zip(tasks, keys, strict=True)
        ]
        prompts = [self.prompts[number][1] + before for (_, number, _), before in zip(tasks, befores, strict=True)]
        drawn = draw(self.module.model, prompts, keys, stage.sampling(self.stop_ids), stage.sampler_rows)
        drawn = [_cut(each, stage.max_tokens - len(before)) for each, before in zip(drawn, befores, strict=True)]
        rows = []
        for (_, number, n), before, each in zip(tasks, befores, drawn, strict=True):
            prompt, ids = self.prompts[number]
            row = {"cycle": cycle, "step": cycle * stage.updates, "prompt_id": str(prompt.id), "draw": n}
            row |= {"prompt": chat.text(prompt.turns, generation=True), "prompt_ids": ids}
            row |= {"ids": [*before, *each.ids.tolist()], "end": "eos" if each.ended else "length", "number": number}
            row |= {"mask": [False] * len(before) + [True] * len(each.ids)}
            rows.append(row | {"logp": [0.0] * len(before) + each.logp.tolist()})
        self._reward(rows)
        return [rows[first : first + stage.draws] for first in range(0, len(rows), stage.draws)]

    def _before(self, number: int, key: str) -> list[int]:
        """The part of the reference's ids that an answer begins with; mostly none."""
        stage = self.stage
        if not stage.restart:
            return []
        prompt, _ = self.prompts[number]
        ids = list(self.context.chat.completion(prompt.reference, stop=False))[: stage.max_tokens]
        if not ids or named_key("restart", stage.seed, key) / _SHARE >= stage.restart:
            return []
        return ids[: named_key("restart at", stage.seed, key) % len(ids)]

    def _reward(self, rows: list[dict[str, Any]]) -> None:
        """Put text, reward and its parts into answers."""
        said = [row["ids"][: len(row["ids"]) - (row["end"] == "eos")] for row in rows]
        chat = self.context.chat
        texts = answer_texts(chat.tokenizer, [row["prompt_ids"] for row in rows], said)
        answers = []
        for row, text in zip(rows, texts, strict=True):
            prompt, _ = self.prompts[row.pop("number")]
            meta = {**prompt.meta, "id": prompt.id, "tokens": len(row["ids"])}
            answers.append(Answered(tuple(prompt.turns), text, prompt.reference, meta, row["end"] == "eos"))
        total, parts = score(self.rewards, answers)
        for place, row in enumerate(rows):
            row |= {"text": texts[place], "reward": total[place]}
            row["parts"] = [(name, found[place]) for name, found in parts.items()]

    @torch.no_grad()
    def _measure(self, rows: list[dict[str, Any]]) -> None:
        """Put log-probs of policy and reference, and the critic's values, into answers."""
        module, stage = self.module, self.stage
        for row in rows:
            row |= {"ref_logp": [], "value": []}
        found = self._scored(rows, lambda batch: trainer_logps(module.model, batch, module.sampling))
        for row, numbers in zip(rows, found, strict=True):
            row["trainer_logp"] = numbers
        if stage.refers:
            with module.reference.inside(module.model):
                found = self._scored(rows, lambda batch: trainer_logps(module.model, batch, module.sampling))
            for row, numbers in zip(rows, found, strict=True):
                row["ref_logp"] = numbers
        if hasattr(module, "values"):
            for row, numbers in zip(rows, self._scored(rows, module.values), strict=True):
                row["value"] = numbers

    def _scored(self, rows: Sequence[dict[str, Any]], measure: Any) -> list[list[float]]:
        """Numbers of each row's answer tokens, 0 off the mask, by passes over micro-batches."""
        device = self.context.world.device
        order = sorted(range(len(rows)), key=lambda i: -len(rows[i]["prompt_ids"]) - len(rows[i]["ids"]))
        found: dict[int, list[float]] = {}
        while order:
            longest = len(rows[order[0]]["prompt_ids"]) + len(rows[order[0]]["ids"])
            count = max(1, self.context.micro_tokens(self.stage) // longest)
            piece, order = order[:count], order[count:]
            batch = padded([_row(rows[i]) for i in piece]).to(device)
            numbers_BT = torch.where(batch.weight_BT > 0, measure(batch), 0).float().cpu()
            for i, numbers in zip(piece, numbers_BT, strict=True):
                first = len(rows[i]["prompt_ids"]) - 1
                found[i] = numbers[first : first + len(rows[i]["ids"])].tolist()
        return [found[i] for i in range(len(rows))]


def _row(row: dict[str, Any]) -> Answer:
    ids = np.array([*row["prompt_ids"], *row["ids"]], np.int64)
    return Answer(ids, np.array([False] * len(row["prompt_ids"]) + row["mask"]))


def placed(shape: Sequence[int], rows: Sequence[dict[str, Any]], found: Sequence[Sequence[float]]) -> torch.Tensor:
    """float32 [B, T]: numbers of answer tokens at the places whose targets those tokens are. None for a row: zeros."""
    numbers_BT = torch.zeros(*shape)
    for place, (row, numbers) in enumerate(zip(rows, found, strict=True)):
        first = len(row["prompt_ids"]) - 1
        numbers_BT[place, first : first + len(numbers)] = torch.tensor(numbers)
    return numbers_BT


def _cut(drawn: Draw, most: int) -> Draw:
    """An answer that began with a part of the reference is no longer than others."""
    return drawn if len(drawn.ids) <= most else Draw(drawn.ids[:most], drawn.logp[:most], False)
