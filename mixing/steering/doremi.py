"""DoReMi: weights grow where the model's loss exceeds a reference's (arXiv 2305.10429, algorithm 1).

    a' = a exp(eta x) / sum,      a = (1 - c) a' + c s,      the model minimizes sum_i a_i (mean loss of domain i)

x_i is the domain's mean excess over the reference, clipped at 0 or not; s what weights are smoothed to.

``faithful``   the paper: a starts even, s is even, excess is clipped token by token, eta 1, c 1e-3
``anchored``   ours: a starts at the prior, s is the prior, and nothing is clipped

Why ours differs. What is sought is a saddle: weights and a model such that no other weights gain. Excess clipped token
by token rewards disagreement where the mean excess is 0, and moves the saddle. An even s pulls away from it by about
c/eta, and depends on how text is cut into domains: a domain cut into two identical ones counts twice. With the prior,
which is cut with the domain, nothing changes (exactly, in exact expectations).

A falling eta has to take c along, or the pull of s grows: c_t = c eta_t / eta.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from jacorpus.errors import RecipeError
from mixing.steering.simplex import MultiplicativeWeights, Project, normalized

Mode = Literal["anchored", "faithful"]
Clip = Literal["none", "token", "domain"]
CODE_FIRST_SCORE = math.log(50_257)
"""Of a domain the public code has not met yet: the logarithm of its vocabulary's size."""


class DoReMiController(MultiplicativeWeights):
    """A controller that hears losses; see ``trainer.steering.Controller``.

    prior: {domain: weight}; ``faithful`` takes no more of it than the names. smoothing: c. clip: ``token`` (the paper),
    ``domain``: max(mean excess, 0), ``none``; default by mode. decay: eta falls as 1/sqrt(step + 1), c with it.

    absent: a domain without tokens in a batch ``keep``s its weight, or has its last score ``repeat``ed, as in the
    public code, first_score before there is one. Raises RecipeError for settings out of range.
    """

    wants: Literal["loss"] = "loss"

    def __init__(
        self,
        prior: Mapping[str, float],
        mode: Mode = "anchored",
        eta: float = 1.0,
        smoothing: float = 1e-3,
        clip: Clip | None = None,
        decay: bool = False,
        absent: Literal["keep", "repeat"] = "keep",
        first_score: float = CODE_FIRST_SCORE,
        project: Project | None = None,
        limits: Any = None,
    ) -> None:
        if not (0 < eta < math.inf and 0 <= smoothing < 1):
            raise RecipeError(f"DoReMi needs eta above 0 and smoothing from 0 to below 1, got {eta} and {smoothing}")
        super().__init__(prior, None, project, limits)
        if mode == "faithful":
            even = np.full(len(self.names), 1 / len(self.names))
            self.target, self.log_weights = even, normalized(np.log(even))
        else:
            self.target = self.prior
        self.mode, self.eta, self.smoothing, self.decay = mode, eta, smoothing, decay
        self.clip: Clip = clip or ("token" if mode == "faithful" else "none")
        self.absent, self.first_score = absent, first_score
        self._last = np.full(len(self.names), first_score)

    @staticmethod
    def as_code(prior: Mapping[str, float], first_score: float = CODE_FIRST_SCORE) -> "DoReMiController":
        """The public code's (sangmichaelxie/doremi, 7cde52d) where it differs from its paper and a controller can tell.

        It also counts the even start into the mean: ``mean_with_start``.
        """
        return DoReMiController(prior, "faithful", smoothing=1e-4, absent="repeat", first_score=first_score)

    def identity(self) -> dict[str, Any]:
        """Method and settings."""
        settings = {key: getattr(self, key) for key in ("mode", "eta", "smoothing", "clip", "decay", "absent")}
        first = self.first_score if self.absent == "repeat" else None
        prior = dict(zip(self.names, self.prior.tolist(), strict=True))
        return {"method": "doremi", **settings, "first_score": first, "prior": prior, "limits": self.limits}

    def update(self, stats: dict[str, Any]) -> dict[str, float]:
        """The step's weights. Raises RecipeError for a run without a reference, or without a domain of the prior's."""
        if "excess" not in stats:
            raise RecipeError("DoReMi compares losses with a reference's, and this run has none: give a reference")
        excess = self.vector(stats["excess"])
        self._hear(stats, excess)
        score = self.vector(stats["clipped_excess"]) if self.clip == "token" else excess
        if self.clip == "domain":
            score = np.maximum(score, 0.0)
        if self.absent == "repeat":
            score = self._last = np.where(np.isnan(score), self._last, score)
        slower = 1 / math.sqrt(self.steps) if self.decay else 1.0
        self._multiply(self.eta * slower * score)
        if c := self.smoothing * slower:
            self.log_weights = np.logaddexp(self.log_weights + math.log1p(-c), np.log(self.target) + math.log(c))
        return self._answer(stats)

    def gap(self, weights: Mapping[str, float]) -> float:
        """max_i x_i - sum_i a_i x_i of some weights, x being the late mean of excess: what other weights would gain on
        the model as it was. Nats a token; 0 at a saddle, an estimate where losses are. NaN before the first step."""
        late = self.late
        if len(late) < len(self.names):
            return math.nan
        total = math.fsum(weights.get(name, 0.0) for name in self.names)
        mean = math.fsum(weights.get(name, 0.0) * value for name, value in late.items()) / total
        return max(late.values()) - mean

    def state_dict(self) -> dict[str, Any]:
        """JSON."""
        return {**super().state_dict(), "last": dict(zip(self.names, self._last.tolist(), strict=True))}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises InputError for the state of other domains."""
        super().load_state_dict(state)
        self._last = self.vector(state["last"])


def mean_with_start(trajectory: np.ndarray) -> np.ndarray:
    """float64 [k]: the public code's mean, over the even start and all steps' weights [T, k] in use."""
    T, k = trajectory.shape
    return (trajectory.sum(0) + 1 / k) / (T + 1)
