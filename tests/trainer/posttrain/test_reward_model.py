"""A reward model finds a planted rule, and scores answers as a reward."""

import random
from pathlib import Path
from typing import Any

import pytest

from jacorpus.errors import InputError, JacorpusError
from tests.trainer.posttrain import toys
from trainer.posttrain.chat import Turn
from trainer.posttrain.grpo import Grpo
from trainer.posttrain.reward_model import RewardModel, open_reward_model
from trainer.posttrain.stage import folder_digest
from trainer.rewards import Answered, load_reward, score


def pairs(folder: Path, count: int = 600) -> str:
    """The answer with more of the letter a is the better one."""
    generator = random.Random(0)
    rows: list[dict[str, Any]] = []
    while len(rows) < count:
        texts = sorted(("".join(generator.choices("abcd", k=6)) for _ in range(2)), key=lambda text: -text.count("a"))
        if texts[0].count("a") > texts[1].count("a"):
            rows.append({"id": str(len(rows)), "prompt": "?", "chosen": texts[0], "rejected": texts[1]})
    return toys.written(folder / "pairs.jsonl", rows)


@pytest.mark.parametrize("spectral", [False, True])
def test_a_planted_rule_is_found(tmp_path: Path, spectral: bool) -> None:
    start = toys.model_folder(tmp_path / "base", "abcd?", width=32)
    options: dict[str, Any] = {"data": (pairs(tmp_path),), "lr": 3e-3, "rows": 16, "seq_len": 16, "epochs": 3}
    stage = RewardModel(**options, valid_every=4, spectral=spectral, micro_tokens=1024)
    result = stage.run(toys.context(start, tmp_path / "rm"))
    assert result["held_out"]["pairs"] > 100
    assert result["held_out"]["accuracy"] >= 0.93
    assert stage.run(toys.context(start, tmp_path / "rm")) == result
    assert not (tmp_path / "rm" / "model.safetensors").exists()

    reward = load_reward("model", {"folder": str(tmp_path / "rm")})
    answers = [Answered((Turn("user", "?"),), text) for text in ("aaaaaa", "aabbcc", "bbccdd")]
    total, _ = score({"model": (1.0, reward)}, answers)
    assert total[0] > total[1] > total[2]
    assert total == pytest.approx(list(reward(answers[:1])) + list(reward(answers[1:])), abs=1e-5)
    stage_after = Grpo(rewards={"model": {"folder": "@rm", "scale": 2.0}})
    again, digests = stage_after.scored(toys.context(start, tmp_path / "after", stages={"rm": tmp_path / "rm"}))
    assert again["model"][1](answers) == pytest.approx([2 * each for each in total], abs=1e-5)
    assert digests == {"@rm": folder_digest(tmp_path / "rm" / "reward")}
    module, _ = open_reward_model(tmp_path / "rm")
    assert (module.head.line.weight.norm().item() == pytest.approx(1, abs=1e-3)) == spectral


def test_a_folder_without_one(tmp_path: Path) -> None:
    start = toys.model_folder(tmp_path / "base", "abcd?", width=32)
    with pytest.raises(InputError, match="holds no reward model"):
        open_reward_model(start)
    reward = load_reward("model", {"folder": str(start)})
    with pytest.raises(JacorpusError, match=r"reward model: .*holds no reward model"):
        score({"model": (1.0, reward)}, [Answered((Turn("user", "?"),), "a")])
