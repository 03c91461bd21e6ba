"""Gradient-boosted trees (LightGBM), RegMix's predictor (arXiv 2407.01492), with settings for swarms of any size.

RegMix's repository (sail-sg/regmix, regression_fitting) takes 1,000 trees of 31 leaves at rate .01, LightGBM's 20 runs
or more in a leaf, and stops early by the runs that it is scored on. With 512 runs that ranks as well as ours, with 54
far worse, for hardly a tree can split; ``REGMIX`` has it, without the early stop. Trees have no slopes, and say nothing
beyond the runs.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mixing.regression.fit import Scale, on_simplex


@dataclass(frozen=True)
class Boosting:
    """trees: how many; rate: what each adds; leaves of a tree; least: fewest runs in a leaf."""

    trees: int = 150
    rate: float = 0.1
    leaves: int = 4
    least: int = 3

    def fit(self, shares: np.ndarray, losses: np.ndarray, seed: int = 0, like: Any = None) -> "FittedBoosting":
        """Of shares [n, k] and losses [n, J]. One thread, so that sums have one order."""
        import lightgbm

        settings = {
            "objective": "regression",
            "learning_rate": self.rate,
            "num_leaves": self.leaves,
            "min_data_in_leaf": self.least,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        }
        scale, boosters = Scale.of(losses), []
        standard = scale.standard(losses)
        for j, spread in enumerate(scale.spread):
            data = lightgbm.Dataset(shares, standard[:, j], free_raw_data=True)
            boosters.append(lightgbm.train(settings, data, self.trees) if spread else None)
        return FittedBoosting(scale, tuple(boosters))


REGMIX = Boosting(trees=1000, rate=0.01, leaves=31, least=20)
"""RegMix's own settings."""


@dataclass(frozen=True, eq=False)
class FittedBoosting:
    """A booster for each set; None where losses are all the same."""

    scale: Scale
    boosters: tuple[Any, ...]
    differentiable: ClassVar[bool] = False
    convex: ClassVar[bool] = False

    def losses(self, shares: np.ndarray) -> np.ndarray:
        """[J], or [m, J]. Of the shares only their proportions count."""
        mixtures = on_simplex(np.atleast_2d(shares))[0]
        found = np.zeros((len(mixtures), len(self.boosters)))
        for j, booster in enumerate(self.boosters):
            if booster is not None:
                found[:, j] = booster.predict(mixtures, num_threads=1)
        return self.scale.losses(found[0] if shares.ndim == 1 else found)

    def gradient(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Raises TypeError: trees are flat where they don't jump."""
        raise TypeError("boosted trees have no gradient; ask a differentiable fit")
