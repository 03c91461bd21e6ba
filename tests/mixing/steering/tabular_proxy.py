"""A stand-in for trainer.proxy.Proxy: softmax tables instead of tiny models, steered the same way."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixing.tabular import TabularWorld


@dataclass(frozen=True)
class Steered:
    """As trainer.proxy's."""

    domains: tuple[str, ...]
    trajectory: tuple[tuple[float, ...], ...]


class TabularProxy:
    """distributions: {domain: probabilities}. asked: what ``steer`` was called with, call after call."""

    def __init__(self, distributions: Mapping[str, Any], steps: int = 300, batch: int = 200) -> None:
        self.names = tuple(sorted(distributions))
        self.P = np.array([distributions[name] for name in self.names], float)
        self.steps, self.batch = steps, batch
        self.asked: list[dict[str, Any]] = []

    def losses(self, mixture: Mapping[str, float], seed: int = 0, **options: Any) -> Any:
        raise NotImplementedError

    def steer(self, controller: Any, **options: Any) -> Steered:
        """With a reference: losses. With a target: products of gradients with respect to logits."""
        self.asked.append(options)
        if controller.wants == "alignment":
            return self._aligned(controller, options["target"])
        reference = options["reference"]
        if isinstance(reference, Mapping):
            weights = np.array([reference.get(name, 0.0) for name in self.names])
            world = TabularWorld.mixture(self.P, weights / weights.sum(), self.names)
        else:
            world = TabularWorld.per_domain(self.P, self.names)
        run = world.run(controller, self.steps, batch=self.batch, seed=options["seed"])
        return Steered(self.names, tuple(map(tuple, run.trajectory.tolist())))

    def _aligned(self, controller: Any, target: Mapping[str, float]) -> Steered:
        logits, trajectory = np.zeros(self.P.shape[1]), []
        share = np.array([target.get(name, 0.0) for name in self.names])
        for step in range(self.steps):
            q = np.exp(logits) / np.exp(logits).sum()
            gradients = q - self.P
            table = gradients @ gradients.T
            stats = {"step": step, "lr": 1.0, "tokens": dict.fromkeys(self.names, self.batch)}
            stats["alignment"] = dict(zip(self.names, (table @ share / share.sum()).tolist(), strict=True))
            stats["gradient_norm"] = dict(zip(self.names, np.sqrt(table.diagonal()).tolist(), strict=True))
            stats["products"] = {
                a: dict(zip(self.names, row, strict=True)) for a, row in zip(self.names, table.tolist(), strict=True)
            }
            answer = controller.update(stats)
            trajectory.append(tuple(answer[name] for name in self.names))
            logits -= np.array(trajectory[-1]) @ gradients
        return Steered(self.names, tuple(trajectory))
