"""BRAIn: target, gradient and variance."""

import torch

from benchmarks.closed_forms import pairs
from tests.trainer.losses.closed_form import held
from trainer.losses.brain import Brain, Draws


def test_all_answers_lead_to_the_optimum() -> None:
    held(pairs.brain())


def test_two_draws_have_the_gradient_of_dpo() -> None:
    held(pairs.brain_two())


def test_the_baseline_lowers_the_variance() -> None:
    held(pairs.brain_variance())


def test_it_is_0_at_the_target() -> None:
    log_ref = torch.tensor([[0.5, 0.3, 0.2]]).double().log()
    reward = torch.tensor([[1.0, 0.0, 2.0]]).double()
    at_target = Draws(log_ref + reward / 0.5, log_ref, log_ref, reward)
    assert abs(float(Brain(0.5)(at_target))) < 1e-12
