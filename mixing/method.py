"""A mixing method: one file in ``methods/``, a frozen dataclass whose fields are its options.

A recipe's ``method = "mixmin"`` is mixing/methods/mixmin.py, class Mixmin. There is no registry;
``method = "your_module:Class"`` reaches one of your own:

    @dataclass(frozen=True)
    class Halves:
        '''Half for the first domain.'''

        first: str
        takes_target: ClassVar[bool] = False

        def weights(self, problem, evidence):
            rest = (len(problem.domains) - 1) or 1
            share = {name: 0.5 if name == self.first else 0.5 / rest for name in problem.domains.names}
            return Answer(problem.domains.vector(share))

Whatever a method answers is brought within the recipe's limits, with a note of how far that was, where it did not keep
them itself.
"""

import ast
import dataclasses
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from jacorpus.errors import RecipeError, nearest

if TYPE_CHECKING:
    from mixing.evidence import Evidence
    from mixing.problem import Problem

METHODS = Path(__file__).parent / "methods"


@dataclass(frozen=True)
class Certificate:
    """How far at most an answer is from the best there is, by the method's own objective.

    gap: 0 or more, in ``unit``. proof: it is a bound; else an estimate, for ``reason``.
    """

    gap: float
    unit: str
    proof: bool
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a method found. weights [k]; replicates [R, k]: the same from other seeds or bootstrap draws, R may be 0;
    trajectory [T, k]: weights on the way; facts: what a report should show of it, by name; notes: sentences."""

    weights: np.ndarray
    replicates: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    trajectory: np.ndarray | None = None
    certificate: Certificate | None = None
    facts: Mapping[str, float | str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Method(Protocol):
    """The interface. takes_target: it can follow a target; one that can't refuses a recipe that has one."""

    takes_target: ClassVar[bool]

    def weights(self, problem: "Problem", evidence: "Evidence") -> Answer:
        """float64 [k] of sum 1 and more; the same answer for the same problem and evidence."""
        ...


@cache
def known_methods() -> dict[str, str]:
    """Name -> first line of its docstring, read without importing."""
    found = {}
    for path in sorted(METHODS.glob("*.py")):
        wanted = _class_name(path.stem)
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name == wanted:
                found[path.stem] = (ast.get_docstring(node) or "").split("\n")[0]
    return found


def _class_name(file_name: str) -> str:
    return "".join(part.capitalize() for part in file_name.split("_"))


def method_class(name: str) -> type:
    """Raises RecipeError naming the nearest one there is."""
    if ":" in name:
        module, _, attribute = name.partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError, TypeError, ValueError) as error:  # the last two: `:Class`, `.module:Class`
            raise RecipeError(f'method = "{name}" can\'t be loaded: {error}. Is the module installed?') from error
    else:
        if name not in known_methods():
            raise RecipeError(f"unknown mixing method `{name}`{nearest(name, known_methods())}")
        found = getattr(importlib.import_module(f"mixing.methods.{name}"), _class_name(name))
    is_class = isinstance(found, type) and dataclasses.is_dataclass(found)
    if not is_class or not callable(getattr(found, "weights", None)) or not hasattr(found, "takes_target"):
        raise RecipeError(
            f'method = "{name}" is no method: it has to be a frozen dataclass with weights(problem, evidence) and '
            f"takes_target: ClassVar[bool] (see mixing/method.py)"
        )
    return found


def method_named(name: str, options: Mapping[str, Any] | None = None) -> Method:
    """An instance with these options, their types checked. Raises RecipeError for what it doesn't know, take or get."""
    import typing

    from pydantic import TypeAdapter, ValidationError

    cls, given, where = method_class(name), dict(options or {}), f"[mixing.options] of {name}"
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    for key in given:
        if key not in fields:
            raise RecipeError(f"{where}: unknown option `{key}`{nearest(key, fields) or '; it has none'}")
    for key, one in fields.items():
        if key not in given and one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING:
            raise RecipeError(f"{where}: it needs the option `{key}`")
    key = ""
    try:
        hints = typing.get_type_hints(cls) if given else {}
        for key, value in given.items():
            given[key] = TypeAdapter(hints[key]).validate_python(value)
        return cls(**given)
    except ValidationError as error:
        first = error.errors()[0]
        option = ".".join([key, *map(str, first["loc"])])
        raise RecipeError(f"{where}: option `{option}`: {first['msg']} (got {first['input']!r})") from error
    except (TypeError, ValueError, NameError) as error:
        raise RecipeError(f"{where}: {error}") from error


def options_of(method: Method) -> dict[str, Any]:
    """All options, defaults included."""
    return {f.name: getattr(method, f.name) for f in dataclasses.fields(method) if f.init}  # type: ignore[arg-type]
