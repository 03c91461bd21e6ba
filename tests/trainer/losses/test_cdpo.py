"""cDPO: a sure pair stops at a finite margin."""

import pytest

from benchmarks.closed_forms import pairs
from jacorpus.errors import RecipeError
from tests.trainer.losses.closed_form import held, near
from trainer.losses.cdpo import Cdpo
from trainer.losses.dpo import Dpo


def test_a_sure_pair_stops() -> None:
    assert held(pairs.cdpo()).more["beta margin"] == near(2.1972)


def test_without_noise_it_is_dpo() -> None:
    given = pairs.some_pairs()
    assert Cdpo().rewards(given)[0].equal(Dpo().rewards(given)[0])
    assert Cdpo()(given).equal(Dpo()(given))


def test_half_the_labels_wrong_is_refused() -> None:
    with pytest.raises(RecipeError, match="noise 0 or more and below"):
        Cdpo(noise=0.5)
