"""Loss as c + exp(t.r): the mixing law (arXiv 2403.16952) in the form that Olmix fits for each task.

Huber's loss, so that a run that went wrong does not bend the rest, and a weak pull of t toward its mean. On mixtures of
sum 1 a constant can move between all t at once; here the largest t is 0 and the constant stands apart, so that shares
that add up to less (repeats worth less than new text) never predict a lower loss. Convex. Far from all runs it says too
much: an exponential of what a corner's slope happens to be.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mixing.regression.fit import Scale

STARTS = (0.5, 2.0)
"""How far below the least standard loss c is."""


@dataclass(frozen=True)
class LogLinear:
    """pull: strength of the pull, as if that many runs spoke for it. huber: residual, in deviations of the losses,
    from which it counts by its size alone. steps: most evaluations for a start."""

    pull: float = 0.03
    huber: float = 0.3
    steps: int = 100

    def fit(self, shares: np.ndarray, losses: np.ndarray, seed: int = 0, like: Any = None) -> "FittedLogLinear":
        """Of shares [n, k] and losses [n, J]; nothing is drawn. like: where to begin."""
        from scipy.optimize import least_squares

        scale, (n, k) = Scale.of(losses), shares.shape
        standard = scale.standard(losses)
        found = np.zeros((losses.shape[1], k + 1))
        weight = np.sqrt(self.pull / k)

        def residuals(at: np.ndarray, wanted: np.ndarray) -> np.ndarray:
            value = at[0] + np.exp(np.minimum(shares @ at[1:], 60))
            return np.r_[value - wanted, weight * (at[1:] - at[1:].mean())]

        def jacobian(at: np.ndarray, wanted: np.ndarray) -> np.ndarray:
            value = np.exp(np.minimum(shares @ at[1:], 60))
            each = np.zeros((n + k, k + 1))
            each[:n, 0], each[:n, 1:] = 1, value[:, None] * shares
            each[n:, 1:] = weight * (np.eye(k) - 1 / k)
            return each

        for j in np.flatnonzero(scale.spread):
            wanted = standard[:, j]
            starts = [np.r_[wanted.min() - below, np.full(k, np.log(below - wanted.min()))] for below in STARTS]
            if like is not None and like.scale.spread[j]:
                starts = [np.r_[like.floor[j], like.constant[j] + like.slopes[j]]]
            answers = [
                least_squares(
                    residuals, start, jacobian, loss="huber", f_scale=self.huber, max_nfev=self.steps, args=(wanted,)
                )
                for start in starts
            ]
            found[j] = min(answers, key=lambda answer: answer.cost).x
        most = found[:, 1:].max(axis=1)
        return FittedLogLinear(scale, found[:, 0], most, found[:, 1:] - most[:, None])


@dataclass(frozen=True, eq=False)
class FittedLogLinear:
    """Of standard losses: floor c [J], constant [J], slopes t [J, k], none above 0."""

    scale: Scale
    floor: np.ndarray
    constant: np.ndarray
    slopes: np.ndarray
    differentiable: ClassVar[bool] = True
    convex: ClassVar[bool] = True

    def losses(self, shares: np.ndarray) -> np.ndarray:
        """[J], or [m, J]; shares may add up to less than 1."""
        return self.scale.losses(self.floor + np.exp(np.minimum(self.constant + shares @ self.slopes.T, 60)))

    def gradient(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(losses [J], jacobian [J, k])."""
        rise = self.scale.spread * np.exp(np.minimum(self.constant + self.slopes @ shares, 60))
        return self.losses(shares), rise[:, None] * self.slopes
