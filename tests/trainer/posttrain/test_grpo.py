"""GRPO: the variants' losses by hand, a toy that must be solved, and runs that were stopped."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jacorpus.errors import JacorpusError, RecipeError
from tests.trainer.opened_model import random_model
from tests.trainer.posttrain import toys
from trainer.batch import TokenBatch
from trainer.log import read_log
from trainer.opened import open_model
from trainer.posttrain.grpo import AGGREGATED, GroupPolicy, Grpo
from trainer.posttrain.rewarding import Answer
from trainer.posttrain.rollout import Rollouts, trainer_logps
from trainer.posttrain.sequences import padded

EXACT: dict[str, Any] = {"exact": 1.0}
TABLE = {"grpo": 2.0, "dapo": 1.5, "dr_grpo": 0.75, "luspo": 3.0, "gspo": 2.0}


def options(**more: Any) -> dict[str, Any]:
    common = {"rewards": EXACT, "max_tokens": 3, "seq_len": 64, "checkpoint_every": 10_000, "sampler_rows": 128}
    return {**common, "rows": 16, "draws": 8, "lr": 5e-4, "warmup": 0.0, **more}


def answers(stage: Grpo, policy: GroupPolicy) -> TokenBatch:
    """Answers of three tokens with loss 1 each and of one token with loss 3, at ratio 1."""
    rows = [Answer(np.array([5, 6, 7, 8]), np.arange(4) > 0), Answer(np.array([5, 9]), np.arange(2) > 0)]
    batch = padded(rows)
    with torch.no_grad():
        old_BT = trainer_logps(policy.model, batch, policy.sampling)
    extra = {"old_BT": old_BT, "ref_BT": old_BT, "advantage_BT": -torch.tensor([[1.0, 1, 1], [3, 0, 0]])}
    extra |= {"about_BF": torch.zeros(2, 6), "weight_B": stage.weights((batch.weight_BT > 0).sum(1))}
    return padded(rows, extra)


@pytest.mark.parametrize("variant", AGGREGATED)
def test_the_loss_of_each_variant_by_hand(variant: str) -> None:
    stage = Grpo(**options(variant=variant, max_tokens=4))
    policy = GroupPolicy(stage, random_model(64).requires_grad_(True))
    batch = answers(stage, policy)
    assert (policy(batch).total / batch.weight()).item() == pytest.approx(TABLE[variant], abs=1e-6)
    pieces = [policy(piece).total.item() for piece in batch.micro_batches(1)]
    assert sum(pieces) / batch.weight().item() == pytest.approx(TABLE[variant], abs=1e-6)


def test_gspo_has_one_ratio_an_answer() -> None:
    stage = Grpo(**options(variant="gspo", max_tokens=4, eps_low=0.5, eps_high=0.5))
    policy = GroupPolicy(stage, random_model(64).requires_grad_(True))
    batch = answers(stage, policy)
    ratios = torch.tensor([[0.3, -0.1, 0.1], [0.2, 0, 0]])
    batch = replace(batch, extra={**batch.extra, "old_BT": batch.extra["old_BT"] - ratios})
    by_hand = (np.exp(0.1) + 3 * np.exp(0.2)) / 2
    assert (policy(batch).total / batch.weight()).item() == pytest.approx(by_hand, abs=1e-5)


def test_groups_of_equal_rewards_are_drawn_again_and_not_for_ever() -> None:
    stage = Grpo(**options(variant="dapo"))
    good, flat = [{"reward": 0.0}, {"reward": 1.0}], [{"reward": 1.0}, {"reward": 1.0}]
    asked = []

    def more(turn: int, count: int) -> list[list[dict[str, Any]]]:
        asked.append((turn, count))
        return [good] * (turn == 2) + [flat] * (count - (turn == 2))

    assert stage.refilled([flat, good, flat], more) == [good, good, flat]
    assert asked == [(1, 2), (2, 2), (3, 1)]
    assert Grpo(**options()).refilled([flat, good], more) == [flat, good]
    assert len(asked) == 3


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.taught_sums(tmp_path_factory.mktemp("sums"), steps=100, digits=5)


def test_it_learns_what_half_of_the_labels_said(taught: Path, tmp_path: Path) -> None:
    prompts, wanted = toys.sum_prompts(tmp_path, 5), toys.sums(5)
    before = toys.accuracy(taught, wanted, 20)
    assert before < 0.6
    context = toys.context(taught, tmp_path / "grpo")
    result = Grpo(**options(prompts=(prompts,), cycles=60, lr=1e-3)).run(context)
    assert toys.accuracy(tmp_path / "grpo", wanted, 20) >= 0.93
    assert result["reward"]["last_cycle"] > result["reward"]["first_cycle"]
    rows = read_log(tmp_path / "grpo").steps
    assert max(row["drift_max"] for row in rows) < 1e-5
    assert all(row["kl"] >= 0 for row in rows)
    shuffled = {"shuffled": {"use": "tests.trainer.posttrain.toys:Shuffled"}}  # the negative control
    context = toys.context(taught, tmp_path / "shuffled")
    Grpo(**options(prompts=(prompts,), cycles=60, lr=1e-3, rewards=shuffled)).run(context)
    assert toys.accuracy(tmp_path / "shuffled", wanted, 20) <= 0.6


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("variant", AGGREGATED)
def test_every_variant_learns_all_sums(tmp_path: Path, seed: int, variant: str) -> None:
    taught = toys.taught_sums(tmp_path, seed)
    context = toys.context(taught, tmp_path / "out")
    Grpo(**options(prompts=(toys.sum_prompts(tmp_path),), cycles=120, variant=variant, seed=seed)).run(context)
    assert toys.accuracy(tmp_path / "out", toys.sums()) >= 0.93


def small(tmp_path: Path, **more: Any) -> Grpo:
    rewards = {"ones": {"use": "tests.trainer.posttrain.toys:Faulty"}}
    table = {"prompts": (toys.sum_prompts(tmp_path, 3),), "rewards": rewards, "rows": 3, "draws": 4, "cycles": 6}
    return Grpo(**options(**table, minibatches=2, epochs=2, checkpoint_every=3, log_every=1, **more))


@pytest.mark.parametrize("error", [ValueError("out of order"), SystemExit(1)])
def test_a_stopped_run_goes_on_as_if_it_had_not_been(tmp_path: Path, error: BaseException) -> None:
    start = toys.model_folder(tmp_path / "base", "0123456789+=", width=32)
    stage = small(tmp_path, variant="dapo", beta=0.1, ref_ema=0.3, top_p=0.9)
    toys.Faulty.calls, toys.Faulty.at = 0, -1
    stage.run(toys.context(start, tmp_path / "unbroken"))
    calls, toys.Faulty.calls = toys.Faulty.calls, 0
    toys.Faulty.at, toys.Faulty.error = calls * 2 // 3, error
    with pytest.raises(JacorpusError if isinstance(error, Exception) else SystemExit) as caught:
        stage.run(toys.context(start, tmp_path / "broken"))
    if isinstance(error, Exception):
        assert "reward ones raised ValueError (out of order) at" in str(caught.value)
    kept = {path.name for path in (tmp_path / "broken" / "rollouts").iterdir()}
    toys.Faulty.at = -1
    stage.run(toys.context(start, tmp_path / "broken"))
    assert 0 < len(kept) < 6
    one, other = (open_model(tmp_path / name).model.state_dict() for name in ("unbroken", "broken"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    for cycle in range(6):
        paths = [Rollouts(tmp_path / name / "rollouts").path(cycle) for name in ("unbroken", "broken")]
        assert paths[0].read_bytes() == paths[1].read_bytes()


def test_the_reference_stays_or_goes_along_or_is_without_the_adapter(tmp_path: Path) -> None:
    start = toys.model_folder(tmp_path / "base", "0123456789+=", width=32)
    for name, more in (("stays", {}), ("copied", {"ref_ema": 1.0}), ("adapter", {"lora": {"rank": 4}})):
        small(tmp_path, beta=0.1, **more, lr=1e-3).run(toys.context(start, tmp_path / name))
        rows = Rollouts(tmp_path / name / "rollouts").read(5)
        apart = max(abs(a - b) for row in rows for a, b in zip(row["ref_logp"], row["trainer_logp"], strict=True))
        assert (apart > 1e-4) == (name != "copied")
        first = Rollouts(tmp_path / name / "rollouts").read(0)
        assert all(row["ref_logp"] == row["trainer_logp"] for row in first)


def test_options_without_a_meaning() -> None:
    for more, said in (
        ({"variant": "grop"}, "did you mean grpo|variant grop"),
        ({"draws": 1}, "draws must be 2"),
        ({"temperature": 0.0}, "temperature must be over 0"),
        ({"kl": "k2"}, "kl must be"),
        ({"restart": 1.5}, "restart"),
        ({"minibatches": 129}, "129 minibatches"),
        ({"ref_ema": 0.1, "lora": {"rank": 4}}, "ref_ema"),
    ):
        with pytest.raises(RecipeError, match=said):
            Grpo(**options(**more))
    assert Grpo(**options(variant="dapo")).eps_high == 0.28
    assert Grpo(**options(variant="dapo", eps_high=0.3)).eps_high == 0.3
    assert Grpo(**options()).beta == 0.04
