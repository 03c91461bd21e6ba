"""What a method may ask: count tables, tiny models, sweeps of either. Made when first asked for, then kept.

The tables and the tiny models come from outside, so that mixing reads no shards and trains nothing itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from jacorpus.errors import RecipeError
from mixing.problem import Problem
from mixing.surrogate import Surrogate

if TYPE_CHECKING:
    from mixing.sweep import Swept

Progress = Callable[[str, int, int], None]
"""Hears (what is done, how much of it, of how much)."""


class Measured(Protocol):
    """A tiny model's loss on a held-out set (trainer.held_out.HeldOut): bits per byte, and nats a token."""

    @property
    def loss(self) -> float: ...

    @property
    def bits_per_byte(self) -> float: ...

    @property
    def error(self) -> float: ...


class Proxy(Protocol):
    """Tiny models trained on mixtures; trainer.proxy.Proxy is one."""

    def losses(self, mixture: Mapping[str, float], seed: int = 0, **options: Any) -> Mapping[str, Measured]:
        """Train on a mixture, measure on every domain."""
        ...

    def steer(self, controller: Any, **options: Any) -> Any:
        """Train one whose mixture a controller chooses on the way."""
        ...


@dataclass(eq=False)
class Evidence:
    """tables_of: makes the count tables' surrogate; proxy_of: opens the tiny models. None: can't be had.

    swarm: settings of sweeps. kind: what targets are predicted by.
    """

    tables_of: Callable[[], Surrogate] | None = None
    proxy_of: Callable[[], Proxy] | None = None
    swarm: Mapping[str, Any] = field(default_factory=dict)
    kind: Literal["tables", "swarm"] = "tables"
    progress: Progress | None = None
    _made: dict[str, Any] = field(default_factory=dict)

    @property
    def tables(self) -> Surrogate:
        """The count tables. Raises RecipeError where there are none."""
        if self.tables_of is None:
            raise RecipeError("predicting losses needs count tables, and there are no token shards to make them from")
        return self._kept("tables", self.tables_of)

    @property
    def proxy(self) -> Proxy:
        """The tiny models. Raises RecipeError where torch is missing."""
        if self.proxy_of is None:
            raise RecipeError("this method trains tiny models, which needs torch: pip install 'jacorpus[train]'")
        return self._kept("proxy", self.proxy_of)

    def surrogate(self, problem: Problem) -> Surrogate:
        """What predicts the target: the tables, or the fit of a sweep that has slopes."""
        return self.tables if self.kind == "tables" else self.sweep(problem).smooth

    def sweep(self, problem: Problem) -> "Swept":
        """A fit of a sweep."""
        from mixing.sweep import SweepSettings, sweep_surrogate

        return self._kept("sweep", lambda: sweep_surrogate(problem, self, SweepSettings.of(self.swarm)))

    def proxy_losses(self, problem: Problem, weights: np.ndarray, seed: int) -> np.ndarray:
        """float64 [J]: bits per byte of a tiny model trained on the mixture, in the order of the problem's sets. Raises
        RecipeError for a set that tiny models are not measured on."""
        mixture = {name: weight for name, weight in problem.domains.named(weights).items() if weight > 0}
        found = self.proxy.losses(mixture, seed=seed, progress=self.progress)
        for name in problem.sets:
            if name not in found:
                raise RecipeError(
                    f"tiny models are not measured on `{name}`, which has held-out documents and none to train on; add "
                    f"documents and encode again"
                )
        return np.array([found[name].bits_per_byte for name in problem.sets])

    def tell(self, what: str, done: int, whole: int) -> None:
        """Progress, to who listens."""
        if self.progress is not None:
            self.progress(what, done, whole)

    def _kept(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]
