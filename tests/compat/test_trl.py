"""TRL's trainers on an export, unchanged: SFT (assistant's words alone, packed, without padding), DPO, GRPO."""

import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.compat.conftest import conversations, open_export, open_tokenizer
from tests.small import prose

pytest.importorskip("trl", reason="needs the package trl: pip install -e '.[compat]'")
datasets = pytest.importorskip("datasets", reason="needs the package datasets")

STEPS = 6
COMMON: dict[str, Any] = {
    **{"max_steps": STEPS, "logging_steps": 1, "report_to": [], "save_strategy": "no", "use_cpu": True, "bf16": False},
    **{"learning_rate": 5e-3, "per_device_train_batch_size": 4, "disable_tqdm": True, "lr_scheduler_type": "constant"},
    "trust_remote_code": True,
}


def losses(trainer: Any) -> list[float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.train()
    return [line["loss"] for line in trainer.state.log_history if "loss" in line]


def sft(folder: Path, out: Path, **options: Any) -> Any:
    from trl import SFTConfig, SFTTrainer

    rows = datasets.Dataset.from_list(conversations(STEPS * 8))
    args = SFTConfig(str(out), **{**COMMON, "max_length": 64, **options})
    model = open_export(folder).train()
    return SFTTrainer(model, args, train_dataset=rows, processing_class=open_tokenizer(folder))


WAYS: dict[str, dict[str, Any]] = {
    "whole": {},
    "assistant": {"assistant_only_loss": True},
    "packed": {"packing": True, "assistant_only_loss": True},
    "padding-free": {"padding_free": True, "max_length": None, "assistant_only_loss": True},
    "checkpointing": {"gradient_checkpointing": True},
    "accumulated": {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 2},
}


@pytest.mark.parametrize("way", WAYS)
def test_sft_learns(way: str, folder: Path, tmp_path: Path) -> None:
    options = {"gradient_checkpointing": False, **WAYS[way]}
    found = losses(sft(folder, tmp_path, **options))
    assert len(found) == STEPS
    assert found[-1] < 0.8 * found[0]


def test_sft_loss_is_that_of_the_marked_words(folder: Path, tmp_path: Path) -> None:
    """The first loss, before anything is learned: padded, padding-free, and by hand from rows alone. The control: a
    flattened batch whose boundaries nobody tells has another."""
    options = {"gradient_checkpointing": False, "assistant_only_loss": True, "shuffle_dataset": False, "max_steps": 1}
    laid: dict[str, dict[str, Any]] = {"padded": {}, "free": {"padding_free": True, "max_length": None}}
    made = {name: sft(folder, tmp_path / name, **options, **way) for name, way in laid.items()}
    batches = {name: next(iter(trainer.get_train_dataloader())) for name, trainer in made.items()}
    found = {name: losses(trainer)[0] for name, trainer in made.items()}
    model, total, count = open_export(folder), 0.0, 0
    for ids, labels, mask in zip(
        *(batches["padded"][k] for k in ("input_ids", "labels", "attention_mask")), strict=True
    ):
        ids, labels = ids[mask.bool()], labels[mask.bool()][1:]
        with torch.no_grad():
            log = torch.log_softmax(model(ids[None]).logits[0, :-1].double(), -1)
        total -= float(log[labels >= 0].gather(1, labels[labels >= 0, None]).sum())
        count += int((labels >= 0).sum())
    assert found["padded"] == pytest.approx(total / count, rel=1e-5)
    assert found["free"] == pytest.approx(total / count, rel=1e-5)
    with torch.no_grad():
        blind = model(batches["free"]["input_ids"], labels=batches["free"]["labels"]).loss
    assert abs(float(blind) - total / count) > 1e-3


def pairs(count: int) -> Any:
    rows = []
    for row in conversations(count):
        question, answer = row["messages"]
        worse = [{"role": "assistant", "content": prose(len(rows) + 900, 1)[:7]}]
        rows.append({"prompt": [question], "chosen": [answer], "rejected": worse})
    return datasets.Dataset.from_list(rows)


@pytest.mark.parametrize("precompute", [False, True])
def test_dpo_prefers(precompute: bool, folder: Path, tmp_path: Path) -> None:
    """The first loss is log 2, for the model is its own reference; then it falls."""
    from trl import DPOConfig, DPOTrainer

    args = DPOConfig(
        str(tmp_path),
        **{**COMMON, "learning_rate": 1e-3},
        precompute_ref_log_probs=precompute,
        beta=0.1,
        max_length=64,
        gradient_checkpointing=False,
    )
    tokenizer = open_tokenizer(folder)
    model = open_export(folder)
    trainer = DPOTrainer(model, args=args, train_dataset=pairs(STEPS * 4), processing_class=tokenizer)
    found = losses(trainer)
    assert found[0] == pytest.approx(math.log(2), abs=1e-4)
    assert found[-1] < found[0] - 0.05


@pytest.mark.parametrize("beta", [0.0, 0.04])
def test_grpo_runs(beta: float, folder: Path, tmp_path: Path) -> None:
    """Answers are drawn by transformers' generate; the reward counts kinds of characters."""
    from trl import GRPOConfig, GRPOTrainer

    def reward(completions: list[Any], **_: Any) -> list[float]:
        return [float(len(set(each[0]["content"]))) for each in completions]

    args = GRPOConfig(
        str(tmp_path),
        **{**COMMON, "max_steps": 2, "learning_rate": 1e-3},
        beta=beta,
        num_generations=4,
        max_completion_length=12,
        gradient_checkpointing=False,
    )
    rows = datasets.Dataset.from_list([{"prompt": row["messages"][:1]} for row in conversations(8)])
    model = open_export(folder)
    before = model.lm_head.weight.detach().clone()
    trainer = GRPOTrainer(
        model, reward_funcs=reward, args=args, train_dataset=rows, processing_class=open_tokenizer(folder)
    )
    found = losses(trainer)
    assert len(found) == 2
    assert all(map(math.isfinite, found))
    assert not torch.equal(before, model.lm_head.weight)
