import pytest
import torch

from tests.trainer.kernels.twins import TOKENS, answers, assert_near, assert_twins, draw
from trainer.kernels.swiglu import swiglu, swiglu_naive


@pytest.mark.parametrize("tokens", TOKENS)
def test_equals_its_twin(tokens: int) -> None:
    assert_twins(swiglu, swiglu_naive, {"gate_up": draw((2, tokens, 26), 1, 2.0)})


def test_gate_comes_first() -> None:
    gate, up = torch.tensor([0.0, 100.0, -100.0]), torch.tensor([7.0, 2.0, 3.0])
    assert torch.equal(swiglu(torch.cat((gate, up))), torch.tensor([0.0, 200.0, 0.0]))


def test_gradcheck() -> None:
    assert torch.autograd.gradcheck(swiglu, draw((3, 8)).requires_grad_())


def test_takes_parts_of_a_tensor() -> None:
    leaf = draw((4, 6, 20))[:, ::2, 4:].detach().requires_grad_()
    (found,) = torch.autograd.grad(swiglu(leaf).square().sum(), leaf)
    copy = leaf.detach().contiguous().requires_grad_()
    (wanted,) = torch.autograd.grad(swiglu_naive(copy).square().sum(), copy)
    assert_near(found, wanted, 1e-12)


def test_bfloat16() -> None:
    x = draw((2, 9, 64)).bfloat16()
    found, wanted = answers(swiglu, {"gate_up": x}), answers(swiglu_naive, {"gate_up": x.double()})
    for name, value in wanted.items():
        assert found[name].dtype == torch.bfloat16
        assert_near(found[name], value, 2e-2, name)
