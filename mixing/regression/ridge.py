"""Ridge regression on [r, log(r + .01), sqrt r]: straight lines through three shapes of each share.

The strength is found for each held-out set by the error of runs left out, which has a closed form (the hat matrix).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mixing.regression.fit import FLOOR, Scale, on_simplex, through_simplex

STRENGTHS = np.logspace(-3, 4, 36)


@dataclass(frozen=True)
class Ridge:
    """offset: under the logarithm, in shares: what makes "none" and "little" alike."""

    offset: float = 0.01

    def features(self, mixture: np.ndarray) -> np.ndarray:
        """[..., 3k]"""
        return np.concatenate([mixture, np.log(mixture + self.offset), np.sqrt(mixture + FLOOR)], axis=-1)

    def slopes(self, mixture: np.ndarray) -> np.ndarray:
        """[3k]: derivative of each feature by its share."""
        return np.concatenate(
            [np.ones_like(mixture), 1 / (mixture + self.offset), 0.5 / np.sqrt(mixture + FLOOR)], axis=-1
        )

    def fit(self, shares: np.ndarray, losses: np.ndarray, seed: int = 0, like: Any = None) -> "FittedRidge":
        """Of shares [n, k] and losses [n, J]; nothing is drawn."""
        scale, n = Scale.of(losses), len(shares)
        features = self.features(shares)
        mean, spread = features.mean(axis=0), features.std(axis=0)
        spread = np.where(spread > 1e-9, spread, 1.0)
        left, sizes, right = np.linalg.svd((features - mean) / spread, full_matrices=False)
        standard = scale.standard(losses)
        inner = left.T @ standard  # [rank, J]
        kept = sizes**2 / (sizes**2 + STRENGTHS[:, None])  # [strengths, rank]
        leverage = kept @ (left.T**2) + 1 / n  # [strengths, n]
        error = np.empty((len(STRENGTHS), losses.shape[1]))
        for i, weight in enumerate(kept):
            rest = (standard - left @ (weight[:, None] * inner)) / np.maximum(1 - leverage[i], 1e-6)[:, None]
            error[i] = (rest**2).mean(axis=0)
        best = STRENGTHS[error.argmin(axis=0)]  # [J]
        weights = right.T @ (sizes[:, None] / (sizes[:, None] ** 2 + best) * inner) / spread[:, None]
        return FittedRidge(self, scale, mean, weights)


@dataclass(frozen=True, eq=False)
class FittedRidge:
    """center [3k]: means of the features; weights [3k, J]."""

    form: Ridge
    scale: Scale
    center: np.ndarray
    weights: np.ndarray
    differentiable: ClassVar[bool] = True
    convex: ClassVar[bool] = False

    def losses(self, shares: np.ndarray) -> np.ndarray:
        """[J], or [m, J]. Of the shares only their proportions count."""
        return self.scale.losses((self.form.features(on_simplex(shares)[0]) - self.center) @ self.weights)

    def gradient(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(losses [J], jacobian [J, k])."""
        mixture, total = on_simplex(shares)
        each = (self.form.slopes(mixture)[:, None] * self.weights).reshape(3, len(mixture), -1).sum(axis=0).T
        return self.losses(shares), through_simplex(self.scale.spread[:, None] * each, mixture, total)
