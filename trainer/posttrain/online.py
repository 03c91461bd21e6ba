"""Learning from the policy's own draws, round by round: online and iterative DPO, DNO's practical form, BRAIn.

A round draws ``draws`` answers to each of its prompts from the policy of the round's start, scores them, and trains on
them for ``steps`` updates:

    a loss of pairs     best against worst draw, where their rewards differ by more than ``min_margin``
    loss = "brain"      all draws of a prompt together (arXiv 2402.02479)

``teacher`` adds the prompt's reference answer to each group (DNO, arXiv 2404.03715, in its practical form: own draws
and one teacher's answer, judged, large margins kept). ``reference``: what the loss compares with, the policy of the
round's ``start`` or the model the stage started from, ``base``. Of DNO itself, with exact expectations, see its check
in benchmarks/closed_forms.

A round's draws lie in OUT/rollouts/ before anything is learned from them, and are read again after a kill.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from jacorpus.errors import RecipeError
from trainer.batch import TokenBatch
from trainer.losses import load_loss
from trainer.losses.brain import Draws
from trainer.model import Model
from trainer.objective import Sums
from trainer.order import named_key
from trainer.posttrain.conversations import Prompt
from trainer.posttrain.logprobs import token_logps
from trainer.posttrain.preference import Preferring, as_plain, plain_weights, start_weights
from trainer.posttrain.refcache import reference_logps, weights_digest
from trainer.posttrain.rewarding import Answer, Scored, drawn, prompts_of, rewards_of, rollout_rows
from trainer.posttrain.rollout import Draw, Rollouts
from trainer.posttrain.sequences import padded, shuffled
from trainer.posttrain.stage import Context, Training, finish, finished, key_of, settled, train, trainable
from trainer.rewards import Answered, score
from trainer.sampling import Sampling


class Brained(nn.Module):
    """BRAIn over groups of ``rows`` draws. A batch's extra: reference_B, proposal_B, reward_B; weight_B, 1 / rows."""

    names = ("loss", "reward", "kl")

    def __init__(self, model: Model, loss: Any, rows: int) -> None:
        super().__init__()
        self.model, self.loss, self.rows = model, loss, rows

    def forward(self, batch: TokenBatch) -> Sums:
        policy_BN = token_logps(self.model, batch).sum(1).view(-1, self.rows)
        given = (batch.extra[name].to(policy_BN.dtype).view(-1, self.rows) for name in _GIVEN)
        draws = Draws(policy_BN, *given)
        loss_B = self.loss(draws)
        facts = (loss_B, draws.reward_BN.mean(1), (policy_BN - draws.ref_BN).mean(1))
        sums = torch.stack([each.detach().sum() for each in facts])
        total = (loss_B * batch.extra["weight_B"].view(-1, self.rows).sum(1)).sum()
        return Sums(total, total.new_zeros(()), torch.stack((sums, torch.full_like(sums, len(loss_B)))))


_GIVEN = ("reference_B", "proposal_B", "reward_B")


@dataclass(frozen=True, kw_only=True)
class Online(Training):
    """prompts: files. rewards: {name: weight or {weight, use, options}}. rounds; prompts_per_round; draws of a prompt;
    steps: updates of a round; rows: pairs (groups for brain) of a step. max_tokens, temperature, top_p: of draws."""

    prompts: tuple[str, ...] = ()
    rewards: dict[str, Any] = field(default_factory=dict)
    loss: str = "dpo"
    options: dict[str, Any] = field(default_factory=dict)
    rounds: int = 3
    prompts_per_round: int = 64
    draws: int = 4
    steps: int = 16
    max_tokens: int = 128
    temperature: float = 1.0
    top_p: float = 1.0
    min_margin: float = 0.0
    nll: float = 0.0
    teacher: bool = False
    reference: str = "start"
    lang: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        loss = load_loss(self.loss, self.options)
        rewards_of(self.rewards, "online")
        if min(self.rounds, self.prompts_per_round, self.steps) < 1 or self.draws + self.teacher < 2:
            raise RecipeError("online: rounds, prompts_per_round and steps must be 1 or more, answers of a prompt 2")
        if self.reference not in ("start", "base"):
            raise RecipeError(f"online: reference must be start (of the round) or base, got {self.reference!r}")
        if self.loss == "brain" and self.teacher:
            raise RecipeError("online: brain weighs draws by what drew them, and a teacher's answer has no such number")
        if getattr(loss, "needs_mismatched", False):
            raise RecipeError(f"online: the loss {self.loss} needs answers of other prompts; use it with preference")

    def check(self, context: Context) -> dict[str, Any]:
        """How many prompts there are."""
        found = prompts_of(context.paths(self.prompts), context.chat, self.seq_len - self.max_tokens, self.lang)
        return {"prompts": len(found), "steps": self.rounds * self.steps, "first": found[0][0].turns[-1].content}

    def run(self, context: Context) -> dict[str, Any]:
        """Train, or go on, or return what is there. Raises JacorpusError."""
        key = key_of(self, context, context.paths(self.prompts))
        done = finished(context, key)
        if done is not None:
            return done
        with settled(context):
            model = trainable(context, self)
            source = Rounds(self, context, model)
            loss = load_loss(self.loss, self.options)
            brain = self.loss == "brain"
            module = Brained(model, loss, self.draws) if brain else Preferring(model, loss, self.nll)
            each = self.draws if brain else 2
            micro = max(1, context.micro_tokens(self) // (self.seq_len * each)) * each
            loop = train(*(context, self, module, source, module.names), micro_rows=micro, ahead=False)
            means = [source.mean_reward(number) for number in range(self.rounds)]
            result = {"use": "online", "loss": self.loss, "steps": loop.step, "reward_by_round": means}
            return finish(context, model, result, self)


class Rounds:
    """The loop's source: a round's draws, then batches of them."""

    def __init__(self, stage: Online, context: Context, model: Model) -> None:
        self.stage, self.context, self.model = stage, context, model
        self.prompts = prompts_of(
            context.paths(stage.prompts), context.chat, stage.seq_len - stage.max_tokens, stage.lang
        )
        self.rollouts = Rollouts(context.folder / "rollouts")
        self.rewards = rewards_of(stage.rewards, "online", context.folder)
        self.round = -1
        self.groups: list[list[Scored]] = []
        self.references: list[np.ndarray] = []

    @property
    def steps(self) -> int:
        return self.stage.rounds * self.stage.steps

    def tokens(self, step: int) -> int:
        """Groups seen: lengths are not known ahead."""
        return step * self.stage.rows

    def batch(self, step: int) -> TokenBatch:
        """See trainer.loop.Source; draws where a round begins."""
        number = step // self.stage.steps
        if number != self.round:
            self._begin(number, step)
        order = shuffled(max(1, len(self.groups)), self.stage.seed, step - step % self.stage.steps)
        first = step % self.stage.steps * self.stage.rows
        chosen = [int(order[i % len(order)]) for i in range(first, first + self.stage.rows)]
        if not self.groups:
            return self._nothing()
        rows = [(each, ref) for g in chosen for each, ref in zip(self.groups[g], self.references[g], strict=True)]
        size = len(self.groups[0])
        extra = {
            "reference_B": torch.tensor([ref for _, ref in rows], dtype=torch.float32),
            "weight_B": torch.full((len(rows),), 1 / size),
        }
        if self.stage.loss == "brain":
            extra["proposal_B"] = torch.tensor([float(each.draw.logp.sum()) for each, _ in rows])
            extra["reward_B"] = torch.tensor([each.reward for each, _ in rows], dtype=torch.float32)
        return padded([each.sequence() for each, _ in rows], extra)

    def mean_reward(self, number: int) -> float:
        """Of the policy's own draws of a round."""
        rewards = [row["reward"] for row in self.rollouts.read(number) if row["mask"] and any(row["mask"])]
        return float(np.mean(rewards))

    def _nothing(self) -> TokenBatch:
        """A batch without weight: in this round no two answers to one prompt differ in reward."""
        none = Answer(np.zeros(2, np.int64), np.ones(2, bool))
        size = self.stage.draws if self.stage.loss == "brain" else 2
        zeros = torch.zeros(size)
        return padded([none] * size, dict.fromkeys((*_GIVEN, "weight_B"), zeros))

    def _begin(self, number: int, step: int) -> None:
        stage = self.stage
        chosen = self._chosen(number)
        if not self.rollouts.has(number):
            self.rollouts.write(number, self._draw(number, step, chosen))
        size = stage.draws + stage.teacher
        scored = [scored_of(row, chosen[i // size][0]) for i, row in enumerate(self.rollouts.read(number))]
        groups = [scored[i : i + size] for i in range(0, len(scored), size)]
        self.groups = groups if stage.loss == "brain" else pairs(groups, stage.min_margin)
        if not self.groups:
            self.context.watcher.say(
                f"round {number}: no prompt has answers of different reward, so nothing is learned in it; raise "
                f"draws or temperature, or give easier prompts"
            )
        self._refer(number)
        self.round = number

    def _chosen(self, number: int) -> list[tuple[Prompt, list[int]]]:
        """The round's prompts: on through the shuffled list, from epoch to epoch."""
        size, want = len(self.prompts), self.stage.prompts_per_round
        places = range(number * want, (number + 1) * want)
        return [self.prompts[int(shuffled(size, self.stage.seed, place // size)[place % size])] for place in places]

    def _draw(self, number: int, step: int, chosen: Sequence[tuple[Prompt, list[int]]]) -> list[dict[str, Any]]:
        stage, chat = self.stage, self.context.chat
        seed = named_key("online", stage.seed, number) >> 1
        sampling = Sampling(stage.max_tokens, stage.temperature, top_p=stage.top_p, seed=seed, stop_ids=(chat.stop_id,))
        asked = [each for each in chosen for _ in range(stage.draws)]
        keys = [f"{i // stage.draws} {prompt.id} {i % stage.draws}" for i, (prompt, _) in enumerate(asked)]
        rows = rollout_rows(drawn(self.model, chat, asked, keys, sampling, self.rewards), number, step, stage.draws)
        if not stage.teacher:
            return rows
        taught = self._taught(number, step, chosen)
        return [row for i in range(len(chosen)) for row in (*rows[i * stage.draws : (i + 1) * stage.draws], taught[i])]

    def _taught(self, number: int, step: int, chosen: Sequence[tuple[Prompt, list[int]]]) -> list[dict[str, Any]]:
        """The prompts' own reference answers, judged as the draws are."""
        chat = self.context.chat
        answers = [Answered(p.turns, p.reference, p.reference, {**p.meta, "id": p.id}) for p, _ in chosen]
        totals, parts = score(self.rewards, answers)
        scored = []
        for i, (prompt, ids) in enumerate(chosen):
            found = np.array(chat.completion(prompt.reference), np.int64)
            draw = Draw(found, np.zeros(len(found), np.float32), True)
            of = {name: values[i] for name, values in parts.items()}
            scored.append(Scored(prompt, ids, draw, prompt.reference, totals[i], of))
        rows = rollout_rows(scored, number, step, 1)
        return [{**row, "group": i, "draw": -1, "mask": [False] * len(row["ids"])} for i, row in enumerate(rows)]

    def _refer(self, number: int) -> None:
        """Reference log-probs of the round's groups; after a kill within a round they come from the cache."""
        stage, context = self.stage, self.context
        rows = [each.sequence() for group in self.groups for each in group]
        if not load_loss(stage.loss, stage.options).needs_reference or not rows:
            self.references = [np.zeros(len(group)) for group in self.groups]
            return
        weights = self._reference_weights(number)
        with as_plain(self.model, weights):
            found = reference_logps(
                *(self.model, rows, weights_digest(weights), context.cache, context.micro_tokens(stage))
            )
        cuts = np.cumsum([len(group) for group in self.groups])[:-1]
        self.references = np.split(found, cuts)

    def _reference_weights(self, number: int) -> Mapping[str, torch.Tensor]:
        """Of the model before the stage, or of the round's start, kept in a file until the next round."""
        from safetensors.torch import load_file

        from trainer.opened import save_tensors

        if self.stage.reference == "base" or number == 0:
            return start_weights(self.context)
        path = self.context.folder / "reference" / f"round-{number:06d}.safetensors"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch = path.with_suffix(".tmp")
            save_tensors(
                {n: t.detach().cpu().contiguous() for n, t in plain_weights(self.model).items()}, scratch, None
            )
            scratch.replace(path)
            path.with_name(f"round-{number - 2:06d}.safetensors").unlink(missing_ok=True)
        return load_file(path)


def pairs(groups: Sequence[Sequence[Scored]], min_margin: float) -> list[list[Scored]]:
    """Best and worst of each group, the first of equals, where their rewards differ by more than ``min_margin``."""
    found = []
    for group in groups:
        best, worst = max(group, key=lambda each: each.reward), min(group, key=lambda each: each.reward)
        if best.reward - worst.reward > min_margin:
            found.append([best, worst])
    return found


def scored_of(row: Mapping[str, Any], prompt: Prompt) -> Scored:
    draw = Draw(np.array(row["ids"], np.int64), np.array(row["logp"], np.float32), row["end"] == "eos")
    return Scored(prompt, row["prompt_ids"], draw, row["text"], row["reward"], dict(row["parts"]))
