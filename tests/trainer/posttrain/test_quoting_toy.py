"""A toy of Quote-tuning: answers of letters quote a corpus half the time; DPO on pairs that the module makes of the
model's own draws raises QUIP on prompts it never saw, at the same length, without harm to another task.

The chosen answers' cross-entropy is added, weight 0.5: by DPO alone a model this small forgets when to stop."""

import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tokenizer_lab.test_encode import shard_folder
from tests.trainer.posttrain.toys import context, model_folder, written
from trainer.opened import open_model
from trainer.posttrain.chat import Chat, Conversation, Turn
from trainer.posttrain.conversations import Prompt
from trainer.posttrain.preference import Preference
from trainer.posttrain.quoting import jsonl, pairs
from trainer.posttrain.rewarding import Scored, drawn
from trainer.posttrain.sequences import padded
from trainer.posttrain.sft import Sft, Supervised
from trainer.rewards import load_reward
from trainer.sampling import Sampling

LETTERS, DIGITS = "abcdef", "012345"
PROMPTS = [f"{a}{b}?" for a in LETTERS for b in LETTERS]
ASKED, HELD_OUT = PROMPTS[::2], PROMPTS[1::2]


def walk(letters: str, stays: float, generator: random.Random) -> str:
    """8 to 12 letters; the next of the circle with probability ``stays``, else any."""
    at, out = generator.randrange(6), []
    for _ in range(generator.randint(8, 12)):
        out.append(letters[at])
        at = (at + 1) % 6 if generator.random() < stays else generator.randrange(6)
    return "".join(out)


def chats(seed: int, copies: int) -> list[dict[str, Any]]:
    generator = random.Random(seed)
    said = [(p, walk(LETTERS, 0.5, generator)) for p in PROMPTS * copies]
    said += [("!", walk(DIGITS, 0.5, generator)) for _ in said]
    return [{"messages": [{"role": "user", "content": p}, {"role": "assistant", "content": a}]} for p, a in said]


@torch.no_grad()
def perplexity(folder: Path, base: Path) -> float:
    """Of new answers of the other task, a token."""
    opened = open_model(folder)
    chat = Chat.open(str(base / "toy.jinja"), opened.need_tokenizer(), opened.eos_id)
    fresh = [row["messages"] for row in chats(99, 4) if row["messages"][0]["content"] == "!"]
    encoded = chat.encode([Conversation(tuple(Turn(m["role"], m["content"]) for m in each)) for each in fresh])
    nats, weight = Supervised(opened.model)(padded(encoded)).by_domain[:, 0].tolist()
    return math.exp(nats / weight)


def draws(folder: Path, base: Path, asked: list[str], each: int, reward: Any, seed: int) -> list[list[Scored]]:
    opened = open_model(folder)
    chat = Chat.open(str(base / "toy.jinja"), opened.need_tokenizer(), opened.eos_id)
    prompts = [Prompt((Turn("user", text),), id=text) for text in asked]
    rows = [(prompt, chat.prompt(prompt.turns)) for prompt in prompts for _ in range(each)]
    sampling = Sampling(max_tokens=20, seed=seed, stop_ids=(chat.stop_id,))
    with torch.no_grad():
        keys = [f"{p.id} {i}" for i, (p, _) in enumerate(rows)]
        found = drawn(opened.model, chat, rows, keys, sampling, {"quote": (1.0, reward)})
    return [found[i : i + each] for i in range(0, len(found), each)]


def measured(folder: Path, base: Path, reward: Any) -> dict[str, float]:
    found = [each for group in draws(folder, base, HELD_OUT, 20, reward, 7) for each in group]
    means = {"quip": sum(each.reward for each in found), "length": sum(len(each.text) for each in found)}
    return {name: total / len(found) for name, total in means.items()} | {"perplexity": perplexity(folder, base)}


@pytest.mark.slow
def test_quote_tuning_raises_quip_on_held_out_prompts(tmp_path: Path) -> None:
    """Negative control: pairs with chosen and rejected turned round lower it."""
    corpus = shard_folder(tmp_path / "corpus", {"circle": [LETTERS * 4] * 3})
    reward = load_reward("quote", {"corpus": str(corpus), "n": 4})
    base = model_folder(tmp_path / "base", LETTERS + DIGITS + "?!")
    options: dict[str, Any] = {"rows": 16, "seq_len": 64, "lr": 3e-3, "valid_every": 0, "checkpoint_every": 10_000}
    data = written(tmp_path / "chats.jsonl", chats(0, 20))
    Sft(**options, data=(data,), epochs=40, steps=200, seed=0).run(context(base, tmp_path / "sft"))
    start = tmp_path / "sft"
    groups = draws(start, base, ASKED * 20, 10, reward, 1)
    rows = pairs(groups, [[each.reward for each in group] for group in groups], delta=0.3, length=0.0)
    found = {"before": measured(start, base, reward)}
    turned = [{**row, "chosen": row["rejected"], "rejected": row["chosen"]} for row in rows]
    for name, made in (("after", rows), ("control", turned)):
        path = tmp_path / f"{name}.jsonl"
        path.write_text(jsonl(made), "utf-8")
        tuned = Preference(**options | {"lr": 3e-4}, data=(str(path),), epochs=4, nll=0.5, seed=0)
        tuned.run(context(start, tmp_path / name))
        found[name] = measured(tmp_path / name, base, reward)
    before, after = found["before"], found["after"]
    assert len(rows) > 200
    assert after["quip"] >= 1.5 * before["quip"]
    assert abs(after["length"] / before["length"] - 1) <= 0.1
    assert abs(after["perplexity"] / before["perplexity"] - 1) <= 0.05
    assert found["control"]["quip"] < before["quip"]
