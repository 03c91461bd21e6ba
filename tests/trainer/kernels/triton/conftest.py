"""Without a GPU the kernels of this folder run in Triton's interpreter, on CPU tensors.

Kernels become interpreted when they are made, at import: the variable is set for that moment and for these tests alone,
so that it reaches no other test of the process. Where triton was imported before, the tests skip and say so.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"
LATE = not GPU and "triton" in sys.modules

on_gpu = pytest.mark.skipif(not GPU, reason="needs a GPU: bfloat16 of Triton's interpreter is wrong")

if not GPU and not LATE:
    before = os.environ.get("TRITON_INTERPRET")
    os.environ["TRITON_INTERPRET"] = "1"
    try:
        from trainer.kernels.triton import conv_silu, linear_ce, ssd  # noqa: F401
    finally:
        if before is None:
            del os.environ["TRITON_INTERPRET"]
        else:
            os.environ["TRITON_INTERPRET"] = before


@pytest.fixture(autouse=True)
def _interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    if LATE:
        pytest.skip("triton was imported before this folder's conftest could choose its interpreter")
    if not GPU:
        monkeypatch.setenv("TRITON_INTERPRET", "1")


@pytest.fixture(autouse=True)
def _few_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs go through all heads, as on full GPUs; small tests would otherwise get a program a head."""
    from trainer.kernels.triton import tables

    monkeypatch.setattr(tables, "PROGRAMS", 1)


def error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Norm of the difference by the norm of what is wanted."""
    wanted = wanted.detach().double().cpu()
    return float((found.detach().double().cpu() - wanted).norm() / wanted.norm().clamp_min(1e-30))


def starts(rows: int, tokens: int, *places: tuple[int, int]) -> torch.Tensor:
    """bool [B, T]: column 0 and the given (row, token)."""
    start = torch.zeros(rows, tokens, dtype=torch.bool)
    start[:, 0] = True
    for row, token in places:
        if token < tokens:
            start[row, token] = True
    return start


def ssd_inputs(rows: int, tokens: int, heads: int, head_dim: int, n: int) -> dict[str, torch.Tensor]:
    """Float64 inputs exact in float16; x and z are halves of one projection."""
    torch.manual_seed(tokens)
    z, x = torch.randn(rows, tokens, heads, 2 * head_dim).chunk(2, -1)
    found = {
        "x": x,
        "dt": torch.randn(rows, tokens, heads),
        "a": -0.1 - 2 * torch.rand(heads),
        "b": torch.randn(rows, tokens, n),
        "c": torch.randn(rows, tokens, n),
        "d": torch.randn(heads),
        "z": z,
        "bias": torch.randn(heads) - 1,
        "state": torch.randn(rows, heads, head_dim, n),
        "dy": torch.randn(rows, tokens, heads, head_dim),
        "dend": torch.randn(rows, heads, head_dim, n),
    }
    return {name: value.half().double() for name, value in found.items()}


def triton_ssd(*args: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The operation, imported when called."""
    from trainer.kernels.triton.ssd import ssd

    return ssd(*args)


NAMES = ("x", "dt", "a", "b", "c", "d", "z", "bias")
WIDE = ("a", "d", "bias", "state")
"""Kept in float32 where the rest is narrow, as in the model."""


def ssd_run(
    op: Callable[..., tuple[torch.Tensor, torch.Tensor]],
    inputs: dict[str, torch.Tensor],
    start: torch.Tensor,
    kind: torch.dtype,
    with_state: bool,
    device: str = "cpu",
) -> dict[str, torch.Tensor]:
    """y, the final state and all gradients of sum(y * dy) + sum(state * dend)."""
    zx = torch.cat((inputs["z"], inputs["x"]), -1).to(device, kind)
    size = inputs["x"].shape[-1]
    leaves = {"z": zx[..., :size], "x": zx[..., size:]}
    for name in (*NAMES, "state"):
        if name not in leaves:
            narrow = torch.float32 if name in WIDE and kind.itemsize < 4 else kind
            leaves[name] = inputs[name].to(device, narrow)
    leaves = {name: leaf.detach().requires_grad_() for name, leaf in leaves.items()}
    y, end = op(*(leaves[name] for name in NAMES), start.to(device), leaves["state"] if with_state else None)
    dy, dend = inputs["dy"].to(device), inputs["dend"].to(device)
    ((y.double() * dy).sum() + (end.double() * dend).sum()).backward()
    found = {"y": y.detach(), "end": end.detach()}
    for name in (*NAMES, "state") if with_state else NAMES:
        grad = leaves[name].grad
        assert grad is not None
        found["d" + name] = grad
    return found
