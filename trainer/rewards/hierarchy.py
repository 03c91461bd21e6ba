"""1 where an answer follows the higher instructions and none that conflicts with them, by the rules in its row's
``meta`` (trainer/posttrain/hierarchy.py), else 0."""

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.posttrain.hierarchy import right
from trainer.rewards import Answered


@dataclass(frozen=True)
class Hierarchy:
    """No options: what is right stands in the rows."""

    def __call__(self, answers: Sequence[Answered]) -> list[float]:
        """0 or 1 an answer. Raises KeyError for a row without rules."""
        return [float(right(answered.meta["meta"], answered.text)) for answered in answers]
