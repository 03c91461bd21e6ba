"""What every fit must do: shapes, slopes, the same bytes, sets apart from each other, sets without a spread."""

import numpy as np
import pytest

from jacorpus.errors import InputError, RecipeError
from mixing.regression.average import Average
from mixing.regression.choose import FITS
from mixing.regression.fit import Scale, checked, need_runs
from tests.mixing.regression.synthetic import K, mixtures, power_law, slopes_by_difference, swarm, waves

ALL = {**FITS, "average": Average(), "smooth": Average({name: FITS[name] for name in ("ridge", "power_law")})}
SMOOTH = [name for name in ALL if name not in ("boosting", "average")]
INSIDE = [np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.9, 0.05, 0.03, 0.02]), np.array([0.2, 0.1, 0.25, 0.15])]


@pytest.mark.parametrize("name", ALL)
def test_shapes_and_one_mixture_as_of_many(name: str) -> None:
    runs = swarm(power_law)
    fitted = ALL[name].fit(runs.shares, runs.losses)
    many = fitted.losses(mixtures(7, 9))
    assert many.shape == (7, 2)
    np.testing.assert_allclose([fitted.losses(each) for each in mixtures(7, 9)], many, rtol=1e-12)


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("law", [power_law, waves])
def test_slopes_are_those_of_the_losses(name: str, law) -> None:
    runs = swarm(law, noise=0.05)
    fitted = ALL[name].fit(runs.shares, runs.losses)
    assert fitted.differentiable
    for at in INSIDE:
        losses, jacobian = fitted.gradient(at)
        np.testing.assert_allclose(losses, fitted.losses(at), rtol=1e-12)
        np.testing.assert_allclose(jacobian, slopes_by_difference(fitted.losses, at), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", SMOOTH)
def test_slopes_are_finite_where_a_share_is_none(name: str) -> None:
    runs = swarm(waves)
    _, jacobian = ALL[name].fit(runs.shares, runs.losses).gradient(np.array([1.0, 0, 0, 0]))
    assert np.isfinite(jacobian).all()


@pytest.mark.parametrize("name", ["boosting", "average"])
def test_trees_have_no_slopes(name: str) -> None:
    runs = swarm(power_law)
    fitted = ALL[name].fit(runs.shares, runs.losses)
    assert not fitted.differentiable
    with pytest.raises(TypeError, match="no gradient"):
        fitted.gradient(INSIDE[0])


@pytest.mark.parametrize("name", ALL)
def test_the_same_runs_give_the_same_bytes(name: str) -> None:
    runs, at = swarm(waves, noise=0.1), mixtures(20, 3)
    once, again = (ALL[name].fit(runs.shares, runs.losses, 5).losses(at) for _ in range(2))
    assert once.tobytes() == again.tobytes()


@pytest.mark.parametrize("name", ALL)
def test_a_set_is_fitted_alone(name: str) -> None:
    runs, at = swarm(waves, noise=0.1), mixtures(20, 3)
    both = ALL[name].fit(runs.shares, runs.losses).losses(at)
    alone = ALL[name].fit(runs.shares, runs.losses[:, 1:]).losses(at)
    np.testing.assert_allclose(both[:, 1:], alone, rtol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_units_and_offsets_of_losses_do_not_matter(name: str) -> None:
    runs, at = swarm(waves, noise=0.1), mixtures(20, 3)
    plain = ALL[name].fit(runs.shares, runs.losses).losses(at)
    other = ALL[name].fit(runs.shares, 7 + 100 * runs.losses).losses(at)
    np.testing.assert_allclose((other - 7) / 100, plain, atol=2e-4)


@pytest.mark.parametrize("name", ALL)
def test_a_loss_that_is_always_the_same_is_predicted_so(name: str) -> None:
    runs = swarm(power_law)
    losses = np.column_stack([runs.losses[:, 0], np.full(len(runs.losses), 1.25)])
    fitted = ALL[name].fit(runs.shares, losses)
    again = ALL[name].fit(runs.shares[1:], losses[1:], 0, fitted)
    for each in (fitted, again):
        np.testing.assert_allclose(each.losses(mixtures(9, 4))[:, 1], 1.25, rtol=1e-12)
        if each.differentiable:
            np.testing.assert_array_equal(each.gradient(INSIDE[0])[1][1], 0)


@pytest.mark.parametrize("name", ALL)
def test_a_domain_that_no_run_has_changes_nothing(name: str) -> None:
    runs, at = swarm(power_law), mixtures(9, 4)
    wide = np.insert(runs.shares, 2, 0, axis=1)
    plain = ALL[name].fit(runs.shares, runs.losses).losses(at)
    there = ALL[name].fit(wide, runs.losses).losses(np.insert(at, 2, 0, axis=1))
    np.testing.assert_allclose(there, plain, atol=2e-2 * np.ptp(runs.losses))


@pytest.mark.parametrize("name", SMOOTH)
def test_fits_follow_domains_wherever_they_stand(name: str) -> None:
    runs, at = swarm(power_law, noise=0.02), INSIDE[0]
    order = np.array([2, 0, 3, 1])
    losses, jacobian = ALL[name].fit(runs.shares, runs.losses).gradient(at)
    moved, moved_jacobian = ALL[name].fit(runs.shares[:, order], runs.losses).gradient(at[order])
    np.testing.assert_allclose(moved, losses, rtol=1e-4)
    np.testing.assert_allclose(moved_jacobian, jacobian[:, order], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", ["power_law", "gaussian_process", "log_linear"])
def test_beginning_at_a_fit_of_much_the_same_runs_ends_where_a_fresh_one_does(name: str) -> None:
    runs, at = swarm(power_law, noise=0.05), mixtures(20, 3)
    whole = ALL[name].fit(runs.shares, runs.losses)
    warm = ALL[name].fit(runs.shares[2:], runs.losses[2:], 0, whole)
    cold = ALL[name].fit(runs.shares[2:], runs.losses[2:])
    np.testing.assert_allclose(warm.losses(at), cold.losses(at), atol=0.05 * runs.losses.std())


def test_checked_scales_mixtures_and_names_the_bad_run() -> None:
    shares, losses = checked(np.array([[2, 2], [0, 5]]), np.array([[1.0], [2.0]]))
    np.testing.assert_array_equal(shares, [[0.5, 0.5], [0, 1]])
    with pytest.raises(InputError, match=r"run 1 .*nan.* set 0"):
        checked(shares, np.array([[1.0], [np.nan]]))
    with pytest.raises(InputError, match="mixture of run 1"):
        checked(np.array([[1, 0], [0.0, 0]]), losses)
    with pytest.raises(InputError, match="mixture of run 0"):
        checked(np.array([[1.5, -0.5], [0.0, 1]]), losses)
    with pytest.raises(InputError, match=r"shares .runs, domains."):
        checked(shares, losses[:1])


def test_too_few_runs_are_refused_with_the_number_it_takes() -> None:
    need_runs(K + 1, K)
    with pytest.raises(RecipeError, match=r"4 runs .* 4 domains: at least 5 .* 15 are sensible"):
        need_runs(K, K)


def test_scale_there_and_back() -> None:
    losses = np.array([[1.0, 5], [3.0, 5]])
    scale = Scale.of(losses)
    np.testing.assert_array_equal(scale.spread, [1, 0])
    np.testing.assert_array_equal(scale.standard(losses), [[-1, 0], [1, 0]])
    np.testing.assert_array_equal(scale.losses(scale.standard(losses)), losses)
