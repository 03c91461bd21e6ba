"""ORPO against its naive formula, and log(1 - exp x) where that has no digits left."""

import math

import pytest
import torch

from benchmarks.closed_forms import pairs
from tests.trainer.losses.closed_form import held
from trainer.losses.orpo import log1mexp


def test_the_term_of_odds() -> None:
    held(pairs.orpo())


@pytest.mark.parametrize("x", [-1e-9, -1e-3, -math.log(2), -5.0, -60.0])
def test_log1mexp_keeps_its_digits(x: float) -> None:
    given = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    found = log1mexp(given)
    wanted = math.log1p(-math.exp(x)) if x < -1 else math.log(-math.expm1(x))
    assert float(found.detach()) == pytest.approx(wanted, rel=1e-13)
    assert torch.autograd.grad(found, given)[0].item() == pytest.approx(-1 / math.expm1(-x), rel=1e-12)


def test_certainty_is_finite() -> None:
    given = torch.zeros(2, requires_grad=True)
    found = log1mexp(given)
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert torch.isfinite(given.grad).all()
