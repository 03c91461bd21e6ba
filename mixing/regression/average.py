"""The mean of several fits: their errors differ, so it ranks better than each, with few runs most of all."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mixing.regression.boosting import Boosting
from mixing.regression.fit import Fit, Fitted
from mixing.regression.gaussian_process import GaussianProcess
from mixing.regression.power_law import PowerLaw


def _members() -> dict[str, Fit]:
    return {"power_law": PowerLaw(), "gaussian_process": GaussianProcess(), "boosting": Boosting()}


@dataclass(frozen=True)
class Average:
    """members: fits by name. By default the three that are the most unlike each other and good alone."""

    members: Mapping[str, Fit] = field(default_factory=_members)

    def fit(self, shares: np.ndarray, losses: np.ndarray, seed: int = 0, like: Any = None) -> "FittedAverage":
        """Of shares [n, k] and losses [n, J]."""
        before = dict.fromkeys(self.members) if like is None else like.members
        return FittedAverage(
            {name: member.fit(shares, losses, seed, before[name]) for name, member in self.members.items()}
        )


@dataclass(frozen=True, eq=False)
class FittedAverage:
    """Fitted members by name."""

    members: Mapping[str, Fitted]

    @property
    def differentiable(self) -> bool:
        """All are."""
        return all(member.differentiable for member in self.members.values())

    @property
    def convex(self) -> bool:
        """All are."""
        return all(member.convex for member in self.members.values())

    def losses(self, shares: np.ndarray) -> np.ndarray:
        """[J], or [m, J]."""
        return np.mean([member.losses(shares) for member in self.members.values()], axis=0)

    def gradient(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(losses [J], jacobian [J, k]). Raises TypeError where a member has none."""
        each = [member.gradient(shares) for member in self.members.values()]
        return np.mean([losses for losses, _ in each], axis=0), np.mean([slopes for _, slopes in each], axis=0)
