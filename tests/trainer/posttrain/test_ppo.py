"""PPO: a toy that must be solved, an optimum that preferences can't see, and DR-PO's restarts."""

from pathlib import Path
from typing import Any

import pytest
import torch

from jacorpus.errors import RecipeError
from tests.trainer.posttrain import toys
from trainer.opened import open_model
from trainer.posttrain.ppo import Ppo, ValueNorm
from trainer.posttrain.rollout import Rollouts


def options(**more: Any) -> dict[str, Any]:
    common = {"rewards": {"exact": 1.0}, "max_tokens": 3, "seq_len": 64, "checkpoint_every": 10_000}
    return {**common, "sampler_rows": 128, "rows": 128, "lr": 5e-4, "warmup": 0.0, "beta": 0.04, **more}


def same(one: Path, other: Path) -> bool:
    weights = [open_model(folder).model.state_dict() for folder in (one, other)]
    return all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_it_learns_what_half_of_the_labels_said(tmp_path: Path) -> None:
    taught, wanted = toys.taught_sums(tmp_path, steps=100, digits=5), toys.sums(5)
    assert toys.accuracy(taught, wanted, 20) < 0.6
    context = toys.context(taught, tmp_path / "ppo")
    Ppo(**options(prompts=(toys.sum_prompts(tmp_path, 5),), cycles=60, lr=1e-3, minibatches=2)).run(context)
    assert toys.accuracy(tmp_path / "ppo", wanted, 20) >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("more", [{}, {"critic": "own"}, {"spectral": True}], ids=["shared", "own", "spectral"])
def test_it_learns_all_sums(tmp_path: Path, seed: int, more: dict[str, Any]) -> None:
    taught = toys.taught_sums(tmp_path, seed)
    context = toys.context(taught, tmp_path / "ppo")
    Ppo(**options(prompts=(toys.sum_prompts(tmp_path),), cycles=120, seed=seed, **more)).run(context)
    assert toys.accuracy(tmp_path / "ppo", toys.sums()) >= 0.93


def test_it_reaches_the_optimum_of_three_answers(tmp_path: Path) -> None:
    """The counter-example of arXiv 2404.10719: rho (.5 .49 .01), rewards (1 0 0), beta .1; J* = .9307."""
    start = toys.one_of_three(tmp_path, (0.5, 0.49, 0.01))
    prompts = toys.written(tmp_path / "p.jsonl", [{"id": "1", "prompt": "?", "reference": "a"}])
    rho = toys.next_token(start)
    stage = Ppo(
        **options(prompts=(prompts,), cycles=30, lr=3e-3, beta=0.1, minibatches=2, max_tokens=1, schedule="linear")
    )
    stage.run(toys.context(start, tmp_path / "ppo"))
    pi = toys.next_token(tmp_path / "ppo")
    right = toys.letter_ids(start)[0]
    reward = torch.zeros_like(pi)
    reward[right] = 1
    best = 0.1 * torch.log((rho * torch.exp(reward / 0.1)).sum())
    found = (pi * (reward - 0.1 * (pi / rho).log())).sum()
    assert best.item() == pytest.approx(0.9307, abs=5e-3)
    assert found >= 0.99 * best


def dr(tmp_path: Path, name: str, start: Path, **more: Any) -> list[dict[str, Any]]:
    prompts = toys.written(tmp_path / "string.jsonl", [{"id": "1", "prompt": "?", "reference": toys.STRING}])
    table = {"prompts": (prompts,), "rows": 32, "max_tokens": 11, "seq_len": 32, "cycles": 2, "checkpoint_every": 3}
    Ppo(**options(**{**table, **more})).run(toys.context(start, tmp_path / name))
    return Rollouts(tmp_path / name / "rollouts").read(0)


def test_restarts_begin_with_a_part_of_the_reference_that_has_no_loss(tmp_path: Path) -> None:
    start = toys.model_folder(tmp_path / "base", "abcd?", width=32)
    rows = dr(tmp_path, "restarts", start, restart=1.0)
    kept = [sum(not drawn for drawn in row["mask"]) for row in rows]
    assert set(kept) <= set(range(10))
    assert len(set(kept)) > 5
    for row, count in zip(rows, kept, strict=True):
        assert row["text"].startswith(toys.STRING[:count])
        assert len(row["ids"]) <= 11
        assert row["mask"] == [False] * count + [True] * (len(row["ids"]) - count)
        for name in ("logp", "trainer_logp", "ref_logp", "value", "advantage", "token_reward"):
            assert row[name][:count] == [0.0] * count
            assert len(row[name]) == len(row["ids"])
        penalty = 0.04 * sum(a - b for a, b in zip(row["trainer_logp"], row["ref_logp"], strict=True))
        assert sum(row["token_reward"]) == pytest.approx(row["reward"] - penalty, abs=1e-6)


def test_without_restarts_it_is_ppo_to_the_bit(tmp_path: Path) -> None:
    start = toys.model_folder(tmp_path / "base", "abcd?", width=32)
    rewards = {"ones": {"use": "tests.trainer.posttrain.toys:Faulty"}, "length": {"use": "exact", "weight": 0.5}}
    dr(tmp_path, "ppo", start, rewards=rewards)
    dr(tmp_path, "almost never", start, rewards=rewards, restart=1e-12)
    dr(tmp_path, "always", start, rewards=rewards, restart=1.0)
    assert same(tmp_path / "ppo", tmp_path / "almost never")
    assert not same(tmp_path / "ppo", tmp_path / "always")


@pytest.mark.parametrize("more", [{}, {"critic": "own", "spectral": True}, {"value_norm": False, "ref_ema": 0.1}])
def test_a_stopped_run_goes_on_as_if_it_had_not_been(tmp_path: Path, more: dict[str, Any]) -> None:
    start = toys.model_folder(tmp_path / "base", "0123456789+=", width=32)
    table = {"prompts": (toys.sum_prompts(tmp_path, 3),), "rows": 6, "cycles": 4, "minibatches": 2, "epochs": 2}
    rewards = {"ones": {"use": "tests.trainer.posttrain.toys:Faulty"}}
    stage = Ppo(**options(**table, rewards=rewards, **more) | {"checkpoint_every": 3})
    toys.Faulty.calls, toys.Faulty.at = 0, -1
    stage.run(toys.context(start, tmp_path / "unbroken"))
    toys.Faulty.calls, toys.Faulty.at, toys.Faulty.error = 0, 3, SystemExit(1)
    with pytest.raises(SystemExit):
        stage.run(toys.context(start, tmp_path / "broken"))
    toys.Faulty.at = -1
    stage.run(toys.context(start, tmp_path / "broken"))
    assert same(tmp_path / "unbroken", tmp_path / "broken")


@pytest.mark.slow
def test_one_exact_string_is_found_with_restarts_alone(tmp_path: Path) -> None:
    found = toys.string_found(tmp_path, 0, (0.0, 1.0))
    assert found[1.0] >= 0.95
    assert found[0.0] <= 0.05


def test_the_scale_of_values_is_that_of_returns() -> None:
    norm = ValueNorm(0.9)
    assert [part.item() for part in norm.scale()] == [0, 1]
    norm.update(torch.tensor([1.0, 3.0], dtype=torch.float64))
    assert [part.item() for part in norm.scale()] == pytest.approx([2, 1])
    norm.update(torch.tensor([4.0, 4.0], dtype=torch.float64))
    assert norm.scale()[0].item() == pytest.approx((0.9 * 2 + 4) / 1.9)


def test_options_without_a_meaning() -> None:
    for more in ({"critic": "none"}, {"lam": 2.0}, {"value_keep": 1.0}):
        with pytest.raises(RecipeError, match="ppo"):
            Ppo(**options(**more))
