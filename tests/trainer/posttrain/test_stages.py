"""Stages that train on data: what they leave, how they go on after a kill, what they say of bad input."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jacorpus.errors import InputError, JacorpusError, RecipeError
from tests.trainer.posttrain.toys import Silent, model_folder
from trainer.losses import LOSSES
from trainer.opened import open_model
from trainer.posttrain.online import Online
from trainer.posttrain.preference import Preference
from trainer.posttrain.rejection import Rejection
from trainer.posttrain.sft import Sft
from trainer.posttrain.stage import Context

LETTERS = "abcdefgh質問：答えはたす0123456789 。\n【】"
SMALL: dict[str, Any] = {"seq_len": 48, "rows": 4, "lr": 3e-3, "checkpoint_every": 3, "log_every": 1}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("start"), LETTERS, width=32)


def made(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return str(path)


@pytest.fixture
def chats(tmp_path: Path) -> str:
    said = [(f"{a}たす{b}は", str(a + b)) for a in range(8) for b in range(8)]
    turns = [[{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in said]
    return made(tmp_path / "chat.jsonl", [{"id": str(i), "messages": m} for i, m in enumerate(turns)])


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    rows = [{"prompt": f"{a}たす{b}は", "chosen": "abc", "rejected": "hgf"} for a in range(8) for b in range(8)]
    return made(tmp_path / "pairs.jsonl", rows)


@pytest.fixture
def prompts(tmp_path: Path) -> str:
    rows = [{"id": f"{a}{b}", "question": f"{a}たす{b}は", "answer": str(a + b)} for a in range(5) for b in range(5)]
    return made(tmp_path / "prompts.jsonl", rows)


@pytest.fixture
def reward(tmp_path: Path) -> dict[str, Any]:
    """A reward of the user's own file: the share of a."""
    lines = ["from dataclasses import dataclass", "@dataclass", "class Share:", "    def __call__(self, answers):"]
    lines.append("        return [x.text.count('a') / max(1, len(x.text)) for x in answers]")
    (tmp_path / "mine.py").write_text("\n".join(lines))
    return {"share": {"use": f"{tmp_path / 'mine.py'}:Share"}}


class Dies(Silent):
    """A watcher at which a run ends, as a kill would end it, when it hears of a step."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def update(self, row: dict[str, Any]) -> None:
        super().update(row)
        if row["step"] == self.step:
            raise KeyboardInterrupt


def context(start: Path, folder: Path, watcher: Silent | None = None, **more: Any) -> Context:
    return Context(start, folder, "plain", watcher or Silent(), cache=folder.parent / "cache", device="cpu", **more)


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_sft_learns_and_leaves_a_model_with_its_template(start: Path, tmp_path: Path, chats: str) -> None:
    stage = Sft(data=(chats,), epochs=12, valid_every=8, **SMALL)
    result = stage.run(context(start, tmp_path / "sft"))
    held = result["held_out"]
    assert held["conversations"] > 0
    assert held["loss"] < held["loss_before"] - 1
    about = json.loads((tmp_path / "sft/config.json").read_bytes())
    assert about["chat"]["stop_id"] == about["eos_id"]
    assert about["chat"]["template"]
    assert open_model(tmp_path / "sft").tokenizer is not None
    assert stage.run(context(start, tmp_path / "sft")) == result  # done: nothing is made again
    with pytest.raises(InputError, match="another lr than"):
        replace(stage, lr=1e-4).run(context(start, tmp_path / "sft"))


def test_sft_shows_what_it_would_train(start: Path, tmp_path: Path, chats: str) -> None:
    found = Sft(data=(chats,), **SMALL).check(context(start, tmp_path / "sft"))
    assert found["conversations"] + found["held_out"] == 64
    assert 0 < found["trained_tokens"] < found["tokens"]
    assert "【" in found["first"]


STAGES = ("sft", "preference", "tr-dpo", "kto", "online", "brain")


def stage_of(name: str, chats: str, pairs: str, prompts: str, reward: dict[str, Any]) -> Any:
    online = {"prompts": (prompts,), "rewards": reward, "rounds": 3, "prompts_per_round": 6, "steps": 2}
    online |= {"max_tokens": 5, **SMALL}
    return {
        "sft": lambda: Sft(data=(chats,), epochs=3, **SMALL),
        "preference": lambda: Preference(data=(pairs,), steps=8, **SMALL),
        "tr-dpo": lambda: Preference(data=(pairs,), steps=8, sync_every=2, sync_alpha=0.6, **SMALL),
        "kto": lambda: Preference(data=(pairs,), loss="kto", steps=6, **SMALL),
        "online": lambda: Online(**online),
        "brain": lambda: Online(loss="brain", reference="base", **online),
    }[name]()


@pytest.mark.parametrize("name", STAGES)
def test_a_kill_changes_no_bit(
    name: str, start: Path, tmp_path: Path, chats: str, pairs: str, prompts: str, reward: dict[str, Any]
) -> None:
    stage = stage_of(name, chats, pairs, prompts, reward)
    whole = stage.run(context(start, tmp_path / "whole"))
    for step in (1, 4):
        with pytest.raises(KeyboardInterrupt):
            stage.run(context(start, tmp_path / "cut", Dies(step)))
    assert stage.run(context(start, tmp_path / "cut")) == whole
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert weights(tmp_path / "whole") != weights(start)


@pytest.mark.parametrize("loss", [name for name in LOSSES if name != "brain"])
def test_every_loss_prefers_the_chosen(loss: str, start: Path, tmp_path: Path, pairs: str) -> None:
    stage = Preference(data=(pairs,), loss=loss, epochs=3, valid_every=8, **SMALL)
    held = stage.run(context(start, tmp_path / "out"))["held_out"]
    assert held["after"]["loss"] < held["before"]["loss"]
    assert held["after"]["accuracy"] > 0.9


def test_dpo_starts_at_log_two(start: Path, tmp_path: Path, pairs: str) -> None:
    held = Preference(data=(pairs,), steps=1, valid_every=8, **SMALL).run(context(start, tmp_path / "out"))["held_out"]
    assert held["before"]["loss"] == pytest.approx(np.log(2), abs=1e-5)


def test_a_moving_reference_moves(start: Path, tmp_path: Path, pairs: str) -> None:
    """After a hard update the margin starts at 0 again; with a reference that stays, it does not."""
    losses = {}
    for every in (0, 4):
        watcher = Silent()
        stage = Preference(data=(pairs,), steps=8, sync_every=every, **{**SMALL, "warmup": 0.0, "schedule": "constant"})
        stage.run(context(start, tmp_path / str(every), watcher))
        losses[every] = [row["loss"] for row in watcher.rows]
    assert losses[4][4] == pytest.approx(np.log(2), abs=1e-4)
    assert losses[0][4] < 0.6
    assert losses[0][:4] == losses[4][:4]


def test_online_raises_the_reward(start: Path, tmp_path: Path, prompts: str, reward: dict[str, Any]) -> None:
    settings = {**SMALL, "lr": 1e-2, "warmup": 0.0, "schedule": "constant", "checkpoint_every": 100}
    settings |= {"prompts": (prompts,), "rewards": reward, "prompts_per_round": 24, "draws": 8, "steps": 8}
    settings |= {"max_tokens": 5, "rows": 8, "rounds": 4}
    result = Online(**settings, options={"beta": 0.1}).run(context(start, tmp_path / "dpo"))
    assert result["reward_by_round"][-1] > result["reward_by_round"][0] + 0.1
    result = Online(**settings, loss="brain", options={"beta": 0.2}).run(context(start, tmp_path / "brain"))
    assert result["reward_by_round"][-1] > result["reward_by_round"][0] + 0.1


def test_online_with_a_teacher_pairs_its_answer_too(
    start: Path, tmp_path: Path, prompts: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = {**SMALL, "prompts": (prompts,), "prompts_per_round": 6, "steps": 2, "max_tokens": 5, "rounds": 2}
    stage = Online(**settings, rewards={"exact": 1.0}, teacher=True, min_margin=0.5)
    watcher = Silent()
    stage.run(context(start, tmp_path / "dno", watcher))
    assert any(row["accuracy"] is not None and row["chosen_nll"] > 0 for row in watcher.rows)


def test_a_round_without_a_difference_changes_nothing(start: Path, tmp_path: Path, prompts: str) -> None:
    (tmp_path / "same.py").write_text(
        "class Same:\n    def __call__(self, answers):\n        return [1.0] * len(answers)\n"
    )
    rewards = {"same": {"use": f"{tmp_path / 'same.py'}:Same"}}
    settings = {**SMALL, "prompts": (prompts,), "rewards": rewards, "rounds": 1, "steps": 2, "max_tokens": 3}
    Online(**settings).run(context(start, tmp_path / "out"))
    same = open_model(tmp_path / "out").model.state_dict()
    assert all(torch.equal(same[name], each) for name, each in open_model(start).model.state_dict().items())


def test_rejection_keeps_the_best_and_goes_on_after_a_kill(
    start: Path, tmp_path: Path, prompts: str, reward: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.posttrain import rejection

    monkeypatch.setattr(rejection, "CHUNK", 8)
    stage = Rejection(prompts=(prompts,), rewards=reward, draws=6, max_tokens=6, seq_len=48)
    result = stage.run(context(start, tmp_path / "whole"))
    assert result["chosen_reward"] > result["mean_reward"]
    rows = [json.loads(line) for line in (tmp_path / "whole/chosen.jsonl").read_text("utf-8").splitlines()]
    assert len(rows) == result["chosen"] == 25
    assert rows[0]["messages"][-1]["role"] == "assistant"
    both = [json.loads(line) for line in (tmp_path / "whole/pairs.jsonl").read_text("utf-8").splitlines()]
    assert all(row["margin"] > 0 for row in both)
    drawn, calls = rejection.drawn, []

    def dies(*given: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return drawn(*given)

    monkeypatch.setattr(rejection, "drawn", dies)
    with pytest.raises(KeyboardInterrupt):
        stage.run(context(start, tmp_path / "cut"))
    assert stage.run(context(start, tmp_path / "cut")) == result
    assert len(calls) == 3 + 2  # two chunks were there
    for name in ("chosen.jsonl", "pairs.jsonl"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_reward_that_raises_loses_nothing(start: Path, tmp_path: Path, prompts: str) -> None:
    (tmp_path / "bad.py").write_text("class Bad:\n    def __call__(self, answers):\n        return 1 / 0\n")
    settings = {**SMALL, "prompts": (prompts,), "rounds": 1, "prompts_per_round": 4, "steps": 1, "max_tokens": 3}
    stage = Online(**settings, rewards={"bad": {"use": f"{tmp_path / 'bad.py'}:Bad"}})
    with pytest.raises(JacorpusError, match=r"reward bad raised ZeroDivisionError .* prompt"):
        stage.run(context(start, tmp_path / "out"))


@pytest.mark.parametrize("kind", ["sft", "preference", "rejection"])
def test_empty_data_is_one_sentence(kind: str, start: Path, tmp_path: Path, reward: dict[str, Any]) -> None:
    empty = made(tmp_path / "empty.jsonl", [])
    stages: dict[str, Any] = {
        "sft": Sft(data=(empty,), **SMALL),
        "preference": Preference(data=(empty,), **SMALL),
        "rejection": Rejection(prompts=(empty,), rewards=reward),
    }
    with pytest.raises(InputError, match="empty"):
        stages[kind].run(context(start, tmp_path / "out"))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Sft(lr=0), "lr must be over 0"),
        (lambda: Sft(too_long="x"), "too_long must be cut or drop"),
        (lambda: Preference(loss="dqo"), "no loss `dqo`.*dpo"),
        (lambda: Preference(loss="simpo", sync_every=3), "sync_every needs a loss with a reference"),
        (lambda: Preference(loss="brain"), 'use = "online"'),
        (lambda: Online(rewards={}), "rewards must name at least one"),
        (lambda: Rejection(rewards={"exact": 1.0}, rule="worst"), "rule best or statistical"),
    ],
)
def test_options_without_a_meaning_are_named(make: Any, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        make()
