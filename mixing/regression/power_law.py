"""Loss as a power law of what a mixture is worth to a held-out set: c + g ((e + w.r)^-b - 1) / b.

A token of domain i is worth w_i tokens to the set, the more of them the lower the loss along a power law, and e is what
a model knows without any. The worth of foreign data is how scaling laws for transfer put it (arXiv 2102.01293), here
with one rate for each domain. k + 4 numbers and few shapes, all of them sensible far from any run: it needs the fewest
runs of all fits, falls with every share, and is convex.

Least squares on standard losses by Levenberg and Marquardt's method, with a pull of the rates toward each other, of g
and b toward a gentle logarithm and of e toward a small part of the rates: it decides where runs say nothing, and keeps
24 runs of 17 domains from steep laws that fit by chance. How strong it is, is found for each set by the error of runs
left out, as their leverages tell it (exact for a linear fit).

Parameters of a set [k + 4]: c, log g, log b, log e, log w.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mixing.regression.fit import Scale

GAIN, EXPONENT, KNOWN = 0.3, 0.08, 0.14
"""Where g, b and e begin and are pulled to: a small g explains little, a small b is nearly c - g log(e + w.r)."""

STIFF = 0.3
"""E-folds of g or b that weigh as much as one of e, or as one of all rates together."""

FAR = 60.0
"""Bound of an exponent, so that no trial step overflows."""


@dataclass(frozen=True)
class PowerLaw:
    """pulls: strengths of the pull to choose from, as if that many runs spoke for it. steps: most evaluations."""

    pulls: tuple[float, ...] = (0.1, 0.01)
    steps: int = 200

    def fit(self, shares: np.ndarray, losses: np.ndarray, seed: int = 0, like: Any = None) -> "FittedPowerLaw":
        """Of shares [n, k] and losses [n, J]; nothing is drawn. like: where to begin, and strengths to keep."""
        scale, k = Scale.of(losses), shares.shape[1]
        standard = scale.standard(losses)
        found = np.tile(np.r_[0, np.log([GAIN, EXPONENT, KNOWN]), np.zeros(k)], (losses.shape[1], 1))
        pulls = np.full(losses.shape[1], self.pulls[0])
        for j in np.flatnonzero(scale.spread):
            at, least = found[j] if like is None else like.parameters[j], np.inf
            for pull in self.pulls if like is None else [float(like.pulls[j])]:
                problem = _Problem(shares, standard[:, j], pull)
                at = problem.solved(at, self.steps)
                error = problem.left_out(at)
                if error < least:
                    least, found[j], pulls[j] = error, at, pull
        return FittedPowerLaw(scale, found, pulls)


def _values(at: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, ...]:
    """(g ((e + w.r)^-b - 1) / b, g (e + w.r)^-b, e + w.r, b) for parameters [..., k + 4] and shares [..., k]."""
    gain, exponent = np.exp(np.clip(at[..., 1], -FAR, FAR)), np.exp(np.clip(at[..., 2], -FAR, 3))
    rates = np.exp(np.clip(at[..., 3:], -FAR, FAR))
    worth = rates[..., 0] + shares @ rates[..., 1:].T
    power = np.clip(-exponent * np.log(worth), -FAR, FAR)
    return gain * np.expm1(power) / exponent, gain * np.exp(power), worth, exponent


@dataclass(frozen=True, eq=False)
class _Problem:
    """Residuals of one held-out set: of the runs, then of the pull."""

    shares: np.ndarray
    standard: np.ndarray
    pull: float

    def solved(self, start: np.ndarray, steps: int) -> np.ndarray:
        """[k + 4]"""
        from scipy.optimize import least_squares

        return least_squares(self.residuals, start, self.jacobian, method="lm", max_nfev=steps).x

    def left_out(self, at: np.ndarray) -> float:
        """Mean squared error of each run were it left out, to first order."""
        rows, runs = self.jacobian(at), len(self.standard)
        leverage = np.einsum("ij,ji->i", rows[:runs], np.linalg.lstsq(rows.T @ rows, rows[:runs].T, rcond=None)[0])
        return float(np.mean((self.residuals(at)[:runs] / np.maximum(1 - leverage, 0.01)) ** 2))

    def residuals(self, at: np.ndarray) -> np.ndarray:
        """[n + k + 3]"""
        pulls = np.r_[(at[1:4] - np.log([GAIN, EXPONENT, KNOWN])) / [STIFF, STIFF, 1], at[4:] / np.sqrt(len(at) - 4)]
        return np.r_[at[0] + _values(at, self.shares)[0] - self.standard, np.sqrt(self.pull) * pulls]

    def jacobian(self, at: np.ndarray) -> np.ndarray:
        """[n + k + 3, k + 4]"""
        n, k = self.shares.shape
        value, power, worth, _ = _values(at, self.shares)
        found = np.zeros((n + k + 3, k + 4))
        found[:n, 0], found[:n, 1] = 1, value
        found[:n, 2] = -np.log(worth) * power - value
        slope = -power / worth
        found[:n, 3] = slope * np.exp(at[3])
        found[:n, 4:] = slope[:, None] * self.shares * np.exp(at[4:])
        stiff = np.r_[1 / STIFF, 1 / STIFF, 1, np.full(k, 1 / np.sqrt(k))]
        found[n:, 1:] = np.sqrt(self.pull) * np.diag(stiff)
        return found


@dataclass(frozen=True, eq=False)
class FittedPowerLaw:
    """parameters [J, k + 4], of standard losses; pulls [J] they were found with."""

    scale: Scale
    parameters: np.ndarray
    pulls: np.ndarray
    differentiable: ClassVar[bool] = True
    convex: ClassVar[bool] = True

    @property
    def rates(self) -> np.ndarray:
        """[J, k]: what a token of each domain is worth to each set, beside the domain worth most to it."""
        logs = self.parameters[:, 4:]
        return np.exp(logs - logs.max(axis=1, keepdims=True))

    def losses(self, shares: np.ndarray) -> np.ndarray:
        """[J], or [m, J]; shares may add up to less than 1."""
        return self.scale.losses(self.parameters[:, 0] + _values(self.parameters, shares)[0])

    def gradient(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(losses [J], jacobian [J, k])."""
        _, power, worth, _ = _values(self.parameters, shares)
        rates = np.exp(np.clip(self.parameters[:, 4:], -FAR, FAR))
        return self.losses(shares), (-self.scale.spread * power / worth)[:, None] * rates
