"""IPO's optimum."""

from benchmarks.closed_forms import pairs
from tests.trainer.losses.closed_form import held
from trainer.losses.ipo import Ipo


def test_the_optimum_is_the_closed_form() -> None:
    assert held(pairs.ipo()).more["TV of DPO's optimum"] > 0.1


def test_log_probs_count_per_token() -> None:
    given = pairs.some_pairs()
    twice = type(given)(*(2 * each for each in given[:6]))
    assert (Ipo()(twice) - Ipo()(given)).abs().max() < 1e-9
