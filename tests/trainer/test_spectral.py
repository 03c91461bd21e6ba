"""Spectral normalization: how fast it gets there, that it is torch's, what is saved."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from benchmarks.closed_forms import spectral
from benchmarks.closed_forms.worlds import normal
from tests.trainer.losses.closed_form import held
from trainer.spectral import Spectral, spectral_normalize


def test_the_largest_singular_value_comes_to_1() -> None:
    found = held(spectral.largest_singular_value()).more["by steps"]
    off = [abs(found[str(steps)] - 1) for steps in spectral.ITERATIONS]
    assert off == sorted(off, reverse=True)
    assert off[0] > 0.1
    assert off[1] <= 0.2
    assert off[2] <= 1e-2


def test_no_slope_above_1() -> None:
    held(spectral.slope())


@pytest.mark.parametrize("layer", [nn.Linear(12, 7), nn.Conv2d(3, 5, 3)])
def test_it_is_torch_s(layer) -> None:
    layer = layer.double()
    matrix = normal(tuple(layer.weight.shape), "torch")
    ours = Spectral(matrix)
    theirs = nn.utils.parametrizations.spectral_norm(layer)
    with torch.no_grad():
        theirs.parametrizations.weight.original.copy_(matrix)
        theirs.parametrizations.weight[0]._v.copy_(ours.v)
        for _ in range(5):
            assert (ours(matrix) - theirs.weight).abs().max() <= 1e-12


def test_the_gradient_is_that_of_the_quotient() -> None:
    weight = normal((4, 3), "gradient").requires_grad_()
    layer = Spectral(weight)
    layer.eval()
    assert torch.autograd.gradcheck(layer, weight)


def test_evaluation_moves_nothing_and_the_vector_is_saved() -> None:
    head = spectral_normalize(nn.Linear(6, 1))
    head(torch.zeros(1, 6))
    saved = {name: value.clone() for name, value in head.state_dict().items()}
    head.eval()
    first = head.weight.clone()
    assert head.weight.equal(first)
    assert all(head.state_dict()[name].equal(value) for name, value in saved.items())
    other = spectral_normalize(nn.Linear(6, 1), seed=5)
    other.load_state_dict(saved)
    other.eval()
    assert other.weight.equal(first)
    parametrize.remove_parametrizations(other, "weight")
    assert other.weight.equal(first)


def test_it_follows_from_seed_and_name() -> None:
    matrix = normal((8, 4), "seed")
    assert Spectral(matrix).u.equal(Spectral(matrix).u)
    assert not Spectral(matrix).u.equal(Spectral(matrix, 1).u)
    assert not Spectral(matrix).u.equal(Spectral(matrix, 0, "other").u)
