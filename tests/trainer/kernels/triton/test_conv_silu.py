"""conv_silu against the naive twin: resets everywhere, states shorter than the taps, isolation, one graph."""

from typing import Any

import pytest
import torch

from jacorpus.errors import RecipeError
from tests.trainer.kernels.triton.conftest import DEVICE, error, on_gpu, starts
from trainer.documents import Documents
from trainer.kernels.conv_silu import conv_silu_naive

RESETS = ((0, 1), (0, 3), (0, 4), (0, 63), (0, 64), (1, 2), (1, 64), (1, 66), (1, 128))
TOLERANCE = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}


def inputs(rows: int, tokens: int, heads: int, head_dim: int) -> dict[str, torch.Tensor]:
    """Float64, exact in float16."""
    torch.manual_seed(tokens)
    found = {
        "zx": torch.randn(rows, tokens, heads, 2 * head_dim),
        "w": torch.randn(heads * head_dim, 1, 4),
        "state": torch.randn(rows, heads * head_dim, 3),
        "dy": torch.randn(rows, tokens, heads, head_dim),
        "dz": torch.randn(rows, tokens, heads, head_dim),
    }
    return {name: value.half().double() for name, value in found.items()}


def naive(zx: torch.Tensor, w: torch.Tensor, start: torch.Tensor, state: torch.Tensor | None) -> Any:
    y, end = conv_silu_naive(zx, w, Documents(start.int().cumsum(1)), state)
    return y, zx[..., : zx.shape[-1] // 2], end


def plain(zx: torch.Tensor, w: torch.Tensor, start: torch.Tensor, state: torch.Tensor | None) -> Any:
    from trainer.kernels.triton.conv_silu import conv_silu

    y, end = conv_silu(zx, w, start, state)
    return y, zx[..., : zx.shape[-1] // 2], end


def gate(zx: torch.Tensor, w: torch.Tensor, start: torch.Tensor, state: torch.Tensor | None) -> Any:
    from trainer.kernels.triton.conv_silu import conv_silu_gate

    return conv_silu_gate(zx, w, start, state)


def run(
    op: Any, given: dict[str, torch.Tensor], start: torch.Tensor, kind: torch.dtype, with_state: bool, device: str
) -> dict[str, torch.Tensor]:
    """y, z, state and the gradients of sum(y * dy) + sum(z * dz)."""
    zx = given["zx"].detach().clone().to(device, kind).requires_grad_()
    w = given["w"].detach().clone().to(device, torch.promote_types(kind, torch.float32)).requires_grad_()
    y, z, end = op(zx, w, start.to(device), given["state"].to(device, kind) if with_state else None)
    ((y.double() * given["dy"].to(device)).sum() + (z.double() * given["dz"].to(device)).sum()).backward()
    assert zx.grad is not None
    assert w.grad is not None
    return {"y": y.detach(), "z": z.detach(), "end": end, "dzx": zx.grad, "dw": w.grad}


def compare(shape: tuple[int, int, int, int], op: Any, kind: torch.dtype, with_state: bool) -> None:
    given, start = inputs(*shape), starts(*shape[:2], *RESETS)
    wanted = run(naive, given, start, torch.float64, with_state, "cpu")
    found = run(op, given, start, kind, with_state, DEVICE)
    worst = {name: error(found[name], wanted[name]) for name in wanted}
    assert max(worst.values()) < TOLERANCE[kind], worst
    assert torch.equal(found["end"].double().cpu(), wanted["end"]), "states are inputs, unchanged"


@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("tokens", [1, 2, 63, 65, 130])
def test_equals_the_naive_twin(tokens: int, with_state: bool) -> None:
    compare((2, tokens, 2, 16), plain, torch.float32, with_state)


@pytest.mark.parametrize(("op", "kind"), [(plain, torch.float16), (gate, torch.float16), (gate, torch.float32)])
def test_half_precision_and_both_halves_at_once(op: Any, kind: torch.dtype) -> None:
    compare((2, 66, 3, 32), op, kind, True)


@on_gpu
@pytest.mark.parametrize("op", [plain, gate])
def test_bfloat16(op: Any) -> None:
    compare((2, 1000, 5, 128), op, torch.bfloat16, True)


def test_documents_are_isolated_and_bits_repeat() -> None:
    border, given = 64, inputs(1, 80, 1, 16)
    start = starts(1, 80, (0, border))
    whole = run(gate, given, start, torch.float32, False, DEVICE)
    again = run(gate, given, start, torch.float32, False, DEVICE)
    assert all(torch.equal(value, again[name]) for name, value in whole.items())
    for changed, kept in ((slice(0, border), slice(border, 80)), (slice(border, 80), slice(0, border))):
        other = dict(given)
        for name in ("zx", "dy", "dz"):
            other[name] = given[name].clone()
            other[name][:, changed] += 1
        found = run(gate, other, start, torch.float32, False, DEVICE)
        assert torch.equal(whole["y"][:, kept], found["y"][:, kept])
        assert torch.equal(whole["dzx"][:, kept], found["dzx"][:, kept])


def arguments(with_state: bool) -> list[torch.Tensor | None]:
    given = inputs(1, 5, 1, 16)
    zx, w = (given[name].float().to(DEVICE).requires_grad_() for name in ("zx", "w"))
    return [zx, w, starts(1, 5, (0, 2)).to(DEVICE), given["state"].float().to(DEVICE) if with_state else None]


@pytest.mark.parametrize("with_state", [False, True])
def test_registered_as_torch_expects(with_state: bool) -> None:
    from trainer.kernels.triton.conv_silu import conv_silu_bwd, conv_silu_fwd

    given = arguments(with_state)
    torch.library.opcheck(conv_silu_fwd, tuple(given))
    rest = [None if value is None else value.detach() for value in given]
    y = conv_silu_fwd(*rest)[0]
    torch.library.opcheck(conv_silu_bwd, (y, y if with_state else None, *rest))


@pytest.mark.parametrize("op", [plain, gate])
def test_compiles_to_one_graph(op: Any) -> None:
    def loss(zx: torch.Tensor, *rest: Any) -> torch.Tensor:
        y, z, _ = op(2 * zx, *rest)
        return (y * z).square().sum()

    eager, traced = arguments(True), arguments(True)
    loss(*eager).backward()
    torch.compile(loss, fullgraph=True, backend="aot_eager")(*traced).backward()
    for one, two in zip(eager[:2], traced[:2], strict=True):
        assert one is not None
        assert two is not None
        assert one.grad is not None
        assert two.grad is not None
        assert torch.equal(one.grad, two.grad)


def test_other_shapes_are_refused() -> None:
    start = starts(1, 2).to(DEVICE)
    with pytest.raises(RecipeError, match="24 elements with d_conv 4"):
        plain(torch.zeros(1, 2, 1, 48, device=DEVICE), torch.zeros(24, 1, 4, device=DEVICE), start, None)
