"""Spectral normalization: how near the largest singular value comes to 1."""

import torch
from torch import Tensor, nn

from benchmarks.closed_forms import Check
from benchmarks.closed_forms.worlds import normal
from trainer.spectral import Spectral, spectral_normalize

ITERATIONS = (1, 5, 20, 50)


def _largest(matrix: Tensor) -> float:
    return float(torch.linalg.matrix_norm(matrix.detach(), 2))


def largest_singular_value() -> Check:
    """A random 64 x 32 matrix, one iteration a step."""
    matrix = normal((64, 32), "spectral")
    layer = Spectral(matrix)
    found = {step: _largest(layer(matrix)) for step in range(1, max(ITERATIONS) + 1)}
    fresh = [abs(_largest(Spectral(matrix, seed)(matrix)) - 1) for seed in range(max(ITERATIONS))]
    return Check(
        *("spectral normalization: largest singular value after 50 steps, off 1", "1802.05957"),
        *(abs(found[max(ITERATIONS)] - 1), 1e-3, "a fresh vector each step, mean of 50", sum(fresh) / len(fresh), 0.05),
        {"by steps": {str(step): found[step] for step in ITERATIONS}},
    )


def slope() -> Check:
    """An MLP of two normalized layers and tanh: no slope above 1 at 200 points."""

    def steepest(normalize: bool) -> float:
        layers: list[nn.Module] = [nn.Linear(16, 32).double(), nn.Tanh(), nn.Linear(32, 4).double()]
        with torch.no_grad():
            for number in (0, 2):
                weight = layers[number].weight
                weight.copy_(normal(tuple(weight.shape), f"slope {number}"))  # type: ignore[arg-type, operator]
        if normalize:
            layers = [spectral_normalize(layer) if isinstance(layer, nn.Linear) else layer for layer in layers]
        mlp = nn.Sequential(*layers)
        for _ in range(50):
            mlp(torch.zeros(1, 16, dtype=torch.float64))
        mlp.eval()
        points = 0.1 * normal((200, 16), "points")
        jacobians = torch.func.vmap(torch.func.jacrev(mlp))(points)
        return float(torch.linalg.matrix_norm(jacobians.detach(), 2).max())

    return Check(
        *("spectral normalization: steepest slope of an MLP", "1802.05957", steepest(True), 1.001),
        *("as it comes", steepest(False), 2.0),
    )


CHECKS = (largest_singular_value, slope)
