"""Rejection sampling: draw several answers to each prompt, keep the best (arXiv 2307.09288; Llama 3, 2407.21783).

    OUT/chosen.jsonl   conversations of prompt and best answer, for ``sft``
    OUT/pairs.jsonl    best and worst answer, for ``preference``
    OUT/rollouts/      all answers with their rewards, a file for each ``chunk`` prompts

rule ``best``: the best of n, whose law is F(r)^n - F(r-)^n. rule ``statistical``: each draw is kept with probability
exp((r - r_max) / beta), r_max over the prompt's draws; what is kept then follows rho exp(r / beta) (arXiv 2309.06657).
The model stays as it is.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from jacorpus.errors import RecipeError
from trainer.posttrain.conversations import Prompt
from trainer.posttrain.online import pairs, scored_of
from trainer.posttrain.rewarding import Scored, drawn, prompts_of, rewards_of, rollout_rows
from trainer.posttrain.rollout import Rollouts
from trainer.posttrain.sequences import shuffled
from trainer.posttrain.stage import RESULT, Context, finished, key_of, settled, write_whole
from trainer.sampling import Sampling, uniform_numbers

CHUNK = 64
"""Prompts whose answers are written down at a time."""


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """prompts: files; at most ``limit`` of them (0: all), drawn by ``seed``. draws: answers of a prompt. rewards: as
    for online. min_reward: a prompt whose best answer has less gives nothing. min_margin: between best and worst of a
    pair. length: of a pair, how far its answers' lengths may differ, as a share of the shorter. rule, beta: see
    the module."""

    prompts: tuple[str, ...] = ()
    rewards: dict[str, Any] = field(default_factory=dict)
    draws: int = 8
    limit: int = 0
    max_tokens: int = 128
    temperature: float = 1.0
    top_p: float = 1.0
    seq_len: int = 2048
    min_reward: float | None = None
    min_margin: float = 0.0
    length: float | None = None
    rule: str = "best"
    beta: float = 0.5
    lang: str | None = None
    seed: int = 42
    leaves_model: ClassVar[bool] = False

    def __post_init__(self) -> None:
        rewards_of(self.rewards, "rejection")
        if self.draws < 1 or self.beta <= 0 or self.rule not in ("best", "statistical"):
            raise RecipeError("rejection: draws must be 1 or more, beta over 0, rule best or statistical")

    def check(self, context: Context) -> dict[str, Any]:
        """How many prompts there are."""
        found = self._prompts(context)
        return {"prompts": len(found), "answers": len(found) * self.draws, "first": found[0][0].turns[-1].content}

    def run(self, context: Context) -> dict[str, Any]:
        """Draw, score, write; or go on after the last whole chunk; or return what is there. Raises JacorpusError."""
        key = key_of(self, context, context.paths(self.prompts))
        done = finished(context, key)
        if done is not None:
            return done
        with settled(context):
            scored = self._scored(context)
            chosen = [each for group in scored for each in self._kept(group)]
            both = self._pairs(scored)
            rows = [{"messages": [*_turns(c.prompt), _said(c.text)], **_about(c)} for c in chosen]
            _write(context, "chosen.jsonl", rows)
            _write(context, "pairs.jsonl", both)
            result = {
                **{"use": "rejection", "prompts": len(scored), "answers": len(scored) * self.draws},
                **{"chosen": len(chosen), "pairs": len(both)},
                "mean_reward": _mean([each.reward for group in scored for each in group]),
                "chosen_reward": _mean([each.reward for each in chosen]),
            }
            write_whole(context.folder / RESULT, json.dumps(result, ensure_ascii=False, indent=1) + "\n")
            return result

    def _prompts(self, context: Context) -> list[tuple[Prompt, list[int]]]:
        found = prompts_of(context.paths(self.prompts), context.chat, self.seq_len - self.max_tokens, self.lang)
        order = shuffled(len(found), self.seed, 0)[: self.limit or None]
        return [found[int(i)] for i in order]

    def _scored(self, context: Context) -> list[list[Scored]]:
        """Groups of answers, one a prompt."""
        chat, prompts, rollouts = context.chat, self._prompts(context), Rollouts(context.folder / "rollouts")
        sampling = Sampling(
            self.max_tokens, self.temperature, top_p=self.top_p, seed=self.seed, stop_ids=(chat.stop_id,)
        )
        rewards, found = rewards_of(self.rewards, "rejection", context.folder), []
        for number, first in enumerate(range(0, len(prompts), CHUNK)):
            chunk = prompts[first : first + CHUNK]
            if not rollouts.has(number):
                asked = [each for each in chunk for _ in range(self.draws)]
                keys = [f"{first + i // self.draws} {p.id} {i % self.draws}" for i, (p, _) in enumerate(asked)]
                answers = drawn(context.opened.model, chat, asked, keys, sampling, rewards)
                rollouts.write(number, rollout_rows(answers, number, 0, self.draws))
                context.watcher.say(f"{min(first + CHUNK, len(prompts)):,} of {len(prompts):,} prompts answered")
            rows = rollouts.read(number)
            scored = [scored_of(row, chunk[i // self.draws][0]) for i, row in enumerate(rows)]
            found += [scored[i : i + self.draws] for i in range(0, len(scored), self.draws)]
        return found

    def _pairs(self, scored: Sequence[Sequence[Scored]]) -> list[dict[str, Any]]:
        """Rows of pairs.jsonl: best and worst; with ``length``, the furthest apart of those alike in length."""
        if self.length is not None:
            from trainer.posttrain.quoting import pairs as alike

            return alike(scored, [[each.reward for each in group] for group in scored], self.min_margin, self.length)
        return [
            {
                **{"messages": _turns(best.prompt), "chosen": best.text, "rejected": worst.text},
                **{"margin": best.reward - worst.reward, **_about(best)},
            }
            for best, worst in pairs(scored, self.min_margin)
        ]

    def _kept(self, group: Sequence[Scored]) -> list[Scored]:
        best = max(group, key=lambda each: each.reward)
        if self.min_reward is not None and best.reward < self.min_reward:
            return []
        if self.rule == "best":
            return [best]
        noise = uniform_numbers(self.seed, hash_of(group), len(group)).tolist()
        return [e for e, u in zip(group, noise, strict=True) if u < math.exp((e.reward - best.reward) / self.beta)]


def hash_of(group: Sequence[Scored]) -> int:
    """A number by the prompt, for its noise."""
    from trainer.order import named_key

    return named_key(group[0].prompt.id, group[0].prompt.where)


def _turns(prompt: Prompt) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.content} for turn in prompt.turns]


def _said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def _about(scored: Scored) -> dict[str, Any]:
    return {"id": scored.prompt.id, "reward": scored.reward}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _write(context: Context, name: str, rows: Sequence[dict[str, Any]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_whole(context.folder / name, text)
