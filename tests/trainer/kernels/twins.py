"""A fast path beside its naive twin: answers and all gradients, in float64 tightly, in float32 against float64."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from trainer.documents import Documents

TOKENS = (1, 3, 63, 64, 65, 130)

Operation = Callable[..., torch.Tensor | Sequence[torch.Tensor]]


def documents(kind: str, rows: int, tokens: int) -> Documents:
    """Rows of documents. one: one a row. single: each token is one. borders: they begin at and beside the borders of
    chunks of 64. mixed: by chance, with runs of short ones, other ones in each row."""
    start_BT = torch.zeros(rows, tokens, dtype=torch.bool)
    if kind == "single":
        start_BT[:] = True
    elif kind == "borders":
        for row in range(rows):
            places = [p for p in (63 + row % 2, 64, 65, 100, 128) if p < tokens]
            start_BT[row, places] = True
    elif kind == "mixed":
        start_BT = torch.rand(rows, tokens, generator=torch.Generator().manual_seed(tokens)) < 0.08
        start_BT[:, 5:9] = True
    start_BT[:, 0] = False
    return Documents(start_BT.int().cumsum(1).int())


def draw(shape: Sequence[int], seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    """float64, normal."""
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


def answers(operation: Operation, inputs: dict[str, torch.Tensor], **fixed: Any) -> dict[str, torch.Tensor]:
    """Outputs, and the gradient by each input of a sum of the outputs with fixed random weights."""
    leaves = {name: value.detach().clone().requires_grad_() for name, value in inputs.items()}
    outputs = operation(**leaves, **fixed)
    outputs = (outputs,) if isinstance(outputs, torch.Tensor) else tuple(outputs)
    found = {f"output {i}": each.detach() for i, each in enumerate(outputs)}
    taken = [each for each in outputs if each.requires_grad]
    total = sum((each * draw(each.shape, i).to(each.dtype)).sum() for i, each in enumerate(taken))
    gradients = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True):
        found[f"d {name}"] = torch.zeros_like(leaf) if gradient is None else gradient
    return found


def assert_near(found: torch.Tensor, wanted: torch.Tensor, tolerance: float, name: str = "") -> None:
    """Within tolerance of the largest value, 1 at least."""
    assert found.shape == wanted.shape, name
    scale = max(1.0, wanted.abs().max().item()) if wanted.numel() else 1.0
    error = (found.double() - wanted.double()).abs().max().item() if wanted.numel() else 0.0
    assert error <= tolerance * scale, f"{name}: off by {error:.3g} at scale {scale:.3g}"


def assert_twins(
    fast: Operation, naive: Operation, inputs: dict[str, torch.Tensor], fp32: float = 2e-5, **fixed: Any
) -> None:
    """inputs: float64. float64 within 1e-12; float32 within ``fp32`` of the naive twin in float64."""
    wanted = answers(naive, inputs, **fixed)
    for kind, tolerance in ((torch.float64, 1e-12), (torch.float32, fp32)):
        found = answers(fast, {name: value.to(kind) for name, value in inputs.items()}, **fixed)
        for name, value in wanted.items():
            assert found[name].dtype == kind
            assert_near(found[name], value, tolerance, f"{kind} {name}")
