"""What an endpoint answered: the text of a chat completion, or the value its JSON schema asks for.

The schema language is a part of JSON Schema: type, properties, required, additionalProperties (false), items,
minItems, maxItems, minLength, maxLength, minimum, maximum, enum. Any other keyword is refused where the schema is
loaded: one that is passed over would promise what nobody checks.
"""

import json
from typing import Any, NamedTuple

from jacorpus.errors import RecipeError, nearest

_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}
_SIZES = {"minItems": 1, "minLength": 1, "minimum": 1, "maxItems": -1, "maxLength": -1, "maximum": -1}
_KNOWN = ("type", "properties", "required", "additionalProperties", "items", "enum", "description", *_SIZES)


class Unusable(Exception):
    """One document can't be made. reason: a short word that is counted. detail: one sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


class Usage(NamedTuple):
    """Tokens an endpoint counted; estimated where it told nothing."""

    tokens_in: int
    tokens_out: int


def check_schema(schema: Any, where: str) -> None:
    """Raises RecipeError for a schema with a keyword or a type that ``fault`` does not check."""
    if not isinstance(schema, dict):
        raise RecipeError(f"{where}: a schema is a table, got {schema!r}")
    for keyword in schema:
        if keyword not in _KNOWN:
            raise RecipeError(f"{where}: unknown schema keyword `{keyword}`{nearest(keyword, _KNOWN)}")
    if "type" in schema and schema["type"] not in _TYPES:
        raise RecipeError(f"{where}: unknown schema type {schema['type']!r}{nearest(str(schema['type']), _TYPES)}")
    for name, part in schema.get("properties", {}).items():
        check_schema(part, f"{where}.{name}")
    if "items" in schema:
        check_schema(schema["items"], f"{where}[]")


def fault(value: Any, schema: dict[str, Any], where: str = "answer") -> str | None:
    """What of a value breaks the schema, as one sentence; None where it is valid."""
    kind = schema.get("type")
    wrong = kind and not isinstance(value, _TYPES[kind])
    if wrong or (isinstance(value, bool) and kind in ("integer", "number")):
        return f"{where} is a {type(value).__name__}, not of type {kind}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{where} is {value!r}, not one of {schema['enum']}"
    size = len(value) if isinstance(value, str | list) else value
    for keyword, sign in _SIZES.items():
        if keyword in schema and not isinstance(size, dict) and sign * size < sign * schema[keyword]:
            return f"{where} breaks {keyword} = {schema[keyword]} with {size}"
    if isinstance(value, dict):
        return _fault_of_members(value, schema, where)
    if isinstance(value, list) and "items" in schema:
        faults = (fault(item, schema["items"], f"{where}[{i}]") for i, item in enumerate(value))
        return next((found for found in faults if found), None)
    return None


def _fault_of_members(value: dict[str, Any], schema: dict[str, Any], where: str) -> str | None:
    for name in schema.get("required", ()):
        if name not in value:
            return f"{where} lacks {name!r}"
    members = schema.get("properties", {})
    for name, item in value.items():
        if name not in members and schema.get("additionalProperties") is False:
            return f"{where} has {name!r}, which the schema does not know"
        if name in members and (found := fault(item, members[name], f"{where}.{name}")):
            return found
    return None


def read_answer(response: str, schema: dict[str, Any] | None) -> Any:
    """The answer in the body of a chat completion: str, or the value of the schema.

    Raises Unusable: ``not_json``, ``no_choices``, ``truncated``, ``empty``, ``schema``, ``unicode``.
    """
    try:
        body = json.loads(response)
    except ValueError as error:
        raise Unusable("not_json", f"the response is no JSON: {error}") from error
    try:
        choice = body["choices"][0]
        content = choice["message"]["content"]
        ended = choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise Unusable("no_choices", f"no choices[0].message.content in the response {response[:200]}") from error
    if not isinstance(content, str):
        raise Unusable("no_choices", f"the content of the response is a {type(content).__name__}, not a string")
    if ended == "length":
        raise Unusable("truncated", "the answer was cut off at its token limit")
    if not content.strip():
        raise Unusable("empty", "the answer is empty")
    value = content.strip() if schema is None else _value(content, schema)
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise Unusable("unicode", "the answer has half of a surrogate pair") from error
    return value


def _value(content: str, schema: dict[str, Any]) -> Any:
    text = content.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:  # models like to fence their JSON
        text = text[text.index("\n") : -3]
    try:
        value = json.loads(text, parse_constant=lambda name: _refuse(name))
    except ValueError as error:
        raise Unusable("schema", f"the answer is no JSON: {error}") from error
    if found := fault(value, schema):
        raise Unusable("schema", found)
    return value


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def usage_of(response: str, bound: Usage) -> Usage:
    """Tokens the response says were billed; ``bound`` where it does not say."""
    try:
        usage = json.loads(response)["usage"]
        return Usage(max(0, int(usage["prompt_tokens"])), max(0, int(usage["completion_tokens"])))
    except (ValueError, KeyError, TypeError):
        return bound
