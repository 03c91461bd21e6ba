import math

import pytest
import torch

from tests.trainer.kernels.twins import TOKENS, answers, assert_near, assert_twins, documents, draw
from trainer.config import RopeScaling
from trainer.kernels.qk_norm_rope import _frequencies, qk_norm_rope, qk_norm_rope_naive, rope_tables, rotate

H, K, P = 4, 2, 8
KINDS = {"per_head": ((H, P), (K, P), 0.0), "shared": ((P,), (P,), 1.0)}


def tables_of(tokens: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    return rope_tables(documents("mixed", 2, tokens).position_BT, P, 10_000.0, None, dtype)


def call(operation, dtype_tables, eps=1e-6):  # type: ignore[no-untyped-def]
    """With tables in the type of the input."""

    def run(qkv, q_weight=None, k_weight=None, offset=0.0):  # type: ignore[no-untyped-def]
        tables = None if dtype_tables is None else tuple(t.to(qkv.dtype) for t in dtype_tables)
        return operation(qkv, H, K, q_weight, k_weight, offset, eps, tables)

    return run


@pytest.mark.parametrize("turned", [True, False])
@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("tokens", TOKENS)
def test_equals_its_twin(tokens: int, kind: str, turned: bool) -> None:
    q_shape, k_shape, offset = KINDS[kind]
    tables = tables_of(tokens) if turned else None
    inputs = {"qkv": draw((2, tokens, (H + 2 * K) * P)), "q_weight": draw(q_shape, 1), "k_weight": draw(k_shape, 2)}
    assert_twins(call(qk_norm_rope, tables), call(qk_norm_rope_naive, tables), inputs, offset=offset)


def test_without_norm() -> None:
    tables = tables_of(9)
    assert_twins(call(qk_norm_rope, tables), call(qk_norm_rope_naive, tables), {"qkv": draw((2, 9, (H + 2 * K) * P))})


def test_gradcheck() -> None:
    tables = rope_tables(torch.arange(3)[None], 4, 100.0, None, torch.float64)
    inputs = [draw((1, 3, 16)), draw((2, 4), 1), draw((1, 4), 2)]
    assert torch.autograd.gradcheck(
        lambda qkv, q, k: qk_norm_rope(qkv, 2, 1, q, k, 0.0, 1e-6, tables), [i.requires_grad_() for i in inputs]
    )


def test_a_step_has_no_token_axis() -> None:
    position = torch.tensor([3, 11])
    qkv, weights = draw((2, 1, (H + 2 * K) * P)), (draw((H, P), 1), draw((K, P), 2))
    whole = qk_norm_rope(qkv, H, K, *weights, 0.0, 1e-6, rope_tables(position[:, None], P, 1e4, None, torch.float64))
    step = qk_norm_rope(qkv[:, 0], H, K, *weights, 0.0, 1e-6, rope_tables(position, P, 1e4, None, torch.float64))
    for a, b in zip(whole, step, strict=True):
        assert_near(b, a[:, 0], 1e-14)


def test_bfloat16() -> None:
    qkv, weights = draw((2, 9, (H + 2 * K) * P)).bfloat16(), (draw((H, P), 1).float(), draw((K, P), 2).float())
    tables = tables_of(9, torch.float32)

    def run(operation, qkv):  # type: ignore[no-untyped-def]
        return operation(
            qkv, H, K, *(w.to(qkv.dtype) if qkv.dtype == torch.float64 else w for w in weights), 0.0, 1e-6, tables
        )

    found = answers(lambda qkv: run(qk_norm_rope, qkv), {"qkv": qkv})
    wanted = answers(lambda qkv: run(qk_norm_rope_naive, qkv), {"qkv": qkv.double()})
    for name, value in wanted.items():
        assert found[name].dtype == torch.bfloat16
        assert_near(found[name], value, 2e-2, name)


def test_rotation_is_by_complex_numbers() -> None:
    """Element i and element i + P/2 are one complex number, turned by exp(1j * position * frequency)."""
    position = torch.arange(5)
    x = draw((5, 3, P))
    turn = torch.exp(1j * position[:, None].double() * 10_000.0 ** (-torch.arange(0, P, 2).double() / P))
    wanted = torch.complex(*x.chunk(2, -1)) * turn[:, None]
    found = rotate(x, rope_tables(position, P, 10_000.0, None, torch.float64))
    assert_near(found, torch.cat((wanted.real, wanted.imag), -1), 1e-14)


def test_scores_depend_on_the_distance_alone() -> None:
    q, k = draw((1, 1, P), 1), draw((1, 1, P), 2)

    def score(i: int, j: int) -> float:
        a, b = (rotate(x, rope_tables(torch.tensor([p]), P, 1e4, None, torch.float64)) for x, p in ((q, i), (k, j)))
        return (a * b).sum().item()

    assert score(7, 3) == pytest.approx(score(5_000_004, 5_000_000), abs=1e-9)


def test_position_ten_million_is_as_exact_as_the_first() -> None:
    position = 10_000_000
    cos, sin = rope_tables(torch.tensor([position]), 128, 10_000.0)
    for i in range(64):
        angle = math.fmod(position * 10_000.0 ** (-2 * i / 128), 2 * math.pi)
        assert cos[0, 0, i].item() == pytest.approx(math.cos(angle), abs=1e-7)
        assert sin[0, 0, i].item() == pytest.approx(math.sin(angle), abs=1e-7)


@pytest.mark.parametrize("base", [10_000.0, 500_000.0])
def test_llama3_scaling_is_that_of_transformers(base: float) -> None:
    utils = pytest.importorskip("transformers.modeling_rope_utils")
    from transformers import LlamaConfig

    scaling = RopeScaling(8.0, 1.0, 4.0, 8192)
    theirs = LlamaConfig(
        hidden_size=1024,
        num_attention_heads=8,
        head_dim=128,
        max_position_embeddings=131_072,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": base,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    )
    wanted, factor = utils.ROPE_INIT_FUNCTIONS["llama3"](theirs, "cpu")
    assert factor == 1.0
    found = _frequencies(128, base, scaling, "cpu")
    torch.testing.assert_close(found.float(), wanted.float(), rtol=2e-6, atol=0)
    plain = _frequencies(128, base, None, "cpu")
    assert torch.equal(found[0], plain[0])
    assert found[-1] == plain[-1] / 8
