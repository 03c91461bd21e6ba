"""The user's own weights."""

from dataclasses import dataclass, field
from typing import ClassVar

from jacorpus.errors import RecipeError
from mixing.evidence import Evidence
from mixing.method import Answer
from mixing.problem import Problem


@dataclass(frozen=True)
class Fixed:
    """Weights as written: [mixing.options] mixture = { domain = weight }."""

    mixture: dict[str, float] = field(default_factory=dict)
    takes_target: ClassVar[bool] = True

    def weights(self, problem: Problem, evidence: Evidence) -> Answer:
        """Raises RecipeError for unknown domains and for none."""
        if not self.mixture:
            raise RecipeError("[mixing.options] of fixed: write mixture = { web = 0.7, wiki = 0.3 }")
        return Answer(problem.domains.vector(self.mixture))
