"""Rewards: what an answer is worth, by rules, by a judge or by a class of the user's.

A reward is a class whose instances take answers and give as many finite numbers: ``__call__(answers) -> list[float]``.
``load_reward(name, options)`` makes one of a name (numeric, choice, exact, format, length, judge, model,
hierarchy, quote), of ``package.module:Class`` or of ``path/to/file.py:Class``. ``score`` sums several by weights.
"""

import importlib
import importlib.util
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from jacorpus.errors import JacorpusError, RecipeError, nearest

if TYPE_CHECKING:
    from trainer.posttrain.chat import Turn

BUILT_IN = {
    "numeric": "Numeric",
    "choice": "Choice",
    "exact": "Exact",
    "format": "Format",
    "length": "Length",
    "judge": "Judge",
    "model": "Model",
    "hierarchy": "Hierarchy",
    "quote": "Quote",
}
_SHOWN = 40  # characters of a prompt in an error


@dataclass(frozen=True)
class Answered:
    """One answer to one prompt. reference: what the data say is right, "" where there is none. meta: the rest of the
    prompt's row, and ``id`` and ``tokens`` (of the answer) where they are known. ended: the answer has its stop token;
    False: it was cut."""

    prompt: tuple["Turn", ...]
    text: str
    reference: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    ended: bool = True


Reward = Callable[[Sequence[Answered]], Sequence[float]]


def load_reward(name: str, options: Mapping[str, Any] | None = None) -> Reward:
    """The reward of that name with these options. RecipeError: no such reward, or an option that it doesn't have."""
    made_by = _own(name) if ":" in name else _built_in(name)
    try:
        reward = made_by(**dict(options or {}))
    except TypeError as error:
        raise RecipeError(f"reward {name}: {error}; give the options its class has") from error
    if not callable(reward):
        raise RecipeError(f"reward {name} can't be called; give its class a method __call__(self, answers)")
    found: Reward = reward
    return found


def score(
    rewards: Mapping[str, tuple[float, Reward]], answers: Sequence[Answered]
) -> tuple[list[float], dict[str, list[float]]]:
    """(weighted sum of each answer, each reward's own numbers by name, unweighted). JacorpusError names the reward and
    the prompt where a reward raises, gives another count of numbers than answers, or a number that is not finite."""
    parts = {name: _numbers(name, reward, answers) for name, (_, reward) in rewards.items()}
    total = [math.fsum(rewards[name][0] * parts[name][row] for name in parts) for row in range(len(answers))]
    return total, parts


def shown(answered: Answered) -> str:
    """A prompt as an error names it: its id where known, and how its last turn begins."""
    text = " ".join(answered.prompt[-1].content.split()) if answered.prompt else ""
    text = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    known = answered.meta.get("id")
    return f"prompt {known} ({text!r})" if known not in (None, "") else f"prompt {text!r}"


def _numbers(name: str, reward: Reward, answers: Sequence[Answered]) -> list[float]:
    if not answers:
        return []
    first = shown(answers[0])
    try:
        numbers = list(reward(answers))
    except JacorpusError as error:
        raise type(error)(f"reward {name}: {error}") from error
    except Exception as error:
        where = _culprit(reward, answers) if len(answers) <= 4096 else f"a batch that begins with {first}"
        raise JacorpusError(
            f"reward {name} raised {type(error).__name__} ({error}) at {where}; "
            "mend the reward, or let it return 0 for answers it can't judge"
        ) from error
    if len(numbers) != len(answers):
        raise JacorpusError(
            f"reward {name} gave {len(numbers)} numbers for {len(answers)} answers, the first to {first}; "
            "let it return one number an answer, in their order"
        )
    for answered, number in zip(answers, numbers, strict=True):
        if isinstance(number, str) or not _finite(number):
            raise JacorpusError(
                f"reward {name} gave {number!r} for an answer to {shown(answered)}; let it return finite numbers"
            )
    return [float(number) for number in numbers]


def _finite(number: Any) -> bool:
    try:
        return math.isfinite(float(number))
    except (TypeError, ValueError, OverflowError):
        return False


def _culprit(reward: Reward, answers: Sequence[Answered]) -> str:
    """The first answer that raises by itself, else the batch by its first prompt."""
    for answered in answers:
        try:
            reward([answered])
        except Exception:
            return shown(answered)
    return f"a batch that begins with {shown(answers[0])}"


def _built_in(name: str) -> Callable[..., Any]:
    if name not in BUILT_IN:
        raise RecipeError(f"no reward {name}{nearest(name, BUILT_IN)}; a class of yours is package.module:Class")
    made_by: Callable[..., Any] = getattr(importlib.import_module(f"trainer.rewards.{name}"), BUILT_IN[name])
    return made_by


def _own(name: str) -> Callable[..., Any]:
    """The class of ``package.module:Class`` or ``file.py:Class``."""
    where, _, what = name.rpartition(":")
    try:
        module = _file_module(Path(where)) if where.endswith(".py") else importlib.import_module(where)
    except Exception as error:
        raise RecipeError(f"reward {name}: {where} can't be imported ({type(error).__name__}: {error})") from error
    if not hasattr(module, what):
        classes = [known for known, value in vars(module).items() if isinstance(value, type)]
        raise RecipeError(f"reward {name}: {where} has no {what}{nearest(what, classes)}")
    made_by: Callable[..., Any] = getattr(module, what)
    return made_by


def _file_module(path: Path) -> ModuleType:
    """A file as a module; registered, for dataclasses and pickles look it up by its name."""
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    name = "rewards_of_" + "".join(c if c.isalnum() else "_" for c in str(path.resolve().with_suffix("")))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
