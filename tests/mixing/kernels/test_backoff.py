"""Back-off against its readable twin and finite differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixing.counting import Documents, held_out_sets, taken
from mixing.kernels.backoff import Grams, log_likelihood, probabilities, probabilities_naive, with_slope

VOCAB = 6


def grams_of(seed: int, order: int, domains: int, eos: int = -1) -> tuple[Grams, np.ndarray]:
    """Grams of random text with the counts of random domains, and a weight for each."""
    draw = np.random.default_rng(seed)

    def text(sizes: list[int]):
        ids = draw.integers(0, VOCAB, sum(sizes), dtype=np.uint32)
        return taken("text", Documents(ids, np.cumsum([0, *sizes]), 1), 0, 10**6, 10**6, 0)

    train = [text([int(n) for n in draw.integers(0, 30, 4)]) for _ in range(domains)]
    one = held_out_sets(train, [("set", text([11, 0, 1, 7]))], order, eos)[0]
    return one.grams, one.weights() * draw.random(len(one.grams.contexts))


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 4), st.sampled_from([-1, 5]))
def test_probabilities_equal_naive(seed, order, domains, eos):
    grams, _ = grams_of(seed, order, domains, eos)
    draw = np.random.default_rng(seed)
    rates, m = draw.random(domains) * (draw.random(domains) < 0.8), 10 ** draw.uniform(-2, 3, order)
    found = probabilities(grams, rates, m, 1 / VOCAB)
    assert found == pytest.approx(probabilities_naive(grams, rates, m, 1 / VOCAB), rel=1e-13)
    assert (found > 0).all()
    assert (found <= 1).all()


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 4))
def test_the_slope_is_that_of_finite_differences(seed, order, domains):
    grams, weights = grams_of(seed, order, domains)
    draw = np.random.default_rng(seed)
    rates, m, step = draw.uniform(0.5, 2, domains), 10 ** draw.uniform(-1, 2, order), 1e-5
    value, slope = with_slope(grams, rates, m, 1 / VOCAB, weights)
    assert value == log_likelihood(probabilities(grams, rates, m, 1 / VOCAB), weights)
    for i in range(domains):
        to = np.eye(domains)[i] * step
        ahead, behind = (log_likelihood(probabilities(grams, rates + d, m, 1 / VOCAB), weights) for d in (to, -to))
        assert slope[i] == pytest.approx((ahead - behind) / (2 * step), rel=1e-6, abs=1e-6)


def test_without_counts_all_is_uniform():
    grams, weights = grams_of(1, 3, 2)
    p = probabilities(grams, np.zeros(2), np.ones(3), 1 / VOCAB)
    assert p == pytest.approx(1 / VOCAB, rel=1e-14)
    assert log_likelihood(p, weights) == pytest.approx(-weights.sum() * np.log(VOCAB))
