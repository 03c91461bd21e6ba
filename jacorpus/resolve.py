"""A name in a recipe to its class: ``signals.text`` is jacorpus/signals/text.py, class Text.

No registry: the file system is the list. ``their_pkg.module:Class`` reaches the user's own code.
"""

import ast
import dataclasses
import functools
import importlib
from pathlib import Path
from typing import Any

from jacorpus.errors import RecipeError, nearest

ROOT = Path(__file__).parent
FAMILIES = ("sources", "extract", "normalize", "language", "signals", "dedup", "decontaminate", "redact", "rules")


def class_name(file_name: str) -> str:
    """``text_runs`` -> ``TextRuns``."""
    return "".join(part.capitalize() for part in file_name.split("_"))


@functools.cache
def known_stages() -> dict[str, str]:
    """Every name a recipe can use -> the first line of its class's docstring (read without importing it)."""
    found = {}
    for family in FAMILIES:
        for path in sorted((ROOT / family).glob("*.py")):
            if path.stem == "__init__":
                continue
            wanted = class_name(path.stem)
            for node in ast.parse(path.read_text("utf-8")).body:
                if isinstance(node, ast.ClassDef) and node.name == wanted:
                    found[f"{family}.{path.stem}"] = (ast.get_docstring(node) or "").split("\n")[0]
    return found


@functools.cache
def resolve(use: str) -> type:
    """The stage class a recipe names. Raises RecipeError naming the nearest one there is."""
    if ":" in use:
        module_name, _, attribute = use.partition(":")
        try:
            found = getattr(importlib.import_module(module_name), attribute)
        except (ImportError, AttributeError) as error:
            raise RecipeError(f'`use = "{use}"` can\'t be loaded: {error}. Is the module installed?') from error
    else:
        if use not in known_stages():
            raise RecipeError(f'unknown stage `use = "{use}"`{nearest(use, known_stages())}')
        module = importlib.import_module(f"jacorpus.{use}")
        found = getattr(module, class_name(use.rpartition(".")[2]))
    if not dataclasses.is_dataclass(found):
        raise RecipeError(
            f'`use = "{use}"` is no stage: {found!r} should be a frozen dataclass (see jacorpus/stage.py)'
        )
    return found  # type: ignore[return-value]


def default_label(use: str, stage: Any) -> str:
    """The label of a stage's columns: its class's ``label``, else its file's name."""
    label = getattr(stage, "label", None)
    return label if isinstance(label, str) else use.partition(":")[0].rpartition(".")[2]


def build(use: str, options: dict[str, Any], where: str) -> Any:
    """An instance with these options, types checked. Raises RecipeError naming the option and the nearest one.

    where: what to call the table in an error, such as ``[[stage]] 3``.
    """
    return instance(resolve(use), use, options, where)


def instance(cls: type, use: str, options: dict[str, Any], where: str) -> Any:
    """A frozen dataclass with these options, types checked; errors as ``build``. use: what the recipe calls it."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    fields = {f.name for f in dataclasses.fields(cls) if f.init}
    for name in options:
        if name not in fields:
            raise RecipeError(f"{where} ({use}): unknown option `{name}`{nearest(name, fields)}")
    for field in dataclasses.fields(cls):
        if field.init and field.name not in options and _is_required(field):
            raise RecipeError(f"{where} ({use}): it needs the option `{field.name}`")
    try:
        checked = _field_types(cls, ConfigDict, TypeAdapter).validate_python(options)
        if ":" not in use:
            _refuse_negative(checked)
        return cls(**{name: checked[name] for name in options})
    except ValidationError as error:
        first = error.errors()[0]
        option = ".".join(str(part) for part in first["loc"])
        raise RecipeError(f"{where} ({use}): option `{option}`: {first['msg']} (got {first['input']!r})") from error
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{where} ({use}): {error}") from error


def _refuse_negative(options: dict[str, Any]) -> None:
    """No stage of ours has an option that means something below zero: sizes, seconds, shares, counts."""
    for name, value in options.items():
        if isinstance(value, int | float) and not value >= 0:
            raise ValueError(f"option `{name}` must be 0 or more, got {value!r}")


def _is_required(field: Any) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


@functools.cache
def _field_types(cls: type, config_dict: Any, type_adapter: Any) -> Any:
    """A validator of a class's options, one typed key a field."""
    import typing

    hints = typing.get_type_hints(cls)
    keys = {f.name: typing.NotRequired[hints[f.name]] for f in dataclasses.fields(cls) if f.init}
    from typing_extensions import TypedDict

    options = TypedDict("options", keys)  # type: ignore[operator,misc]
    options.__pydantic_config__ = config_dict(extra="forbid")  # type: ignore[attr-defined]
    return type_adapter(options)


def options_of(stage: Any) -> dict[str, Any]:
    """All options of a stage, defaults included, as JSON-able values in field order."""
    return {f.name: _plain(getattr(stage, f.name)) for f in dataclasses.fields(stage) if f.init}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value
