"""The learning rate as a function of the step, on the host.

    wsd       |/‾‾‾‾‾‾‾‾\\   warm-up, stable, final decay (arXiv 2404.06395)
    cosine    |/‾-.._       warm-up, then half a cosine down to a tenth
    linear    |/‾-__        warm-up, then a straight line down
    constant  |/‾‾‾‾‾‾‾‾‾   warm-up, then the same rate for good

Before its decay begins, wsd knows nothing of the total: a run whose ``steps`` are raised (a longer or appended phase)
goes on as if they always had been that many, and one stable run can be decayed at several places.
"""

import math
from dataclasses import dataclass
from typing import Literal

from jacorpus.errors import RecipeError, nearest

KINDS = ("wsd", "cosine", "linear", "constant")

Kind = Literal["wsd", "cosine", "linear", "constant"]


@dataclass(frozen=True)
class Schedule:
    """A kind of schedule and its sizes.

    lr: the peak. warmup: steps of warm-up. steps: of the whole run. decay: share of steps in wsd's final decay.
    floor: the last rate as a share of lr (None: 0.1 for cosine, else 0).

    Step s is update number s, from 0. Warm-up's first update has lr / warmup, none has rate 0, and ``floor`` is reached
    where the update after the last would be. Raises RecipeError for settings without a meaning.
    """

    kind: Kind
    lr: float
    warmup: int
    steps: int
    decay: float = 0.2
    floor: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise RecipeError(f"[train] schedule: there is no `{self.kind}`{nearest(self.kind, KINDS)}")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise RecipeError(f"[train] lr must be a positive number, got {self.lr}; 4e-4 is a usual one")
        if self.steps < 1:
            raise RecipeError(f"[train] a run needs at least one step, got {self.steps}; give it more tokens")
        if not 0 <= self.decay <= 1:
            raise RecipeError(f"[train] decay is a share of all steps, from 0 to 1, got {self.decay}")
        if self.floor is not None and not 0 <= self.floor <= 1:
            raise RecipeError(f"[train] floor is a share of lr, from 0 to 1, got {self.floor}")
        if self.warmup < 0 or self.warmup + self.decay_steps > self.steps:
            raise RecipeError(
                f"[train] warm-up of {self.warmup:,} steps and final decay of {self.decay_steps:,} don't fit into "
                f"{self.steps:,} steps; lower warmup or decay"
            )

    @property
    def decay_steps(self) -> int:
        """Updates of wsd's final decay; 0 for the other kinds."""
        return round(self.decay * self.steps) if self.kind == "wsd" else 0

    def at(self, step: int) -> float:
        """The rate of update ``step``, counted from 0; past the last one, the floor."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        return self.lr * (self._floor + (1 - self._floor) * self._height(step))

    @property
    def _floor(self) -> float:
        if self.floor is not None:
            return self.floor
        return 0.1 if self.kind == "cosine" else 0.0

    def _height(self, step: int) -> float:
        """1 at the peak, 0 at the floor."""
        if self.kind == "constant":
            return 1.0
        start = self.steps - self.decay_steps if self.kind == "wsd" else self.warmup
        if step >= self.steps:
            return 0.0 if start < self.steps else 1.0
        x = max(0, step - start) / max(1, self.steps - start)  # share of the way down
        if self.kind == "cosine":
            return (1 + math.cos(math.pi * x)) / 2
        if self.kind == "linear":
            return 1 - x
        # The root drops fast at first and stays low for long; final losses were lower than on a straight line
        # (arXiv 2405.18392, section 4).
        return 1 - math.sqrt(x)
