"""What a fit of proxy runs is: from the mixtures and losses of n runs to losses of any mixture.

Each fit is a file with a frozen dataclass of its options and what it becomes when fitted:

    ridge.py              linear in [r, log(r + .01), sqrt r]
    log_linear.py         c + exp(t.r)
    power_law.py          c + (e + w.r)^-b: a power law of how much the data is worth to a held-out set
    gaussian_process.py   a smooth surface over sqrt r, with a length for each domain
    boosting.py           trees
    average.py            the mean of several

and ``choose.py`` finds by runs left out which of them to believe for each held-out set.

Legend: n runs, k domains in the order of sorted names, J held-out sets, r shares of a mixture. Every held-out set is
fitted alone.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from jacorpus.errors import InputError, RecipeError

FLOOR = 1e-4
"""Added to a share under a root or as what counts for nothing, so that slopes stay finite at share 0. Half of what
RegMix (arXiv 2407.01492) takes for the least share that can be told from none."""


class Fitted(Protocol):
    """Losses of a mixture by a fit."""

    @property
    def differentiable(self) -> bool:
        """``gradient`` can be asked for."""
        ...

    @property
    def convex(self) -> bool:
        """Losses are convex in the shares."""
        ...

    def losses(self, shares: np.ndarray) -> np.ndarray:
        """float64 [J] for shares [k]; [m, J] for shares [m, k]."""
        ...

    def gradient(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(losses [J], their derivatives by share [J, k]) at shares [k]."""
        ...


class Fit(Protocol):
    """A way to fit, with its options."""

    def fit(self, shares: np.ndarray, losses: np.ndarray, seed: int = 0, like: Any = None) -> Fitted:
        """shares [n, k], losses [n, J]. like: an answer of the same fit on much the same runs (a fold, a bootstrap
        draw), to begin at or to keep what costs most to find. The same input gives the same bytes."""
        ...


@dataclass(frozen=True, eq=False)
class Scale:
    """Brings losses to mean 0 and deviation 1, and back. spread is 0 for a set whose losses are all the same."""

    center: np.ndarray
    spread: np.ndarray

    @staticmethod
    def of(losses: np.ndarray) -> "Scale":
        """Of losses [n, J]."""
        center, spread = losses.mean(axis=0), losses.std(axis=0)
        return Scale(center, np.where(spread > 1e-12 * np.maximum(1, np.abs(center)), spread, 0.0))

    def standard(self, losses: np.ndarray) -> np.ndarray:
        """[n, J] without units."""
        return (losses - self.center) / np.where(self.spread > 0, self.spread, 1.0) * (self.spread > 0)

    def losses(self, standard: np.ndarray) -> np.ndarray:
        """Back, [..., J]."""
        return self.center + self.spread * standard


def checked(shares: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64, the shares of each run with sum 1.

    Raises InputError for numbers that are none and for arrays that don't belong together.
    """
    shares, losses = np.asarray(shares, np.float64), np.asarray(losses, np.float64)
    if shares.ndim != 2 or losses.ndim != 2 or len(shares) != len(losses) or not losses.shape[1]:
        raise InputError(
            f"a fit wants shares [runs, domains] and losses [runs, sets], got {shares.shape} and {losses.shape}"
        )
    if not (np.isfinite(shares).all() and (shares >= 0).all() and (shares.sum(axis=1) > 0).all()):
        bad = int(np.argmin(np.isfinite(shares).all(1) & (shares >= 0).all(1) & (shares.sum(1) > 0)))
        raise InputError(f"the mixture of run {bad} is none: shares must be 0 or more and not all 0, got {shares[bad]}")
    if not np.isfinite(losses).all():
        bad, column = (int(i) for i in np.argwhere(~np.isfinite(losses))[0])
        raise InputError(f"run {bad} has the loss {losses[bad, column]} on held-out set {column}; leave that run out")
    return shares / shares.sum(axis=1, keepdims=True), losses


def need_runs(runs: int, domains: int) -> None:
    """Raises RecipeError where there are fewer runs than a plane over the mixtures has parameters."""
    if runs < domains + 1:
        raise RecipeError(
            f"a swarm of {runs} runs is too small to fit losses over {domains} domains: at least {domains + 1} are "
            f"needed, {3 * (domains + 1)} are sensible. Run more mixtures, or merge domains"
        )


def on_simplex(shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(shares of sum 1, the sums [..., 1]). Runs say nothing of mixtures with another sum."""
    total = shares.sum(axis=-1, keepdims=True)
    return shares / total, total


def through_simplex(jacobian: np.ndarray, mixture: np.ndarray, total: np.ndarray) -> np.ndarray:
    """[J, k]: derivatives by the shares of what has ``jacobian`` [J, k] at the mixture that they were scaled to."""
    return (jacobian - (jacobian @ mixture)[:, None]) / total
