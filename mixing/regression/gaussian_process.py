"""Gaussian process over sqrt r: a smooth surface whose bends follow the runs, with a length for each domain.

    kernel(r, r') = s exp(-1/2 sum_i (sqrt r_i - sqrt r'_i)^2 / l_i^2)  + noise, on standard losses

Lengths are what matters: with one for all domains it ranks far worse. They, s and the noise are found for each held-out
set by the likelihood of the runs times a lognormal prior on the lengths, one e-fold wide around the spread of the runs
(Rasmussen and Williams, Gaussian Processes for Machine Learning, 5.4.1), on at most ``most`` runs drawn by the seed;
the surface then goes through all. sqrt, for a share's first percents move a loss most.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mixing.regression.fit import FLOOR, Scale, on_simplex, through_simplex

REACH = 4.0
"""Bound of a log length about its prior's middle."""

SIGNAL, NOISE = (-3.0, 5.0), (float(np.log(1e-6)), 1.0)
"""Bounds of log s and of the noise's logarithm."""

ROWS = 4096
"""Mixtures that are predicted at once."""


def places(mixture: np.ndarray) -> np.ndarray:
    """[..., k]: where a mixture lies for the kernel."""
    return np.sqrt(mixture + FLOOR)


def similarity(a: np.ndarray, b: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """[n, m]: the kernel of places [n, k] and [m, k] for s = 1."""
    a, b = a / lengths, b / lengths
    half = a @ b.T
    half -= 0.5 * (a * a).sum(axis=1)[:, None]
    half -= 0.5 * (b * b).sum(axis=1)
    return np.exp(np.minimum(half, 0, out=half), out=half)


@dataclass(frozen=True)
class GaussianProcess:
    """most: runs that lengths are found on, for they cost n^3. steps: most rounds of the search for them."""

    most: int = 256
    steps: int = 60

    def fit(self, shares: np.ndarray, losses: np.ndarray, seed: int = 0, like: Any = None) -> "FittedGaussianProcess":
        """Of shares [n, k] and losses [n, J]. like: its kernels are kept, so only a linear system is left."""
        scale, at = Scale.of(losses), places(shares)
        standard, kernels = scale.standard(losses), np.zeros((losses.shape[1], shares.shape[1] + 2))
        if like is not None:
            kernels = like.kernels
        else:
            kept = np.sort(np.random.default_rng(seed).permutation(len(shares))[: self.most])
            for j in np.flatnonzero(scale.spread):
                kernels[j] = _kernel(at[kept], standard[kept, j], self.steps)
        weights = np.stack([_weights(at, standard[:, j], kernels[j]) for j in range(len(kernels))])
        return FittedGaussianProcess(scale, at, kernels, weights)


def _weights(at: np.ndarray, standard: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """[n]: what each run adds, s included."""
    from scipy.linalg import cho_factor, cho_solve

    matrix = np.exp(kernel[-2]) * similarity(at, at, np.exp(kernel[:-2]))
    matrix.flat[:: len(at) + 1] += np.exp(kernel[-1])
    return np.exp(kernel[-2]) * cho_solve(cho_factor(matrix, lower=True), standard)


def _kernel(at: np.ndarray, standard: np.ndarray, steps: int) -> np.ndarray:
    """[k + 2]: log lengths, log s, log noise that make the runs likeliest."""
    from scipy.linalg.lapack import dpotrf, dpotri, dpotrs
    from scipy.optimize import minimize

    n, k = at.shape
    middle = 0.5 * np.log(2 * at.var(axis=0).sum() + FLOOR)

    def cost(logs: np.ndarray) -> tuple[float, np.ndarray]:
        signal = similarity(at, at, np.exp(logs[:k]))
        signal *= np.exp(logs[k])
        matrix = signal.copy()
        matrix.flat[:: n + 1] += np.exp(logs[-1])
        factor, bad = dpotrf(matrix, lower=1, clean=1)
        if bad:
            return 1e10, np.zeros_like(logs)
        solved = dpotrs(factor, standard, lower=1)[0]
        value = 0.5 * standard @ solved + np.log(np.diag(factor)).sum()
        inverse = dpotri(factor, lower=1)[0]
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        inverse -= np.outer(solved, solved)
        slope = np.empty_like(logs)
        slope[-1] = 0.5 * np.trace(inverse) * np.exp(logs[-1])
        inverse *= signal
        rows = inverse.sum(axis=1)
        slope[k] = 0.5 * rows.sum()
        off = logs[:k] - middle
        # sum over pairs of W_ab (x_a - x_b)^2 / 2, without an array [n, n, k]
        slope[:k] = ((at * at).T @ rows - (at * (inverse @ at)).sum(axis=0)) * np.exp(-2 * logs[:k]) + off
        return float(value + 0.5 * off @ off), slope

    bounds = [(middle - REACH, middle + REACH)] * k + [SIGNAL, NOISE]
    start = np.r_[np.full(k, middle), 0.0, np.log(0.1)]
    options = {"maxiter": steps}
    return minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x


@dataclass(frozen=True, eq=False)
class FittedGaussianProcess:
    """places [n, k] of the runs; kernels [J, k + 2]: log lengths, log s, log noise; weights [J, n]."""

    scale: Scale
    places: np.ndarray
    kernels: np.ndarray
    weights: np.ndarray
    differentiable: ClassVar[bool] = True
    convex: ClassVar[bool] = False

    def losses(self, shares: np.ndarray) -> np.ndarray:
        """[J], or [m, J]. Of the shares only their proportions count."""
        at = places(on_simplex(np.atleast_2d(shares))[0])
        found = np.empty((len(at), len(self.kernels)))
        for start in range(0, len(at), ROWS):
            part = slice(start, start + ROWS)
            for j, (kernel, weights) in enumerate(zip(self.kernels, self.weights, strict=True)):
                found[part, j] = similarity(at[part], self.places, np.exp(kernel[:-2])) @ weights
        return self.scale.losses(found[0] if shares.ndim == 1 else found)

    def gradient(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(losses [J], jacobian [J, k])."""
        mixture, total = on_simplex(shares)
        at = places(mixture)
        standard, slopes = np.empty(len(self.kernels)), np.empty((len(self.kernels), len(at)))
        for j, (kernel, weights) in enumerate(zip(self.kernels, self.weights, strict=True)):
            lengths = np.exp(kernel[:-2])
            pulls = similarity(at[None], self.places, lengths)[0] * weights
            standard[j] = pulls.sum()
            slopes[j] = (pulls @ self.places - standard[j] * at) / lengths**2
        slopes *= self.scale.spread[:, None] * 0.5 / at
        return self.scale.losses(standard), through_simplex(slopes, mixture, total)
