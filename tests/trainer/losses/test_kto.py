"""KTO against its formula by hand, and what it can't be called with."""

import pytest

from benchmarks.closed_forms import pairs
from jacorpus.errors import RecipeError
from tests.trainer.losses.closed_form import held
from trainer.losses.kto import Kto


def test_loss_and_gradient_by_hand() -> None:
    assert held(pairs.kto()).more["start over half the weights"] == pytest.approx(1, abs=1e-12)


def test_the_distance_is_not_below_0() -> None:
    given = pairs.some_pairs()
    far = given._replace(mismatched_B=given.ref_mismatched_B - 5)
    assert Kto()(far).equal(Kto()(given._replace(mismatched_B=given.ref_mismatched_B)))


def test_a_batch_of_one_pair_is_refused() -> None:
    given = pairs.some_pairs(1)
    for each in (given, pairs.some_pairs()._replace(mismatched_B=None)):
        with pytest.raises(RecipeError, match="batches of 2 or more"):
            Kto()(each)
