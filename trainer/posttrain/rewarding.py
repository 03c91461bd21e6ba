"""Answers drawn to prompts and what rewards say of them, for stages that draw: prompts, draws, rewards by name."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jacorpus.errors import InputError, RecipeError
from trainer.model import Model
from trainer.posttrain.chat import Chat
from trainer.posttrain.conversations import Prompt, read_prompts
from trainer.posttrain.rollout import Draw, answer_texts, draw
from trainer.rewards import Answered, Reward, load_reward, score
from trainer.sampling import Sampling


@dataclass(frozen=True)
class Answer:
    """One sequence of a batch: ids int64 [S]; trained bool [S]."""

    ids: np.ndarray
    trained: np.ndarray


@dataclass(frozen=True)
class Scored:
    """One answer to one prompt. parts: what each reward gave."""

    prompt: Prompt
    prompt_ids: list[int]
    draw: Draw
    text: str
    reward: float
    parts: dict[str, float]

    def sequence(self) -> Answer:
        """Prompt and answer; the answer's ids are trained."""
        ids = np.concatenate((np.array(self.prompt_ids, np.int64), self.draw.ids))
        return Answer(ids, np.arange(len(ids)) >= len(self.prompt_ids))


def rewards_of(table: Mapping[str, Any], where: str, folder: Path = Path("out")) -> dict[str, tuple[float, Reward]]:
    """{name: {weight, use, ...options}} as weighted rewards; ``use`` is the name where it is left out, a plain number
    the weight alone. folder: a judge keeps its verdicts in ``judge`` there, unless it names a cache. Raises
    RecipeError."""
    if not isinstance(table, Mapping) or not table:
        raise RecipeError(f"{where}: rewards must name at least one, as rewards = {{ numeric = 1.0 }}")
    found: dict[str, tuple[float, Reward]] = {}
    for name, given in table.items():
        options = dict(given) if isinstance(given, Mapping) else {"weight": given}
        weight = options.pop("weight", 1.0)
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise RecipeError(f"{where}: the weight of reward {name} must be a number, got {weight!r}")
        use = options.pop("use", name)
        if use == "judge":
            options.setdefault("cache", str(folder / "judge"))
        found[name] = float(weight), load_reward(use, options)
    return found


def prompts_of(
    paths: Sequence[Path], chat: Chat, longest: int, lang: str | None = None
) -> list[tuple[Prompt, list[int]]]:
    """Prompts with their ids, of at most ``longest`` tokens. Raises InputError where none is left."""
    drops: Counter[str] = Counter()
    found = [(prompt, chat.prompt(prompt.turns)) for prompt in read_prompts(paths, drops, lang)]
    fit = [(prompt, ids) for prompt, ids in found if len(ids) <= longest]
    if not fit:
        told = "; ".join(f"{count:,} {reason}" for reason, count in drops.items())
        raise InputError(
            f"no prompt of at most {longest:,} tokens in {', '.join(map(str, paths))}"
            f"{f' ({told})' if told else ''}; give rows with a question or messages, or raise seq_len"
        )
    return fit


def drawn(
    model: Model,
    chat: Chat,
    prompts: Sequence[tuple[Prompt, list[int]]],
    keys: Sequence[str],
    sampling: Sampling,
    rewards: Mapping[str, tuple[float, Reward]],
) -> list[Scored]:
    """One scored answer a prompt; a prompt may stand there several times, under keys of their own."""
    model.eval()
    draws = draw(model, [ids for _, ids in prompts], keys, sampling)
    model.train()
    said = [(each.ids[:-1] if each.ended else each.ids).tolist() for each in draws]
    texts = answer_texts(chat.tokenizer, [ids for _, ids in prompts], said)
    answers = [
        Answered(p.turns, text, p.reference, {**p.meta, "id": p.id, "tokens": len(d.ids)}, d.ended)
        for (p, _), d, text in zip(prompts, draws, texts, strict=True)
    ]
    totals, parts = score(rewards, answers)
    return [
        Scored(p, ids, d, text, total, {name: values[i] for name, values in parts.items()})
        for i, ((p, ids), d, text, total) in enumerate(zip(prompts, draws, texts, totals, strict=True))
    ]


def rollout_rows(scored: Sequence[Scored], cycle: int, step: int, draws: int) -> list[dict[str, Any]]:
    """Rows of trainer.posttrain.rollout.SCHEMA; what policy gradients alone have is 0."""
    rows = []
    for number, each in enumerate(scored):
        zeros = [0.0] * len(each.draw.ids)
        logp = each.draw.logp.tolist()
        lists = {"value": zeros, "advantage": zeros, "token_reward": zeros, "ref_logp": zeros}
        rows.append(
            {
                **{"cycle": cycle, "step": step, "prompt_id": each.prompt.id, "group": number // draws},
                **{"draw": number % draws, "prompt": each.prompt.turns[-1].content, "text": each.text},
                **{"end": "eos" if each.draw.ended else "length", "prompt_ids": each.prompt_ids},
                **{"ids": each.draw.ids.tolist(), "mask": [True] * len(logp), "logp": logp, "trainer_logp": logp},
                **{**lists, "reward": each.reward, "parts": list(each.parts.items())},
            }
        )
    return rows
