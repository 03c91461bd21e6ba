"""A sweep: mixtures measured by tiny models or count tables, and a fit of them that predicts any other mixture.

Runs are kept by whoever measures them, so an interrupted sweep goes on with the run it was in.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from jacorpus.errors import RecipeError, nearest
from mixing.problem import Problem

if TYPE_CHECKING:
    from mixing.evidence import Evidence
    from mixing.regression.surrogate import SwarmSurrogate
    from mixing.swarm import Swarm


@dataclass(frozen=True)
class SweepSettings:
    """[mixing.swarm]. runs: mixtures to measure, 0: three times as many as domains and one; source: what measures them,
    ``proxy`` (tiny models) or ``tables``. within: draw them within the limits; else everywhere, which fits better near
    the limits (the optimizer keeps them). fits: those to choose among, none for all of mixing.regression.choose."""

    runs: int = 0
    source: Literal["proxy", "tables"] = "proxy"
    within: bool = False
    fits: tuple[str, ...] = ()

    @staticmethod
    def of(table: Mapping[str, Any]) -> "SweepSettings":
        """Raises RecipeError for keys it doesn't have and values it doesn't take."""
        names = [f.name for f in fields(SweepSettings)]
        for key in table:
            if key not in names:
                raise RecipeError(f"[mixing.swarm] has no key `{key}`{nearest(key, names)}; it has {', '.join(names)}")
        fits = table.get("fits", ())
        if isinstance(fits, str) or not all(isinstance(name, str) for name in fits):
            raise RecipeError(f'[mixing.swarm] fits must be a list of names such as ["ridge"], got {fits!r}')
        found = SweepSettings(**{**table, "fits": tuple(fits)})
        if found.source not in ("proxy", "tables"):
            raise RecipeError(f'[mixing.swarm] source = "{found.source}" is unknown; write proxy or tables')
        if isinstance(found.runs, bool) or not isinstance(found.runs, int) or found.runs < 0:
            raise RecipeError(f"[mixing.swarm] runs must be a whole number, 0 or more, got {found.runs!r}")
        return found


@dataclass(frozen=True, eq=False)
class Swept:
    """A fit of a sweep as a surrogate over all k domains; those that can't be trained on change nothing.

    places: int [m] of the domains that the sweep was over.
    """

    fit: "SwarmSurrogate"
    places: np.ndarray
    domains: int

    @property
    def sets(self) -> tuple[str, ...]:
        """Names of the J held-out sets."""
        return self.fit.sets

    @property
    def convex(self) -> bool:
        """The fits are."""
        return self.fit.convex

    @property
    def facts(self) -> dict[str, float | str]:
        """How well each fit did on runs left out."""
        choice = self.fit.choice
        found: dict[str, float | str] = {"runs": float(choice.runs)}
        for row in choice.rows():
            error = "" if row["error"] is None else f", error {row['error']:.4f}, chosen for {row['chosen']} sets"
            found[f"{row['fit']} on runs left out"] = f"rank correlation {row['rank']:.3f}{error}"
        return found

    @property
    def notes(self) -> tuple[str, ...]:
        """Where the share of a set's own domain ranks runs as well as any fit, the fits had nothing to find."""
        rank = {str(row["fit"]): float(row["rank"]) for row in self.fit.choice.rows()}  # type: ignore[arg-type]
        own = rank.pop("own_weight", math.nan)
        best = max(rank, key=lambda name: (rank[name], name))
        if own >= rank[best]:
            return (
                f"own weight ranks the sweep's runs as well ({own:.3f}) as the best fit, {best} ({rank[best]:.3f}): "
                f"more runs, or runs nearer to the prior, may tell more",
            )
        return ()

    @property
    def smooth(self) -> "Swept":
        """With losses that belong to the gradient."""
        return replace(self, fit=self.fit.smooth)

    def losses(self, shares: np.ndarray) -> np.ndarray:
        """float64 [J], or [n, J] of [n, k]."""
        return self.fit.losses(np.asarray(shares)[..., self.places])

    def gradient(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(losses [J], by share [J, k])."""
        losses, some = self.fit.gradient(np.asarray(shares)[self.places])
        rows = np.zeros((len(losses), self.domains))
        rows[:, self.places] = some
        return losses, rows

    def resampled(self, seed: int) -> "Swept":
        """Fitted again to runs drawn with replacement."""
        return replace(self, fit=self.fit.resampled(seed))


def sweep(problem: Problem, evidence: "Evidence", settings: SweepSettings) -> "Swarm":
    """Measure mixtures of the domains that can be trained on."""
    from mixing.swarm import design, run

    names, sets = problem.domains.names, problem.sets
    some = trainable(problem)
    prior = problem.prior[some] / problem.prior[some].sum()
    within = None
    if settings.within:

        def within(shares: np.ndarray) -> np.ndarray:
            whole = np.zeros(len(names))
            whole[some] = shares
            return problem.within(whole)[some]

    drawn = design(prior, within, settings.runs, problem.seed)
    mixtures = [dict(zip([names[i] for i in some], map(float, each), strict=True)) for each in drawn]

    def losses_of(mixture: dict[str, float]) -> dict[str, float]:
        weights = problem.domains.vector(mixture)
        if settings.source == "proxy":
            return dict(zip(sets, map(float, evidence.proxy_losses(problem, weights, problem.seed)), strict=True))
        return dict(zip(evidence.tables.sets, map(float, evidence.tables.losses(weights)), strict=True))

    what = f"sweep by {'tiny models' if settings.source == 'proxy' else 'count tables'}"
    return run(mixtures, losses_of, lambda done, whole: evidence.tell(what, done, whole))


def sweep_surrogate(problem: Problem, evidence: "Evidence", settings: SweepSettings) -> Swept:
    """Measure, and choose a fit for each held-out set."""
    from mixing.regression.surrogate import SwarmSurrogate

    swarm = sweep(problem, evidence, settings)
    evidence.tell("fitting the sweep", 0, 1)
    fit = SwarmSurrogate.of(swarm, settings.fits, problem.seed)
    return Swept(fit, trainable(problem), len(problem.domains))


def trainable(problem: Problem) -> np.ndarray:
    """int [m]: places of domains with tokens that limits don't keep at 0."""
    return np.flatnonzero((problem.domains.array("tokens") > 0) & (problem.limits.upper > 0))
