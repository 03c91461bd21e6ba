"""Answers of an endpoint: what is usable, and what breaks a schema."""

import json
from typing import Any

import pytest

from jacorpus.errors import RecipeError
from jacorpus.synthesize.answer import Unusable, Usage, check_schema, fault, read_answer, usage_of
from tests.jacorpus.synthesize.endpoint import Reply

ITEMS = {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "integer", "minimum": 1, "maximum": 10}}
SCHEMA = {
    "type": "object",
    "required": ["name", "marks"],
    "additionalProperties": False,
    "properties": {"name": {"type": "string", "minLength": 2, "maxLength": 4}, "marks": ITEMS, "ok": {"enum": ["A"]}},
}


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ({"name": "ねこ", "marks": [1, 10]}, None),
        ({"name": "ねこ", "marks": [1], "ok": "A"}, None),
        ({"name": "ねこ", "marks": [1], "ok": "B"}, "not one of"),
        ({"name": "ね", "marks": [1]}, "minLength"),
        ({"name": "ねこねこね", "marks": [1]}, "maxLength"),
        ({"name": "ねこ", "marks": []}, "minItems"),
        ({"name": "ねこ", "marks": [1, 2, 3]}, "maxItems"),
        ({"name": "ねこ", "marks": [0]}, "minimum"),
        ({"name": "ねこ", "marks": [11]}, "maximum"),
        ({"name": "ねこ", "marks": [True]}, "not of type integer"),
        ({"name": "ねこ", "marks": ["1"]}, "marks[0]"),
        ({"name": "ねこ"}, "lacks 'marks'"),
        ({"name": "ねこ", "marks": [1], "more": 1}, "does not know"),
        ([], "not of type object"),
    ],
)
def test_a_schema_says_what_is_wrong(value: Any, word: str | None) -> None:
    check_schema(SCHEMA, "here")
    found = fault(value, SCHEMA)
    assert found is None if word is None else word in str(found)


def test_a_keyword_nobody_checks_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"here.name: unknown schema keyword `minLenght`; did you mean `minLength`"):
        check_schema({"type": "object", "properties": {"name": {"minLenght": 2}}}, "here")
    with pytest.raises(RecipeError, match="unknown schema type 'text'"):
        check_schema({"type": "text"}, "here")


@pytest.mark.parametrize(
    ("response", "schema", "reason"),
    [
        ("<html>", None, "not_json"),
        ("[]", None, "no_choices"),
        ('{"choices": []}', None, "no_choices"),
        ('{"choices": [{"message": {"content": null}}]}', None, "no_choices"),
        (Reply("半分", ended="length").text(), None, "truncated"),
        (Reply(" \n").text(), None, "empty"),
        (Reply("これは文章です。").text(), SCHEMA, "schema"),
        (Reply({"name": "ねこ"}).text(), SCHEMA, "schema"),
        (Reply('{"name": NaN}').text(), SCHEMA, "schema"),
        (Reply('{"name": "\\ud83d", "marks": [1]}').text(), {"type": "object"}, "unicode"),
    ],
)
def test_an_unusable_answer_has_a_reason(response: str, schema: dict[str, Any] | None, reason: str) -> None:
    with pytest.raises(Unusable) as found:
        read_answer(response, schema)
    assert found.value.reason == reason


def test_a_usable_answer_is_its_text_or_value() -> None:
    value = {"name": "ねこ", "marks": [3]}
    assert read_answer(Reply(" はい。\n").text(), None) == "はい。"
    assert read_answer(Reply(value).text(), SCHEMA) == value
    assert read_answer(Reply(f"```json\n{json.dumps(value)}\n```").text(), SCHEMA) == value


def test_usage_falls_back_to_the_bound() -> None:
    bound = Usage(100, 50)
    assert usage_of(Reply(usage=(7, 3)).text(), bound) == Usage(7, 3)
    assert usage_of(Reply(usage=None).text(), bound) == bound
    assert usage_of("<html>", bound) == bound
