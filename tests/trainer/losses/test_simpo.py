"""SimPO's margin."""

from benchmarks.closed_forms import pairs
from tests.trainer.losses.closed_form import held, near
from trainer.losses.simpo import Simpo


def test_equal_means_lose_by_the_margin() -> None:
    assert held(pairs.simpo()).more["at gamma .5"] == near(0.974, 3)


def test_the_reference_does_not_matter() -> None:
    given = pairs.some_pairs()
    assert Simpo()(given).equal(Simpo()(given._replace(ref_chosen_B=given.ref_rejected_B)))
