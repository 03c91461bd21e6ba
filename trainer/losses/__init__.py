"""Losses of post-training: pure functions of log-probs and options; no model, no config, any floating type.

A loss of pairs is a frozen dataclass of its options that is called with ``Pairs``:

    dpo ipo cdpo robust kto orpo simpo hdpo    of preference pairs
    brain                                      of several scored draws a prompt (``trainer.losses.brain.Draws``)
    policy                                     functions of policy gradients (PPO, GRPO and its variants)

Letters: B pairs. L, R: log-prob of an answer under the policy, under the reference; w, l: chosen, rejected.
"""

import dataclasses
import importlib
from typing import Any, ClassVar, NamedTuple, Protocol

from torch import Tensor

from jacorpus.errors import RecipeError, nearest

LOSSES = ("dpo", "ipo", "cdpo", "robust", "kto", "orpo", "simpo", "hdpo", "brain")


class Pairs(NamedTuple):
    """Sums of log-probs over an answer's trained tokens, float [B], and their number, [B].

    ref_*: of the reference; what a loss without one is given does not matter. mismatched, ref_mismatched: log-prob of
    another pair's answer after this pair's prompt, for KTO.
    """

    chosen_B: Tensor
    rejected_B: Tensor
    ref_chosen_B: Tensor
    ref_rejected_B: Tensor
    chosen_tokens_B: Tensor
    rejected_tokens_B: Tensor
    mismatched_B: Tensor | None = None
    ref_mismatched_B: Tensor | None = None

    def margin(self) -> Tensor:
        """[B], (Lw - Rw) - (Ll - Rl)."""
        return (self.chosen_B - self.ref_chosen_B) - (self.rejected_B - self.ref_rejected_B)

    def means(self) -> tuple[Tensor, Tensor]:
        """Log-probs per token of chosen and rejected, [B] each."""
        return self.chosen_B / self.chosen_tokens_B, self.rejected_B / self.rejected_tokens_B


class PairLoss(Protocol):
    """What the losses of pairs share."""

    needs_reference: ClassVar[bool]
    needs_mismatched: ClassVar[bool]

    def __call__(self, pairs: Pairs) -> Tensor:
        """Loss of each pair, [B]."""
        ...

    def rewards(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Implicit rewards of chosen and rejected, [B] each, for logs: the loss asks that the first be larger."""
        ...


def load_loss(name: str, options: dict[str, Any]) -> Any:
    """A loss by its name, with options; all but ``brain`` are a PairLoss. Raises RecipeError naming what is unknown."""
    if name not in LOSSES:
        raise RecipeError(f"there is no loss `{name}`{nearest(name, LOSSES)}")
    kind = getattr(importlib.import_module(f"trainer.losses.{name}"), name.capitalize())
    known = [field.name for field in dataclasses.fields(kind)]
    for option in options:
        if option not in known:
            raise RecipeError(f"the loss `{name}` has no option `{option}`{nearest(option, known)}")
    return kind(**options)


def check_option(loss: str, name: str, value: Any, low: float, high: float = float("inf"), start: bool = False) -> None:
    """Raise RecipeError unless low < value < high; ``start``: low itself is right too."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and (low < value or (start and value == low)) and value < high):
        least = f"{low:g} or more" if start else f"above {low:g}"
        most = "" if high == float("inf") else f" and below {high:g}"
        raise RecipeError(f"the loss `{loss}` wants {name} {least}{most}, got {value!r}")
