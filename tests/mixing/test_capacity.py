"""Capacities: closed forms, the proof that comes with each, inputs that drop out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.errors import InputError
from mixing.capacity import capacity, entropies, z_channel, z_channel_capacity


@pytest.mark.parametrize(("q", "second"), [(0.1, 0.45629812), (0.3, 0.42100061), (0.5, 0.4)])
def test_z_channels_have_a_closed_form(q: float, second: float) -> None:
    closed = z_channel_capacity(q)
    assert closed.weights[1] == pytest.approx(second, abs=5e-9)
    found = capacity(z_channel(q))
    np.testing.assert_allclose(found.weights, closed.weights, atol=1e-8)
    assert found.nats == pytest.approx(closed.nats, abs=1e-14)


def test_a_symmetric_channel_is_used_evenly() -> None:
    P = np.full((4, 4), 0.05) + 0.8 * np.eye(4)
    found = capacity(P)
    np.testing.assert_allclose(found.weights, 0.25, atol=1e-14)
    assert found.nats == pytest.approx(np.log(4) - entropies(P)[0])


def test_an_erased_channel_loses_what_is_erased() -> None:
    assert capacity(np.array([[0.7, 0, 0.3], [0, 0.7, 0.3]])).nats == pytest.approx(0.7 * np.log(2))


def test_a_blend_of_other_inputs_is_not_used() -> None:
    P = np.random.default_rng(0).dirichlet(np.ones(6), 3)
    found = capacity(np.vstack([P, 0.5 * P[0] + 0.3 * P[1] + 0.2 * P[2]]))
    np.testing.assert_allclose(found.weights, [*capacity(P).weights, 0], atol=1e-9)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 7), st.integers(2, 12), st.booleans())
def test_no_weights_are_worth_more(seed: int, k: int, V: int, costly: bool) -> None:
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.full(V, 0.5), k)
    P[P < 1e-3] = 0
    P /= P.sum(1, keepdims=True)
    cost = rng.uniform(0, 1, k) if costly else entropies(P)
    found = capacity(P, cost if costly else None)
    assert found.gap < 1e-9
    for weights in rng.dirichlet(np.full(k, 0.5), 20):
        assert entropies(weights[None] @ P)[0] - weights @ cost <= found.nats + found.gap + 1e-12


@pytest.mark.parametrize("rows", [[[0.5, 0.6]], [[-0.1, 1.1]], [0.5, 0.5], [[]]])
def test_rows_that_are_no_distributions_are_told(rows: list) -> None:
    with pytest.raises(InputError, match="row of probabilities"):
        capacity(np.array(rows))
