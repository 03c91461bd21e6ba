"""What a mixture is wanted to be, as one function: a target's loss, a worst case, a prior's pull, losses to keep.

    F(a) = sum_j w_j L_j(a) + rho max_j (L_j(a) - L_j(prior)) + lambda KL(a ‖ prior)      subject to the limits and to
    g_c(a) = sum_j keep_cj L_j(a) - (1 + share_c) sum_j keep_cj L_j(prior) <= 0

L_j are a surrogate's losses, of the shares that the weights are worth (a token seen again is worth less). With a convex
surrogate the whole is convex: more of a source adds less than in proportion, and losses fall in every share.

Legend: k domains, J held-out sets, C kept losses; losses in bits per byte.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixing.problem import Problem
from mixing.surrogate import Surrogate

LEAST_PRIOR = 1e-6
"""A prior's weight is at least this in KL, so that a domain it leaves out costs much, not everything."""


@dataclass(frozen=True, eq=False)
class Objective:
    """F and g of a problem under a surrogate. target [J]: weights; compared [J]: losses the worst case is over, default
    the prior's."""

    problem: Problem
    surrogate: Surrogate
    target: np.ndarray
    compared: np.ndarray | None = None

    @staticmethod
    def of(
        problem: Problem,
        surrogate: Surrogate,
        target: np.ndarray | None = None,
        compared: np.ndarray | None = None,
    ) -> "Objective":
        """With the problem's target, or another's weights [J]."""
        return Objective(problem, surrogate, problem.weight_of(surrogate.sets) if target is None else target, compared)

    @cached_property
    def prior_losses(self) -> np.ndarray:
        """float64 [J]: of the prior's mixture."""
        return self.losses(self.problem.prior)

    @cached_property
    def reference(self) -> np.ndarray:
        """float64 [J]: what the worst case is over."""
        return self.prior_losses if self.compared is None else self.compared

    @cached_property
    def kept(self) -> np.ndarray:
        """float64 [C, J]: weights of losses not to exceed."""
        rows = [self.problem.weight_of(self.surrogate.sets, table) for _, table, _ in self.problem.keep]
        return np.array(rows).reshape(len(rows), len(self.surrogate.sets))

    @cached_property
    def caps(self) -> np.ndarray:
        """float64 [C]: what they may be at most."""
        return np.array([1 + share for *_, share in self.problem.keep]) * (self.kept @ self.prior_losses)

    def losses(self, weights: np.ndarray) -> np.ndarray:
        """float64 [J]."""
        return self.surrogate.losses(self.problem.shares(weights)[0])

    def gradient(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(losses [J], by weight [J, k])."""
        shares, rate = self.problem.shares(weights)
        losses, by_share = self.surrogate.gradient(shares)
        return losses, by_share * rate

    def wanted(self, losses: np.ndarray) -> float:
        """The target's loss alone."""
        return float(self.target @ losses)

    def excess(self, losses: np.ndarray) -> np.ndarray:
        """float64 [J]: over the reference."""
        return losses - self.reference

    def over(self, losses: np.ndarray) -> np.ndarray:
        """float64 [C]: g, by how much kept losses exceed what they may."""
        return self.kept @ losses - self.caps

    def pull(self, weights: np.ndarray) -> tuple[float, np.ndarray]:
        """(lambda KL, its gradient [k])."""
        strength = self.problem.prior_strength
        if not strength:
            return 0.0, np.zeros_like(weights)
        ratio = np.log(np.maximum(weights, 1e-300) / np.maximum(self.problem.prior, LEAST_PRIOR))
        return strength * float(weights @ ratio), strength * (ratio + 1)

    def value(self, weights: np.ndarray, losses: np.ndarray | None = None) -> float:
        """F."""
        found = self.losses(weights) if losses is None else losses
        worst = self.problem.worst_case * float(self.excess(found).max()) if self.problem.worst_case else 0.0
        return self.wanted(found) + worst + self.pull(weights)[0]

    def smoothed(self, weights: np.ndarray, width: float, hardness: float) -> tuple[float, np.ndarray]:
        """(value, gradient [k]) of F with its maximum smoothed over ``width`` bits per byte, and g as a penalty."""
        losses, rows = self.gradient(weights)
        pull, by_weight = self.pull(weights)
        value, drive = self.wanted(losses) + pull, self.target.copy()
        if self.problem.worst_case:
            excess = self.excess(losses)
            top = excess.max()
            share = np.exp((excess - top) / width)
            value += self.problem.worst_case * (top + width * float(np.log(share.sum())))
            drive += self.problem.worst_case * share / share.sum()
        over = np.maximum(self.over(losses), 0)
        value += hardness / 2 * float(over @ over)
        drive += hardness * over @ self.kept
        return value, drive @ rows + by_weight
