"""JSON Schema of a recipe, made from the stage classes themselves."""

import dataclasses
import typing
from typing import Any

from jacorpus.recipe import _TOP, LATER_TABLES, Recipe
from jacorpus.resolve import known_stages, resolve
from jacorpus.rules.profile import profile_names


def recipe_schema() -> dict[str, Any]:
    """Draft 2020-12. One branch per stage, so that an editor completes and checks its options."""
    fields = {f.name: f for f in dataclasses.fields(Recipe)}
    kinds = {"str": "string", "int": "integer", "float": "number", str: "string", int: "integer", float: "number"}
    top: dict[str, Any] = {name: {"type": kinds[fields[name].type]} for name in _TOP}  # type: ignore[index]
    sources = {use: text for use, text in known_stages().items() if use.startswith("sources.")}
    stages = {use: text for use, text in known_stages().items() if use not in sources}
    source_keys = {
        "domain": {"type": "string"},
        "paths": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "priority": {"type": "integer", "default": 0},
    }
    stage_keys = {"label": {"type": "string"}, "domains": {"type": "array", "items": {"type": "string"}}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "jacorpus recipe",
        "type": "object",
        "additionalProperties": False,
        "required": ["source"],
        "properties": {
            **top,
            "source": {"type": "array", "items": _branches(sources, source_keys, ["use", "domain", "paths"])},
            "stage": {"type": "array", "items": _branches(stages, stage_keys, ["use"])},
            **{name: {"type": "object"} for name in LATER_TABLES},
        },
    }


def _branches(uses: dict[str, str], common: dict[str, Any], required: list[str]) -> dict[str, Any]:
    own = {"properties": {"use": {"type": "string", "pattern": ":"}}, "required": ["use"]}
    return {"anyOf": [*(_stage_schema(use, text, common, required) for use, text in uses.items()), own]}


def _stage_schema(use: str, text: str, common: dict[str, Any], required: list[str]) -> dict[str, Any]:
    from pydantic import TypeAdapter

    cls = resolve(use)
    hints = typing.get_type_hints(cls)
    options = {}
    for field in dataclasses.fields(cls):
        if field.init:
            options[field.name] = TypeAdapter(hints[field.name]).json_schema()
            if field.default is not dataclasses.MISSING and field.default is not None:
                options[field.name]["default"] = field.default
    if use == "rules.profile":
        options["profile"]["examples"] = profile_names()
    return {
        "title": use,
        "description": text,
        "type": "object",
        "properties": {"use": {"const": use}, **common, **options},
        "required": required,
        "additionalProperties": False,
    }
