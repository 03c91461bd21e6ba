"""Pieces of policy gradients by hand; PPO reaches the optimum that preferences can't see."""

import pytest
import torch

from benchmarks.closed_forms import policy
from jacorpus.errors import RecipeError
from tests.trainer.losses.closed_form import held, near
from trainer.losses.policy import (
    aggregate,
    clipped,
    gae,
    group_advantages,
    normalized,
    token_rewards,
    value_loss,
)


def test_group_advantages_have_the_sample_deviation() -> None:
    assert held(policy.grpo_advantages()).more["advantage"] == near(0.866, 3)


def test_groups_may_be_mixed_of_one_answer_and_without_deviation() -> None:
    rewards, groups = torch.tensor([1.0, 5, 0, 0]), torch.tensor([0, 9, 0, 0])
    found = group_advantages(rewards, groups)
    assert found[1] == 0
    assert found[[0, 2, 3]].sum().abs() < 1e-5
    assert group_advantages(rewards, groups, std=False).tolist() == pytest.approx([2 / 3, 0, -1 / 3, -1 / 3])


def test_k3_and_its_two_gradients() -> None:
    assert held(policy.k3_gradients()).more["mean"] == near(0.0851)


def test_aggregation() -> None:
    assert held(policy.aggregation()).more == policy.AGGREGATES


@pytest.mark.parametrize("how", policy.AGGREGATES)
def test_parts_of_a_batch_add_up(how) -> None:
    draw = torch.Generator().manual_seed(0)
    loss = torch.rand(6, 5, generator=draw, dtype=torch.float64)
    mask = torch.rand(6, 5, generator=draw) < 0.6
    weight = float(mask.sum()) if how == "dapo" else 6.0
    parts = [aggregate(loss[i : i + 2], mask[i : i + 2], how, 8, weight) for i in (0, 2, 4)]
    assert float(sum(parts)) == pytest.approx(float(aggregate(loss, mask, how, 8)), abs=1e-12)


def test_another_aggregation_is_refused() -> None:
    with pytest.raises(RecipeError, match="did you mean `dr_grpo`"):
        aggregate(torch.zeros(1, 1), torch.ones(1, 1), "drgrpo", 1)  # type: ignore[arg-type]


def test_the_ratio_of_an_answer() -> None:
    held(policy.gspo())


def test_advantages_over_time() -> None:
    assert held(policy.ppo_gae()).more["advantages"] == [near(value) for value in (0.4287, 0.4513, 0.475, 0.5)]


def test_off_the_mask_nothing_counts() -> None:
    nan = float("nan")
    found, returns = gae(torch.tensor([[0.0, nan, 1]]), torch.tensor([[0.5, nan, 0.5]]), torch.tensor([[1, 0, 1]]))
    assert torch.isfinite(found).all()
    assert torch.isfinite(returns).all()
    advantage = normalized(torch.tensor([[1.0, nan, 3]]), torch.tensor([[True, False, True]]))
    assert advantage[0].tolist() == pytest.approx([-1, 0, 1])


def test_the_reward_is_on_the_last_token() -> None:
    mask = torch.tensor([[True, False, True, False], [True, True, True, True]])
    logp = torch.full((2, 4), -1.0)
    found = token_rewards(torch.tensor([1.0, 2.0]), logp, logp - 0.5, mask, 0.1)
    assert found.flatten().tolist() == pytest.approx([-0.05, 0, 0.95, 0, -0.05, -0.05, -0.05, 1.95])


def test_the_clip_holds_back_what_would_go_further() -> None:
    logp = torch.tensor([[0.5, 0.5, -0.5, -0.5, 0.1]], requires_grad=True)
    advantage = torch.tensor([[1.0, -1, 1, -1, 1]])
    loss, held_back = clipped(logp, torch.zeros(1, 5), advantage, 0.2, 0.28)
    assert held_back.tolist() == [[True, False, False, True, False]]
    loss.sum().backward()
    assert ((logp.grad == 0) == held_back).all()
    assert loss[0, 0].item() == pytest.approx(-1.28)
    assert loss[0, 3].item() == pytest.approx(0.8)


def test_the_value_stays_near_the_old_one() -> None:
    value = torch.tensor([[1.0, 0.1]], requires_grad=True)
    loss, held_back = value_loss(value, torch.zeros(1, 2), torch.tensor([[1.5, 1.5]]), 0.2)
    assert held_back.tolist() == [[True, False]]
    assert loss[0].tolist() == pytest.approx([0.5 * 1.3**2, 0.5 * 1.4**2])


def test_ppo_reaches_what_preferences_cannot_tell() -> None:
    more = held(policy.ppo_against_dpo()).more
    first, second = more["their DPO losses"]
    assert first == pytest.approx(second, abs=1e-12)
    assert first == near(0.1247)
    assert more["J of two policies"] == [near(0.4415), near(-0.4592)]
    assert more["J*"] == near(0.9307)
