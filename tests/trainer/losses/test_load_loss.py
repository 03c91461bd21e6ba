"""Losses by name."""

import pytest

from benchmarks.closed_forms.pairs import some_pairs
from jacorpus.errors import RecipeError
from trainer.losses import LOSSES, load_loss
from trainer.losses.hdpo import Hdpo


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "brain"])
def test_every_loss_loads_and_wants_the_chosen_answer(name: str) -> None:
    loss, given = load_loss(name, {}), some_pairs()
    found = loss(given)
    chosen, rejected = loss.rewards(given)
    assert found.shape == chosen.shape == rejected.shape == (6,)
    better = given._replace(chosen_B=given.chosen_B + 1e-3)
    assert (loss(better) != found).all()
    assert loss.needs_reference == (name not in ("orpo", "simpo"))
    assert loss.needs_mismatched == (name == "kto")
    if name != "ipo":  # which has a margin that is enough
        assert (loss(better) < found).all()


def test_options_are_given_by_name() -> None:
    assert load_loss("hdpo", {"beta": 0.01, "alpha": 0.9}) == Hdpo(0.01, 0.9)
    assert load_loss("brain", {}).needs_reference


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("hpdo", {}, "there is no loss `hpdo`; did you mean `hdpo`"),
        ("dpo", {"betta": 1}, "no option `betta`; did you mean `beta`"),
        ("dpo", {"needs_reference": False}, "no option `needs_reference`"),
        ("hdpo", {"alpha": 0}, "`hdpo` wants alpha above 0, got 0"),
        ("kto", {"beta": "much"}, "`kto` wants beta above 0, got 'much'"),
        ("robust", {"noise": 0.5}, "noise 0 or more and below 0.5, got 0.5"),
        ("orpo", {"weight": -1}, "weight 0 or more, got -1"),
    ],
)
def test_what_is_wrong_is_named(name, options, words) -> None:
    with pytest.raises(RecipeError, match=words):
        load_loss(name, options)
