"""A trained reward model as a reward: what the stage ``reward_model`` left, asked of each answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from trainer.rewards import Answered


@dataclass(frozen=True)
class Model:
    """folder: of the stage (in a recipe ``@its-name``). rows: answers scored side by side. device: where. scale: what
    rewards are multiplied by."""

    folder: str
    rows: int = 16
    device: str = "cpu"
    scale: float = 1.0

    @cached_property
    def _opened(self) -> tuple[Any, Any]:
        from trainer.posttrain.reward_model import open_reward_model

        return open_reward_model(Path(self.folder), self.device)

    def __call__(self, answers: Sequence[Answered]) -> list[float]:
        """One number an answer; a cut answer is scored without a stop token."""
        from trainer.posttrain.reward_model import whole

        module, chat = self._opened
        ids = [[*chat.prompt(each.prompt), *chat.completion(each.text, stop=each.ended)] for each in answers]
        return [self.scale * reward for reward in module.of([whole(row) for row in ids], self.rows)]
