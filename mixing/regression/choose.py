"""Which fit to believe, for each held-out set: the one with the least error on runs it has not seen.

Up to ``LEAVE_ONE_OUT`` runs each is left out in turn; more are dealt into ``FOLDS`` folds, the same for all fits.
A fold's Gaussian process keeps the kernel that all runs made likeliest, its power law the strength of the pull; all
else is fitted anew.

The least error alone would be a choice by chance where runs are few: an average of fits stays unless one beats it by
more than ``DOUBT`` standard errors of their difference, run by run.

Beside them stands own weight, which fits nothing: a mixture with more of a set's own domain has a lower loss on it.
Where it ranks as well as the fits, there was nothing to predict.

Legend: n runs, k domains, J held-out sets, F fits.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jacorpus.errors import RecipeError, nearest
from mixing.regression.average import FittedAverage
from mixing.regression.boosting import Boosting
from mixing.regression.fit import Fit, Fitted, checked, need_runs
from mixing.regression.gaussian_process import GaussianProcess
from mixing.regression.log_linear import LogLinear
from mixing.regression.power_law import PowerLaw
from mixing.regression.ridge import Ridge
from mixing.swarm import Swarm

LEAVE_ONE_OUT = 60
FOLDS = 10
DOUBT = 2.0

FITS: dict[str, Fit] = {
    "ridge": Ridge(),
    "log_linear": LogLinear(),
    "power_law": PowerLaw(),
    "gaussian_process": GaussianProcess(),
    "boosting": Boosting(),
}

AVERAGES = {
    "average": ("power_law", "gaussian_process", "boosting"),
    "smooth_average": ("power_law", "gaussian_process"),
}
"""Means of fits; the smooth one has a gradient."""

OWN_WEIGHT = "own_weight"


@dataclass(frozen=True, eq=False)
class Choice:
    """How well each fit does on runs left out. fits: F names; squares [F, n, J]: squared errors; rank [F, J]: Spearman
    correlation; own_rank [J]: of own weight, nan for a set that is no domain's; folds: n where each run was left out
    alone; fitted: on all runs, what averages are made of among them."""

    sets: tuple[str, ...]
    fits: tuple[str, ...]
    squares: np.ndarray
    rank: np.ndarray
    own_rank: np.ndarray
    folds: int
    fitted: Mapping[str, Fitted]

    @property
    def runs(self) -> int:
        """n"""
        return self.squares.shape[1]

    @property
    def error(self) -> np.ndarray:
        """[F, J]: root mean squared, in the unit of the losses."""
        return np.sqrt(self.squares.mean(axis=1))

    def best(self, smooth: bool = False) -> tuple[str, ...]:
        """[J]: the fit for each set, of those with a gradient if ``smooth``: an average that none clearly beats, else
        the one of least error; ties go to the first. Raises RecipeError where none has a gradient."""
        able = [name for name in self.fits if not smooth or self.fitted[name].differentiable]
        if not able:
            raise RecipeError(f"none of the fits {', '.join(self.fits)} has a gradient; add one, such as power_law")
        return tuple(self._best(able, j) for j in range(len(self.sets)))

    def _best(self, able: Sequence[str], j: int) -> str:
        of = {name: self.squares[self.fits.index(name), :, j] for name in able}
        least = min(able, key=lambda name: of[name].mean())
        for name in AVERAGES:
            if name in able:
                worse = of[name] - of[least]
                if worse.mean() <= DOUBT * worse.std() / math.sqrt(self.runs):
                    return name
        return least

    def rows(self) -> list[dict[str, object]]:
        """For a report: {fit, error, rank, chosen: for how many sets}, means over sets; own weight last."""
        best = self.best()
        found: list[dict[str, object]] = [
            {"fit": name, "error": float(self.error[i].mean()), "rank": _mean(self.rank[i]), "chosen": best.count(name)}
            for i, name in enumerate(self.fits)
        ]
        return [*found, {"fit": OWN_WEIGHT, "error": None, "rank": _mean(self.own_rank), "chosen": 0}]

    def text(self) -> str:
        """The same as lines."""
        how = "each run left out" if self.folds == self.runs else f"{self.folds} folds"
        lines = [
            f"{self.runs} runs, {how}; mean over {len(self.sets)} held-out sets",
            f"{'fit':<17} {'error':>8} {'rank':>6} {'chosen':>7}",
        ]
        for row in self.rows():
            error = "" if row["error"] is None else f"{row['error']:.4f}"
            lines.append(f"{row['fit']:<17} {error:>8} {row['rank']:>6.3f} {row['chosen']:>7}")
        return "\n".join(lines)


def choose(swarm: Swarm, fits: Sequence[str] = (), folds: int = 0, seed: int = 0) -> Choice:
    """Fit all, on all runs and without each fold.

    fits: names out of ``FITS`` and ``AVERAGES``, default all. folds: 0 for the rule above. Raises RecipeError for an
    unknown fit and for fewer runs than domains and one; InputError for losses that are no numbers.
    """
    names = tuple(fits) or (*FITS, *AVERAGES)
    for name in names:
        if name not in FITS and name not in AVERAGES:
            raise RecipeError(f"no fit is called `{name}`{nearest(name, (*FITS, *AVERAGES))}")
    shares, losses = checked(swarm.shares, swarm.losses)
    n = len(shares)
    need_runs(n, int((shares > 0).any(axis=0).sum()))
    folds = min(n, folds or (n if n <= LEAVE_ONE_OUT else FOLDS))
    whole = fitted(names, shares, losses, seed)
    predicted = np.empty((len(names), *losses.shape))
    for out in np.array_split(np.random.default_rng(seed).permutation(n), folds):
        kept = np.setdiff1d(np.arange(n), out)
        part = fitted(names, shares[kept], losses[kept], seed, whole)
        for i, name in enumerate(names):
            predicted[i, out] = part[name].losses(shares[out])
    return Choice(
        swarm.sets,
        names,
        (predicted - losses) ** 2,
        np.array([rank_correlations(each, losses) for each in predicted]),
        rank_correlations(own_weight(swarm), losses),
        folds,
        whole,
    )


def fitted(
    names: Sequence[str], shares: np.ndarray, losses: np.ndarray, seed: int, like: Mapping[str, Fitted] | None = None
) -> dict[str, Fitted]:
    """By name, and what averages among them are made of. like: the same on much the same runs."""
    single = [name for name in FITS if name in names or any(name in AVERAGES.get(each, ()) for each in names)]
    found: dict[str, Fitted] = {name: FITS[name].fit(shares, losses, seed, (like or {}).get(name)) for name in single}
    means = {name: FittedAverage({each: found[each] for each in AVERAGES[name]}) for name in names if name in AVERAGES}
    return {**found, **means}


def own_weight(swarm: Swarm) -> np.ndarray:
    """[n, J]: less the share of the domain of each set's name; nan where there is none."""
    found = np.full(swarm.losses.shape, math.nan)
    for j, name in enumerate(swarm.sets):
        if name in swarm.names:
            found[:, j] = -swarm.shares[:, swarm.names.index(name)]
    return found


def rank_correlations(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """[J]: Spearman's, by column of [n, J]; equal values share their mean rank. nan where a column is constant."""
    from scipy.stats import rankdata

    found = np.full(measured.shape[1], math.nan)
    for j in range(len(found)):
        if np.isfinite(predicted[:, j]).all() and np.ptp(predicted[:, j]) > 0 and np.ptp(measured[:, j]) > 0:
            found[j] = np.corrcoef(rankdata(predicted[:, j]), rankdata(measured[:, j]))[0, 1]
    return found


def _mean(ranks: np.ndarray) -> float:
    """Over sets that have one; nan for none."""
    there = ranks[np.isfinite(ranks)]
    return float(there.mean()) if len(there) else math.nan
