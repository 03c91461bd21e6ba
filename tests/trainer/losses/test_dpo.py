"""DPO's optimum, and its start."""

import pytest

from benchmarks.closed_forms import pairs
from jacorpus.errors import RecipeError
from tests.trainer.losses.closed_form import held, near
from trainer.losses.dpo import Dpo


def test_the_optimum_is_the_closed_form() -> None:
    check = held(pairs.dpo())
    assert check.more["off log 2 at the start"] == 0
    assert check.negative == near(0.48, 2)


def test_beta_has_to_be_above_0() -> None:
    with pytest.raises(RecipeError, match="`dpo` wants beta above 0, got 0"):
        Dpo(0)
