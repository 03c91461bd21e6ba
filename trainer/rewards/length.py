"""The soft overlong penalty of DAPO (arXiv 2503.14476): 0 up to most - buffer tokens, then falling on a line to -1 at
most, -1 beyond."""

from collections.abc import Sequence
from dataclasses import dataclass

from jacorpus.errors import InputError, RecipeError
from trainer.rewards import Answered, shown


@dataclass(frozen=True)
class Length:
    """most: the length that gets the whole penalty. buffer: over how much before it the penalty grows. unit: tokens
    (meta ``tokens`` of an answer) or characters. cut: the penalty of an answer that was cut, whatever its length."""

    most: int = 1024
    buffer: int = 256
    unit: str = "tokens"
    cut: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.buffer <= self.most:
            raise RecipeError(f"reward length: buffer must be between 0 and most ({self.most}), got {self.buffer}")
        if self.unit not in ("tokens", "characters"):
            raise RecipeError(f"reward length: unit must be tokens or characters, got {self.unit!r}")

    def __call__(self, answers: Sequence[Answered]) -> list[float]:
        """One number in [-1, 0] an answer."""
        return [self.cut if self.cut is not None and not a.ended else self.penalty(self._length(a)) for a in answers]

    def penalty(self, length: int) -> float:
        """Of an answer of that length."""
        if length <= self.most - self.buffer:
            return 0.0
        return -1.0 if length >= self.most else (self.most - self.buffer - length) / self.buffer

    def _length(self, answered: Answered) -> int:
        if self.unit == "characters":
            return len(answered.text)
        if "tokens" not in answered.meta:
            raise InputError(f"{shown(answered)}: its tokens are not counted; use unit = characters")
        return int(answered.meta["tokens"])
