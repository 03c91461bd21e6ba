"""ssd as an operation: against the naive twin, isolation, same bits twice, and what torch.compile needs."""

from typing import Any

import pytest
import torch

from jacorpus.errors import RecipeError
from tests.trainer.kernels.triton.conftest import (
    DEVICE,
    NAMES,
    error,
    on_gpu,
    ssd_inputs,
    ssd_run,
    starts,
    triton_ssd,
)
from trainer.kernels.ssd import ssd_naive

RESETS = ((0, 5), (0, 6), (0, 7), (0, 63), (0, 64), (0, 100), (1, 64), (1, 128))
"""Mid-chunk, one after another, at the last and first token of a chunk."""

TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.5e-2}


def compare(
    shape: tuple[int, int, int, int, int], resets: tuple[tuple[int, int], ...], kind: torch.dtype, with_state: bool
) -> None:
    inputs, start = ssd_inputs(*shape), starts(*shape[:2], *resets)
    wanted = ssd_run(ssd_naive, inputs, start, torch.float64, with_state)
    found = ssd_run(triton_ssd, inputs, start, kind, with_state, DEVICE)
    assert found.keys() == wanted.keys()
    assert found["y"].dtype == kind
    assert found["end"].dtype == torch.float32
    worst = {name: error(found[name], wanted[name]) for name in wanted}
    assert max(worst.values()) < TOLERANCE[kind], worst


@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("tokens", [1, 63, 65, 130])
def test_equals_the_naive_twin(tokens: int, with_state: bool) -> None:
    compare((2, tokens, 2, 16, 16), RESETS, torch.float32, with_state)


@pytest.mark.parametrize("tokens", [65, 130])
def test_half_precision(tokens: int) -> None:
    compare((2, tokens, 2, 16, 16), RESETS, torch.float16, True)


@pytest.mark.parametrize(("heads", "head_dim", "n"), [(1, 32, 64), (3, 128, 16), (1, 64, 128)])
def test_shapes(heads: int, head_dim: int, n: int) -> None:
    compare((1, 70, heads, head_dim, n), ((0, 66),), torch.float32, True)


def test_a_program_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.kernels.triton import tables

    monkeypatch.setattr(tables, "PROGRAMS", 6)
    compare((1, 65, 5, 16, 16), (), torch.float32, False)


@on_gpu
@pytest.mark.parametrize("head_dim", [16, 32, 64, 128])
@pytest.mark.parametrize("n", [16, 64, 128])
def test_bfloat16(head_dim: int, n: int) -> None:
    compare((2, 1000, 5, head_dim, n), (*RESETS, (0, 999), (1, 501)), torch.bfloat16, True)


@pytest.mark.parametrize("border", [64, 90])
def test_documents_are_isolated(border: int) -> None:
    """All of one document changes; outputs and gradients of the other stay the same bits, in both directions."""
    inputs, start = ssd_inputs(1, 100, 2, 16, 16), starts(1, 100, (0, border))
    whole = ssd_run(triton_ssd, inputs, start, torch.float32, False, DEVICE)
    for changed, kept in ((slice(0, border), slice(border, 100)), (slice(border, 100), slice(0, border))):
        other = dict(inputs)
        for name in ("x", "dt", "b", "c", "z", "dy"):
            other[name] = inputs[name].clone()
            other[name][:, changed] = 3 * torch.randn_like(inputs[name][:, changed])
        again = ssd_run(triton_ssd, other, start, torch.float32, False, DEVICE)
        for name in ("y", "dx", "ddt", "db", "dc", "dz"):
            assert torch.equal(whole[name][:, kept], again[name][:, kept]), name
            assert not torch.equal(whole[name][:, changed], again[name][:, changed])
        if kept.start:
            assert torch.equal(whole["end"], again["end"])


def test_same_bits_twice() -> None:
    inputs, start = ssd_inputs(2, 65, 2, 16, 16), starts(2, 65, *RESETS)
    first, second = (ssd_run(triton_ssd, inputs, start, torch.float16, True, DEVICE) for _ in range(2))
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_state_goes_on() -> None:
    """Two halves with the state between them equal the whole, also where the second half claims a start."""
    inputs, start = ssd_inputs(1, 96, 2, 16, 16), starts(1, 96, (0, 20))
    args = [inputs[name].float().to(DEVICE) for name in NAMES]
    y, end = triton_ssd(*args, start.to(DEVICE))
    sliced = [[value[:, part] if value.ndim > 1 else value for value in args] for part in (slice(0, 33), slice(33, 96))]
    y1, middle = triton_ssd(*sliced[0], start[:, :33].to(DEVICE))
    y2, last = triton_ssd(*sliced[1], starts(1, 63).to(DEVICE), middle)
    assert error(torch.cat((y1, y2), 1), y) < 1e-6
    assert error(last, end) < 1e-6


def arguments(tokens: int, with_state: bool) -> list[torch.Tensor | None]:
    inputs = ssd_inputs(1, tokens, 1, 16, 16)
    found: list[torch.Tensor | None] = [inputs[name].float().to(DEVICE).requires_grad_() for name in NAMES]
    state = inputs["state"].float().to(DEVICE).requires_grad_()
    return [*found, starts(1, tokens, (0, 3)).to(DEVICE), state if with_state else None]


@pytest.mark.parametrize("with_state", [False, True])
def test_registered_as_torch_expects(with_state: bool) -> None:
    from trainer.kernels.triton.ssd import ssd_bwd, ssd_fwd

    given = arguments(5, with_state)
    torch.library.opcheck(ssd_fwd, tuple(given))
    plain = [None if value is None else value.detach() for value in given]
    y, end, *kept = ssd_fwd(*plain)
    torch.library.opcheck(ssd_bwd, (y, end if with_state else None, *plain[:8], *kept))


def test_compiles_to_one_graph() -> None:
    def loss(*args: Any) -> torch.Tensor:
        y, end = triton_ssd(*args)
        return y.square().sum() + end.sum()

    plain, traced = arguments(9, True), arguments(9, True)
    loss(*plain).backward()
    torch.compile(loss, fullgraph=True, backend="aot_eager")(*traced).backward()
    for one, two in zip(plain, traced, strict=True):
        if one is not None and two is not None and one.grad is not None:
            assert torch.equal(one.grad, two.grad)  # type: ignore[arg-type]


def test_a_gradient_of_the_state_alone() -> None:
    given = arguments(5, True)
    triton_ssd(*given)[1].sum().backward()
    assert given[0] is not None
    assert given[6] is not None
    assert given[0].grad is not None
    assert given[6].grad is not None
    assert given[0].grad.abs().sum() > 0
    assert given[6].grad.abs().sum() == 0


def test_other_shapes_are_refused() -> None:
    inputs = ssd_inputs(1, 3, 1, 24, 16)
    with pytest.raises(RecipeError, match="a Mamba head of 24 elements"):
        triton_ssd(*(inputs[name].float().to(DEVICE) for name in NAMES), starts(1, 3).to(DEVICE))
