"""The surrogate: two predictors in one, names in any order, bootstrap draws."""

from dataclasses import replace

import numpy as np
import pytest

from mixing.regression.fit import checked
from mixing.regression.surrogate import SwarmSurrogate
from mixing.surrogate import Surrogate
from mixing.swarm import Swarm
from tests.mixing.regression.synthetic import (
    NAMES,
    mixtures,
    power_law,
    slopes_by_difference,
    stairs,
    swarm,
)


def mixed(n: int = 70) -> Swarm:
    """One set of steps, one of a power law."""
    shares = mixtures(n)
    return Swarm(NAMES, ("steps", "web"), shares, np.column_stack([stairs(shares)[:, 0], power_law(shares)[:, 1]]))


def test_losses_are_of_the_chosen_fits_and_slopes_of_the_smooth_ones() -> None:
    found: Surrogate = SwarmSurrogate.of(mixed(), ("power_law", "boosting", "ridge"), folds=5)
    assert isinstance(found, SwarmSurrogate)
    assert found.sets == ("steps", "web")
    assert found.by == ("boosting", "power_law")
    assert found.slopes_by[1] == "power_law"
    at = np.array([0.4, 0.3, 0.2, 0.1])
    losses, jacobian = found.gradient(at)
    assert losses[1] == found.losses(at)[1]
    assert losses[0] != found.losses(at)[0]
    np.testing.assert_array_equal(found.smooth.losses(at), losses)
    np.testing.assert_allclose(jacobian, slopes_by_difference(found.smooth.losses, at), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.losses(mixtures(5, 1))[2], found.losses(mixtures(5, 1)[2]), rtol=1e-12)
    assert not found.convex


def test_it_is_convex_where_every_fit_is() -> None:
    assert SwarmSurrogate.of(swarm(power_law), ("power_law", "log_linear")).convex
    assert not SwarmSurrogate.of(swarm(power_law), ("ridge",)).convex
    found = SwarmSurrogate.of(mixed(), ("boosting", "power_law"), folds=3)
    assert found.by == ("boosting", "power_law")
    assert not found.convex
    assert found.smooth.convex


def test_domains_in_any_order_change_nothing() -> None:
    runs = mixed(12)
    tables = [dict(zip(runs.names, map(float, row), strict=True)) for row in runs.shares]
    losses = [dict(zip(runs.sets, map(float, row), strict=True)) for row in runs.losses]
    plain = SwarmSurrogate.of(Swarm.of(tables, losses))
    shuffled = SwarmSurrogate.of(
        Swarm.of([dict(reversed(each.items())) for each in tables], [dict(reversed(each.items())) for each in losses])
    )
    at = mixtures(20, 4)
    assert plain.by == shuffled.by
    assert plain.losses(at).tobytes() == shuffled.losses(at).tobytes()
    assert plain.gradient(at[0])[1].tobytes() == shuffled.gradient(at[0])[1].tobytes()


def test_bootstrap_draws_are_of_runs_and_by_seed() -> None:
    found = SwarmSurrogate.of(swarm(power_law, 30, noise=0.1), ("average", "smooth_average"), folds=2)
    at = mixtures(5, 1)
    once, again, other = (found.resampled(seed) for seed in (1, 1, 2))
    assert once.by == found.by
    assert once.losses(at).tobytes() == again.losses(at).tobytes()
    assert once.losses(at).tobytes() != other.losses(at).tobytes()
    all_of_them = checked(found.swarm.shares, found.swarm.losses)[0]
    assert {tuple(row) for row in once.swarm.shares} < {tuple(row) for row in all_of_them}


@pytest.mark.parametrize("noise", [0.02, 0.2])
def test_bootstrap_draws_spread_as_fits_of_fresh_runs_do(noise: float) -> None:
    at = np.full(4, 0.25)
    found = SwarmSurrogate.of(swarm(power_law, 40, noise=noise), ("power_law",))
    drawn = np.std([found.resampled(seed).losses(at) for seed in range(25)], axis=0)
    fresh = [
        SwarmSurrogate.of(swarm(power_law, 40, 10 + 2 * seed, noise), ("power_law",), folds=2) for seed in range(25)
    ]
    spread = np.std([each.losses(at) for each in fresh], axis=0)
    assert (drawn > 0.4 * spread).all()
    assert (drawn < 2.5 * spread).all()


def test_a_draw_of_hardly_any_different_runs_still_fits() -> None:
    found = SwarmSurrogate.of(swarm(power_law, 5), ("smooth_average", "average"))
    for seed in range(5):
        assert np.isfinite(found.resampled(seed).losses(mixtures(3, 1))).all()
    assert replace(found).sets == ("a", "b")
