"""DoReMi on tiny models: more of what the model is worse at than a reference (arXiv 2305.10429)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from jacorpus.errors import RecipeError
from mixing.evidence import Evidence
from mixing.method import Answer, Certificate
from mixing.problem import Problem
from mixing.steering.doremi import Clip, DoReMiController, Mode
from mixing.steering.runs import SteeredRuns, most_gain, steer_seeds
from mixing.steering.simplex import Project

SETTLED = 1e-3
"""Rounds end when no weight changes by more; the paper's."""

IS_THE_PRIOR = (
    'reference = "mixture": a reference of the same kind, trained on the prior\'s mixture, makes the prior itself the '
    "answer in theory; what differs from it is noise and the run's beginning"
)


@dataclass(frozen=True)
class Doremi:
    """The least worst excess over reference models, as a tiny model and its mixture find it step by step; no target.

    mode: ``anchored`` (ours; starts at the prior, smooths to it, clips nothing, takes the mean of a run's second half)
    or ``faithful`` (the paper; mixing/steering/doremi.py). eta, smoothing (c), clip ("": the mode's own), decay: of the
    update. reference: ``per_domain``, a tiny model for each domain; ``mixture``, one of the prior's mixture, or
    after the first of several rounds of the answer before; ``larger``, the trained model in the folder ``larger``.
    tokens: of a run, 0 for the tiny models' own.
    """

    mode: Mode = "anchored"
    eta: float = 1.0
    smoothing: float = 1e-3
    clip: Literal["", "none", "token", "domain"] = ""
    decay: bool = False
    reference: Literal["per_domain", "mixture", "larger"] = "per_domain"
    larger: str = ""
    rounds: int = 1
    tokens: int = 0
    takes_target: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if bool(self.larger) != (self.reference == "larger"):
            raise RecipeError('reference = "larger" and larger = "FOLDER", a trained model\'s, belong together')
        if self.rounds < 1 or (self.rounds > 1 and self.reference != "mixture"):
            raise RecipeError('rounds is 1, or more with reference = "mixture", whose reference a round replaces')

    def weights(self, problem: Problem, evidence: Evidence) -> Answer:
        """The mean over seeds; each seed's own as replicates. Raises RecipeError for a problem with a target."""
        if problem.given:
            raise RecipeError("DoReMi can't follow a target; leave it out, or choose doge")
        notes = [IS_THE_PRIOR] if self.reference == "mixture" else []
        if notes:
            evidence.tell(IS_THE_PRIOR, 0, 1)
        judge, found = problem.prior, problem.prior
        for done in range(self.rounds):
            runs = steer_seeds(
                problem, evidence, self._controller, self.tokens, reference=self._reference(problem, judge)
            )
            replicates = runs.means(late=self.mode == "anchored")
            found = problem.within(replicates.mean(0))
            change = float(np.abs(found - judge).max())
            if self.rounds > 1:
                notes.append(f"round {done + 1}: the largest change of a weight is {change:.4f}")
            if change < SETTLED:
                break
            judge = found
        facts = {**self._facts(), **runs.facts, "rounds": float(done + 1)}
        return Answer(found, replicates, runs.thinned, self._certificate(problem, runs, found), facts, tuple(notes))

    def _controller(self, prior: Mapping[str, float], project: Project | None, limits: Any) -> DoReMiController:
        clip: Clip | None = self.clip or None
        settings = {"eta": self.eta, "smoothing": self.smoothing, "clip": clip, "decay": self.decay}
        return DoReMiController(prior, self.mode, **settings, project=project, limits=limits)  # type: ignore[arg-type]

    def _reference(self, problem: Problem, judge: np.ndarray) -> Any:
        if self.reference == "mixture":
            return {name: weight for name, weight in problem.domains.named(judge).items() if weight > 0}
        return Path(self.larger) if self.larger else self.reference

    def _facts(self) -> dict[str, float | str]:
        clip = self.clip or ("token" if self.mode == "faithful" else "none")
        return {"mode": self.mode, "reference": self.reference, "eta": self.eta, "c": self.smoothing, "clip": clip}

    def _certificate(self, problem: Problem, runs: SteeredRuns, weights: np.ndarray) -> Certificate | None:
        """What other weights within the limits would gain on the runs' models; the mean over seeds."""
        gaps = []
        for controller in runs.controllers:
            if not controller.steps:
                continue
            late = controller.late
            drive = np.array([late.get(name, -math.inf) for name in problem.domains.names])
            drive[np.isinf(drive)] = min(late.values())
            gaps.append(most_gain(problem, drive, weights))
        if not gaps:
            return None
        return Certificate(
            sum(gaps) / len(gaps), "nats per token", False, "measured on a run's batches, while its model still learns"
        )
