import pytest
import torch

from tests.trainer.kernels.twins import TOKENS, answers, assert_near, assert_twins, draw
from trainer.kernels.norm import rms_norm, rms_norm_naive, sandwich_norm, sandwich_norm_naive

EPS = 1e-6


@pytest.mark.parametrize("offset", [0.0, 1.0, 0.2])
@pytest.mark.parametrize("tokens", TOKENS)
def test_equals_its_twin(tokens: int, offset: float) -> None:
    inputs = {"x": draw((2, tokens, 24), 1, 3.0), "weight": draw((24,), 2)}
    assert_twins(rms_norm, rms_norm_naive, inputs, offset=offset, eps=EPS)


def test_without_scale_and_with_one_a_head() -> None:
    assert_twins(
        lambda x: rms_norm(x, None, 1.0, EPS), lambda x: rms_norm_naive(x, None, 1.0, EPS), {"x": draw((2, 5, 3, 8))}
    )
    inputs = {"x": draw((2, 5, 3, 8)), "weight": draw((3, 8), 1)}
    assert_twins(rms_norm, rms_norm_naive, inputs, offset=0.0, eps=EPS)


def test_is_the_formula() -> None:
    x, weight = draw((4, 6)), draw((6,), 1)
    wanted = x / (x.pow(2).mean(-1, keepdim=True) + EPS).sqrt() * (0.5 + weight)
    assert_near(rms_norm(x, weight, 0.5, EPS), wanted, 1e-14)
    assert_near(rms_norm(x, weight - 0.5, 0.5, EPS), torch.nn.functional.rms_norm(x, (6,), weight, EPS), 1e-14)


def test_takes_parts_of_a_tensor() -> None:
    whole, weight = draw((2, 7, 40)), draw((16,), 1)
    for part in (whole[..., 8:24], whole.transpose(0, 1)[..., :16], whole[:, ::2, 24:]):
        leaf, copy = part.detach().requires_grad_(), part.detach().contiguous().requires_grad_()
        (found,) = torch.autograd.grad(rms_norm(leaf, weight, 1.0, EPS).pow(3).sum(), leaf)
        (wanted,) = torch.autograd.grad(rms_norm_naive(copy, weight, 1.0, EPS).pow(3).sum(), copy)
        assert_near(found, wanted, 1e-12)


def test_gradcheck() -> None:
    x, weight = draw((2, 3, 5)).requires_grad_(), draw((5,), 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, w: rms_norm(x, w, 0.2, EPS), (x, weight))


def test_half_types_are_rounded_once() -> None:
    """Inside all is float32: the answer is the float32 answer, rounded."""
    x, weight = draw((3, 9, 32)).bfloat16(), draw((32,), 1).float()
    assert torch.equal(rms_norm(x, weight, 1.0, EPS), rms_norm(x.float(), weight, 1.0, EPS).bfloat16())
    found = answers(lambda x, weight: rms_norm(x, weight, 1.0, EPS), {"x": x, "weight": weight})
    assert found["d x"].dtype == torch.bfloat16
    assert found["d weight"].dtype == torch.float32
    wanted = answers(lambda x, weight: rms_norm_naive(x, weight, 1.0, EPS), {"x": x.double(), "weight": weight})
    for name, value in wanted.items():
        assert_near(found[name], value, 2e-2, name)


def test_zeros_and_large_values_stay_finite() -> None:
    for x in (torch.zeros(2, 8), torch.full((2, 8), 1e15), torch.full((2, 8), -1e-30)):
        leaf = x.requires_grad_()
        y = rms_norm(leaf, torch.zeros(8), 1.0, EPS)
        (gradient,) = torch.autograd.grad(y.sum(), leaf)
        assert y.isfinite().all()
        assert gradient.isfinite().all()


@pytest.mark.parametrize("tokens", TOKENS)
def test_sandwich(tokens: int) -> None:
    shape = (2, tokens, 16)
    inputs = {
        "residual": draw(shape, 1),
        "branch": draw(shape, 2, 5.0),
        "w_post": draw((16,), 3),
        "w_pre": draw((16,), 4),
    }
    assert_twins(sandwich_norm, sandwich_norm_naive, inputs, o_post=0.2, o_pre=1.0, eps=EPS)


def test_sandwich_of_half_types() -> None:
    residual, branch, w = draw((2, 5, 16), 1).bfloat16(), draw((2, 5, 16), 2).bfloat16(), draw((16,), 3).float()
    found, wanted = (f(residual, branch, w, 0.2, w, 1.0, EPS) for f in (sandwich_norm, sandwich_norm_naive))
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == torch.bfloat16
        assert_near(a, b, 1e-2)
