"""Weights that are multiplied step by step, which both controllers are made of.

They are kept as logarithms: a weight that has become tiny keeps its digits and can come back. Vectors are in the order
of sorted names, whatever order tables come in. Domains whose prior is 0 take no part and are answered with 0.

Legend: k domains with a prior above 0.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jacorpus.errors import InputError, RecipeError

Project = Callable[[np.ndarray], np.ndarray]
"""Weights [k], in the order of sorted names of positive prior, to the nearest that keep limits."""

_LEAST = 1e-300
_LATE = 3
"""Of the mean over steps t of a run: weights grow as t cubed, so that 94 % lie on the run's second half, however long
it is. (Polynomial-decay averaging: Shamir and Zhang 2013, arXiv 1212.1824.)"""


class MultiplicativeWeights:
    """The state of a controller: log weights, and what was heard.

    prior: {domain: weight}, any scale. start: [k], default the prior. project: keeps limits at each step; limits: what
    it keeps, as JSON, for the run's identity.
    """

    def __init__(
        self,
        prior: Mapping[str, float],
        start: np.ndarray | None = None,
        project: Project | None = None,
        limits: Any = None,
    ) -> None:
        if not all(0 <= weight < math.inf for weight in prior.values()) or not any(prior.values()):
            raise RecipeError(f"a prior needs weights of 0 or more, one of them above, got {dict(prior)}")
        if project is not None and limits is None:
            raise RecipeError("a controller that keeps limits has to say which, or two runs pass for one: give limits")
        self.names = tuple(sorted(name for name, weight in prior.items() if weight > 0))
        weights = np.array([float(prior[name]) for name in self.names])
        self.prior = weights / math.fsum(weights)
        self.project, self.limits = project, limits
        self.log_weights = normalized(np.log(self.prior if start is None else start))
        self.steps, self.lr_sum, self.lr_top, self.tokens = 0, 0.0, 0.0, 0
        self._late, self._count = np.zeros(len(self.names)), np.zeros(len(self.names))

    @property
    def weights(self) -> dict[str, float]:
        """As they are now, of sum 1."""
        return dict(zip(self.names, np.exp(self.log_weights).tolist(), strict=True))

    @property
    def late(self) -> dict[str, float]:
        """{domain: mean of what drives its weight (excess loss, alignment), mostly over the run's second half}."""
        return {n: m for n, m, c in zip(self.names, self._late.tolist(), self._count, strict=True) if c}

    def state_dict(self) -> dict[str, Any]:
        """JSON."""
        columns = {"log_weights": self.log_weights, "late": self._late, "count": self._count}
        tables = {key: dict(zip(self.names, values.tolist(), strict=True)) for key, values in columns.items()}
        return {**tables, **{key: getattr(self, key) for key in ("steps", "lr_sum", "lr_top", "tokens")}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises InputError for the state of other domains."""
        if sorted(state["log_weights"]) != list(self.names):
            raise InputError(f"a controller of {', '.join(self.names)} can't go on from {sorted(state['log_weights'])}")
        self.log_weights = self.vector(state["log_weights"])
        self._late, self._count = self.vector(state["late"]), self.vector(state["count"])
        for key in ("steps", "lr_sum", "lr_top", "tokens"):
            setattr(self, key, state[key])

    def vector(self, table: Mapping[str, float], missing: float = math.nan) -> np.ndarray:
        """float64 [k]: ``missing`` for domains that the table lacks."""
        return np.array([table.get(name, missing) for name in self.names], float)

    def _hear(self, stats: Mapping[str, Any], drive: np.ndarray) -> None:
        """Count a step. drive [k]: NaN where a domain was absent."""
        unknown = set(self.names) - set(stats["tokens"])
        if unknown:
            raise RecipeError(f"the mixture weighs {', '.join(sorted(unknown))}, which the run has no text of")
        self.steps += 1
        self.lr_sum += stats["lr"]
        self.lr_top = max(self.lr_top, stats["lr"])
        self.tokens += sum(stats["tokens"].values())
        there = ~np.isnan(drive)
        self._count += there
        rate = (_LATE + 1) / (np.maximum(self._count, 1) + _LATE)
        self._late = np.where(there, self._late + rate * (np.where(there, drive, 0.0) - self._late), self._late)

    def _multiply(self, exponents: np.ndarray) -> None:
        """weights *= exp(exponents); absent domains (NaN) keep the share they have."""
        there = ~np.isnan(exponents)
        if there.all():
            self.log_weights = normalized(self.log_weights + exponents)
        elif there.any():
            moved = self.log_weights[there] + exponents[there]
            self.log_weights[there] = normalized(moved) + log_sum(self.log_weights[there])
            self.log_weights = normalized(self.log_weights)

    def _answer(self, stats: Mapping[str, Any]) -> dict[str, float]:
        """Weights by name, within limits, for every domain the run has."""
        if self.project is not None:
            weights = self.project(np.maximum(np.exp(self.log_weights), _LEAST))
            self.log_weights = normalized(np.log(np.maximum(weights, _LEAST)))
        return {**dict.fromkeys(stats["tokens"], 0.0), **self.weights}


def log_sum(logs: np.ndarray) -> float:
    """log of the sum of exp."""
    top = float(logs.max())
    return top + math.log(math.fsum(np.exp(logs - top).tolist()))


def normalized(logs: np.ndarray) -> np.ndarray:
    """The same weights with sum 1, all as logarithms."""
    return logs - log_sum(logs)
