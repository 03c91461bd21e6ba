"""DoGE: weights grow where a domain's gradient points the target's way (arXiv 2310.15393).

    a <- a exp(step W / scale) / sum,      W_j = g_j . g_target

What a step on domain j gains on the target is, to first order, lr W_j. The paper's ``generalist`` has no target: all
domains are one.

``faithful``   the public code (Olivia-fsm/DoGE, 88400e9): a starts even; step lr / mu; scale the mean length of the
               gradients; W / scale is clipped to [0, 5]; without a target W_j = sum over i other than j of g_j . g_i
``anchored``   ours: a starts at the prior and is pulled to it by KL; scale is the mean squared length, weighted by the
               prior; a gradient that points away from the target counts as such; step eta, falling as lr does

Why ours differs. W is a squared gradient: over one length it grows with the model, and mu has to be found anew for
each; over a squared one it is a cosine times what part of a gradient is signal. Even sums and means depend on how text
is cut into domains; sums weighted by the prior do not (exactly, in exact expectations). Nothing stops the paper's
weights from ending in one domain. Ours rest where

    pull log(a_j / prior_j) = W_j / scale + constant.

With the public code's multiplier W = 0 of a harmful domain and of an indifferent one are the same; that is what its
clip at 0 means.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from jacorpus.errors import RecipeError
from mixing.steering.doremi import Mode
from mixing.steering.simplex import MultiplicativeWeights, Project, normalized

CODE_MU = 0.01
MOST = 5.0


class DoGEController(MultiplicativeWeights):
    """A controller that hears gradients' products; see ``trainer.steering.Controller``.

    prior: {domain: weight}; ``faithful`` takes no more of it than the names. target: {domain: share}, None for all
    domains; the run has to be given the same (``anchored`` without one: the prior). eta: of ``anchored``; mu: of
    ``faithful``. pull: strength of KL(a ‖ prior), in units of W / scale, of ``anchored``. most: bound on W / scale.

    Raises RecipeError for settings out of range.
    """

    wants: Literal["alignment"] = "alignment"

    def __init__(
        self,
        prior: Mapping[str, float],
        target: Mapping[str, float] | None = None,
        mode: Mode = "anchored",
        eta: float = 0.1,
        mu: float = CODE_MU,
        pull: float = 0.1,
        most: float = MOST,
        project: Project | None = None,
        limits: Any = None,
    ) -> None:
        if not (eta > 0 and mu > 0 and most > 0 and pull >= 0):
            raise RecipeError(f"DoGE needs eta, mu and most above 0 and pull of 0 or more, got {eta, mu, most, pull}")
        super().__init__(prior, None, project, limits)
        if mode == "faithful":
            self.log_weights = normalized(np.zeros(len(self.names)))
        self.mode, self.eta, self.mu, self.pull, self.most = mode, eta, mu, pull, most
        self.target = None if target is None else {n: float(s) for n, s in sorted(target.items()) if s}

    def identity(self) -> dict[str, Any]:
        """Method and settings."""
        settings: dict[str, Any] = {"mode": self.mode, "most": self.most, "target": self.target}
        settings |= {"mu": self.mu} if self.mode == "faithful" else {"eta": self.eta, "pull": self.pull}
        prior = dict(zip(self.names, self.prior.tolist(), strict=True))
        return {"method": "doge", **settings, "prior": prior, "limits": self.limits}

    def update(self, stats: dict[str, Any]) -> dict[str, float]:
        """The step's weights. Raises RecipeError for a run without a domain of the prior's."""
        scaled = self._scaled(stats)
        self._hear(stats, scaled)
        if self.mode == "faithful":
            self._multiply(stats["lr"] / self.mu * np.clip(scaled, 0.0, self.most))
            return self._answer(stats)
        step = self.eta * (stats["lr"] / self.lr_top if self.lr_top else 1.0)
        self._multiply(step * np.clip(scaled, -self.most, self.most))
        if self.pull:
            pulled = (self.log_weights + step * self.pull * np.log(self.prior)) / (1 + step * self.pull)
            self.log_weights = normalized(pulled)
        return self._answer(stats)

    def _scaled(self, stats: dict[str, Any]) -> np.ndarray:
        """float64 [k]: W / scale; NaN where a domain was absent."""
        norm = self.vector(stats["gradient_norm"])
        there = ~np.isnan(norm)
        if self.mode == "anchored":
            weight = self.prior[there]
            scale = math.fsum(weight * norm[there] ** 2) / math.fsum(weight) if there.any() else 0.0
            return self.vector(stats["alignment"]) / (scale or 1.0)
        scale = math.fsum(norm[there]) / max(1, int(there.sum())) + 1e-6
        if self.target is not None:
            return self.vector(stats["alignment"]) * len(self.target) / scale
        rows = stats["products"]
        others = {n: math.fsum(rows[n].get(m, 0.0) for m in self.names if m != n) for n in self.names if n in rows}
        return self.vector(others) / scale
