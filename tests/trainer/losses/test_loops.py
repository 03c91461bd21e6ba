"""Losses in loops: references that move, and a game."""

from benchmarks.closed_forms import loops
from tests.trainer.losses.closed_form import held, near


def test_a_policy_that_becomes_its_reference() -> None:
    assert held(loops.tr_dpo_hard()).negative == near(0.26, 2)


def test_a_reference_that_follows_slowly() -> None:
    held(loops.tr_dpo_soft())


def test_the_average_of_self_play_is_the_equilibrium() -> None:
    more = held(loops.dno()).more
    assert more["gap at the start"] == near(0.38, 2)
    assert more["gap of the last policy"] > 0.1  # it goes round and round
    assert more["fits off the update, TV"] <= 1e-6
