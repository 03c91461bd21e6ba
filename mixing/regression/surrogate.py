"""A swarm of proxy runs as a surrogate: each held-out set predicted by the fit that did best on runs left out.

Two of them in one, for the fit that ranks best may have no slopes:

    losses      of the fit chosen for each set, whatever it is: what a search by simulation asks
    gradient    of the best fit that has one, with *its* losses, so that values and slopes belong together

``smooth`` is the surrogate of the latter alone, for solvers that ask for both. Its answers differ from the former by
about the fits' errors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mixing.regression.choose import Choice, choose, fitted
from mixing.regression.fit import Fitted, checked
from mixing.swarm import Swarm


@dataclass(frozen=True, eq=False)
class SwarmSurrogate:
    """Build with ``SwarmSurrogate.of``. by: the fit that ``losses`` asks for each set; slopes_by: that ``gradient``
    asks; fitted: fits by name."""

    swarm: Swarm
    choice: Choice
    by: tuple[str, ...]
    slopes_by: tuple[str, ...]
    fitted: Mapping[str, Fitted]
    seed: int = 0

    @staticmethod
    def of(swarm: Swarm, fits: Sequence[str] = (), seed: int = 0, folds: int = 0) -> "SwarmSurrogate":
        """Choose and fit; arguments and errors of ``choose``."""
        choice = choose(swarm, fits, folds, seed)
        return SwarmSurrogate(swarm, choice, choice.best(), choice.best(smooth=True), choice.fitted, seed)

    @property
    def sets(self) -> tuple[str, ...]:
        """Names of the J held-out sets."""
        return self.swarm.sets

    @property
    def convex(self) -> bool:
        """True where every set is predicted by a fit that is convex, such as the power law."""
        return all(self.fitted[name].convex for name in {*self.by, *self.slopes_by})

    @property
    def smooth(self) -> "SwarmSurrogate":
        """With losses that are those of ``gradient``."""
        return replace(self, by=self.slopes_by)

    def losses(self, shares: np.ndarray) -> np.ndarray:
        """float64 [J] for shares [k]; [m, J] for [m, k]."""
        shares = np.asarray(shares, np.float64)
        found = np.empty((*shares.shape[:-1], len(self.sets)))
        for name in sorted(set(self.by)):
            chosen = [j for j, each in enumerate(self.by) if each == name]
            found[..., chosen] = self.fitted[name].losses(shares)[..., chosen]
        return found

    def gradient(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(losses [J], jacobian [J, k]) of the best fits that have one."""
        shares = np.asarray(shares, np.float64)
        losses, jacobian = np.empty(len(self.sets)), np.empty((len(self.sets), len(shares)))
        for name in sorted(set(self.slopes_by)):
            chosen = [j for j, each in enumerate(self.slopes_by) if each == name]
            values, slopes = self.fitted[name].gradient(shares)
            losses[chosen], jacobian[chosen] = values[chosen], slopes[chosen]
        return losses, jacobian

    def resampled(self, seed: int) -> "SwarmSurrogate":
        """The same fits on as many runs drawn with replacement; which fit is asked stays as it was, and so do the
        kernels of Gaussian processes."""
        shares, losses = checked(self.swarm.shares, self.swarm.losses)
        drawn = np.sort(np.random.default_rng([self.seed, seed]).integers(0, len(shares), len(shares)))
        names = sorted({*self.by, *self.slopes_by})
        again = fitted(names, shares[drawn], losses[drawn], self.seed, self.fitted)
        return replace(self, swarm=replace(self.swarm, shares=shares[drawn], losses=losses[drawn]), fitted=again)
