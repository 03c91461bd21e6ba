"""DoGE on tiny models: more of what moves a model the target's way (arXiv 2310.15393)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from mixing.evidence import Evidence
from mixing.method import Answer
from mixing.problem import Problem
from mixing.steering.doge import CODE_MU, MOST, DoGEController
from mixing.steering.doremi import Mode
from mixing.steering.runs import steer_seeds
from mixing.steering.simplex import Project


@dataclass(frozen=True)
class Doge:
    """Domains weighted by how far their gradients agree with the target's, while a tiny model learns.

    Without a target it is the prior's mixture of all domains (``faithful``: all others). mode: ``anchored`` (ours;
    starts at the prior and is pulled to it, takes the mean of a run's second half) or ``faithful`` (the public code's;
    mixing/steering/doge.py). eta, pull: of ``anchored``; mu: of ``faithful``; most: bound on a scaled product. tokens:
    of a run, 0 for the tiny models' own.
    """

    mode: Mode = "anchored"
    eta: float = 0.1
    pull: float = 0.1
    mu: float = CODE_MU
    most: float = MOST
    tokens: int = 0
    takes_target: ClassVar[bool] = True

    def weights(self, problem: Problem, evidence: Evidence) -> Answer:
        """The mean over seeds; each seed's own as replicates."""
        target = dict(problem.target) if problem.given else None

        def controller(prior: Mapping[str, float], project: Project | None, limits: Any) -> DoGEController:
            settings = (self.mode, self.eta, self.mu, self.pull, self.most)
            return DoGEController(prior, target, *settings, project=project, limits=limits)

        followed = target or {n: w for n, w in problem.domains.named(problem.prior).items() if w > 0}
        runs = steer_seeds(problem, evidence, controller, self.tokens, target=followed)
        replicates = runs.means(late=self.mode == "anchored")
        step = {"mu": self.mu} if self.mode == "faithful" else {"eta": self.eta, "pull": self.pull}
        facts = {"mode": self.mode, **step, "clip": self.most, **runs.facts}
        notes = () if problem.given else ("no target is set: the gradient followed is that of the prior's mixture",)
        return Answer(problem.within(replicates.mean(0)), replicates, runs.thinned, None, facts, notes)
