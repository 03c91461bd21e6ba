"""Rho-1's selective loss on a chain seen through noise; each check beside a twin that fails it."""

from benchmarks.closed_forms import selective
from tests.trainer.losses.closed_form import held


def test_choosing_learns_the_chain_under_the_noise() -> None:
    found = held(selective.gain()).more
    nll = found["nll"]
    entropy, law = found["nll of the chain, and of the noisy text's law"]
    assert entropy < nll["k .4"] < nll["k .6"] < nll["all"] < nll["loss alone, k .4"]
    assert abs(nll["all"] - law) < 0.03, "without a choice, what is learned is the noisy text"


def test_what_is_chosen_is_clean() -> None:
    clean = held(selective.share()).more["clean"]
    assert abs(clean["all"] - (1 - selective.NOISE) ** 2) < 0.005
    assert clean["loss alone, k .4"] < clean["all"] < clean["k .6"] < clean["k .4"]


def test_the_count_is_exact_and_ratio_1_is_plain_language_modeling() -> None:
    held(selective.count())
