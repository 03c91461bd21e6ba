"""Robust DPO undoes flipped labels; DPO and cDPO don't."""

from benchmarks.closed_forms import pairs
from tests.trainer.losses.closed_form import held, near


def test_flipped_labels_lead_to_the_clean_optimum() -> None:
    check = held(pairs.robust())
    assert check.negative == near(0.157, 3)
    assert check.more["TV of cDPO"] == near(0.238, 3)
