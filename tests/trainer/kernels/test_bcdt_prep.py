import pytest
import torch

from tests.trainer.kernels.twins import TOKENS, assert_near, assert_twins, draw
from trainer.kernels.bcdt_prep import bcdt_prep, bcdt_prep_naive

N, R = 8, 5
WEIGHTS = {"b_weight_N": draw((N,), 1), "c_weight_N": draw((N,), 2), "dt_weight_R": draw((R,), 3)}


@pytest.mark.parametrize("tokens", TOKENS)
def test_equals_its_twin(tokens: int) -> None:
    assert_twins(bcdt_prep, bcdt_prep_naive, {"bcdt": draw((2, tokens, 2 * N + R)), **WEIGHTS}, eps=1e-6)


def test_order_is_b_c_dt_each_with_its_norm() -> None:
    bcdt = draw((3, 2 * N + R))
    b, c, dt = bcdt_prep(bcdt, *WEIGHTS.values(), 1e-6)
    for found, part, weight in zip((b, c, dt), bcdt.split((N, N, R), -1), WEIGHTS.values(), strict=True):
        assert_near(found, torch.nn.functional.rms_norm(part, part.shape[-1:], weight, 1e-6), 1e-13)


def test_a_step_has_no_token_axis() -> None:
    whole = bcdt_prep(draw((2, 3, 2 * N + R)), *WEIGHTS.values(), 1e-6)
    step = bcdt_prep(draw((2, 3, 2 * N + R))[:, 1], *WEIGHTS.values(), 1e-6)
    for a, b in zip(whole, step, strict=True):
        assert torch.equal(a[:, 1], b)


def test_gradcheck() -> None:
    inputs = [draw((2, 2 * 2 + 3)), draw((2,), 1), draw((2,), 2), draw((3,), 3)]
    assert torch.autograd.gradcheck(lambda *i: bcdt_prep(*i, 1e-6), [i.requires_grad_() for i in inputs])
