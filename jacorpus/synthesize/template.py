"""A template: versioned prompts in Japanese, what to make of the answers, and the rules a document must pass.

Steps are asked one after another. ``{text}`` in a prompt is a field of the seed, ``{instruction}`` the answer of an
earlier step, ``{plan.skills}`` a part of one; a value is put in as it stands, whatever braces it holds. A new wording
is a new version: the version is in the id of every document.
"""

import json
import re
import tomllib
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from jacorpus.errors import RecipeError, nearest
from jacorpus.rule import Rule, rule_from_table
from jacorpus.synthesize.answer import Unusable, check_schema

FOLDER = Path(__file__).parent / "templates"
_FIELD = re.compile(r"\{([A-Za-z_]\w*(?:\.\w+)*)\}")
_KEYS = ("name", "version", "description", "output", "seed_chars", "step", "document", "judge", "rule")
_STEP_KEYS = ("name", "system", "user", "params", "schema", "model")
_DOCUMENT_KEYS = {
    "text": {"text"},
    "chat": {"each", "turns", "prompt", "answer", "labels"},
    "preference": {"prompt", "first", "second", "labels"},
}
_RESERVED = ("text", "item", "glossary", "constraint", "constraint_name")
ROLES = ("main", "weak", "judge")
_SCHEMA_WORDS = "次のJSONスキーマに従うJSONだけを出力してください。説明や前置きは書かないでください。\n"


@dataclass(frozen=True)
class Step:
    """One question. model: which of ROLES answers. schema: of the answer; None for free text."""

    name: str
    system: str
    user: str
    params: dict[str, Any]
    schema: dict[str, Any] | None
    model: str

    def messages(self, values: dict[str, Any]) -> tuple[dict[str, str], ...]:
        """The messages with fields filled in. Raises Unusable ``missing_field``."""
        system = fill(self.system, values)
        if self.schema:
            system += "\n\n" + _SCHEMA_WORDS + json.dumps(self.schema, ensure_ascii=False)
        start = ({"role": "system", "content": system.strip()},) if system.strip() else ()
        return (*start, {"role": "user", "content": fill(self.user, values).strip()})


@dataclass(frozen=True)
class Document:
    """What a template made of the answers. conversations: of chat messages. pair: prompt, chosen, rejected."""

    text: str
    conversations: tuple[list[dict[str, str]], ...] = ()
    pair: dict[str, str] | None = None


@dataclass(frozen=True)
class Template:
    """output: text, chat or preference. judge: names of the two steps that judge, in both orders."""

    name: str
    version: str
    output: str
    steps: tuple[Step, ...]
    shape: dict[str, Any]
    judge: dict[str, str]
    rules: tuple[Rule, ...]
    seed_chars: int
    sha256: str

    def document(self, values: dict[str, Any]) -> Document:
        """The document out of the seed and all answers. Raises Unusable where their shape is wrong."""
        shape = self.shape
        if self.output == "text":
            return Document(fill(shape["text"], values))
        if self.output == "preference":
            prompt, *answers = (fill(shape[name], values) for name in ("prompt", "first", "second"))
            better = value_at(values, f"{self.judge['forward']}.better")
            chosen, rejected = answers if better == "A" else reversed(answers)
            pair = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
            return Document(self._labelled([_turns(prompt, chosen)]), pair=pair)
        if "turns" in shape:
            made = [[{"role": t["role"], "content": t["content"]} for t in value_at(values, shape["turns"])]]
            if [turn["role"] for turn in made[0]] != ["user", "assistant"] * (len(made[0]) // 2):
                raise Unusable("turns", "the roles of the dialogue don't take turns from user to assistant")
        else:
            items = value_at(values, shape["each"]) if "each" in shape else [None]
            filled = [values | {"item": item} for item in items]
            made = [_turns(fill(shape["prompt"], each), fill(shape["answer"], each)) for each in filled]
        return Document(self._labelled(made), tuple(made))

    def _labelled(self, conversations: list[list[dict[str, str]]]) -> str:
        """Plain text of conversations: each turn behind its label, conversations a blank line apart."""
        user, assistant = self.shape.get("labels", ["", ""])
        label = {"user": user, "assistant": assistant}
        return "\n\n".join("\n".join(label[t["role"]] + t["content"] for t in turns) for turns in conversations)


def _turns(prompt: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


def fill(text: str, values: dict[str, Any]) -> str:
    """The text with ``{field}`` replaced, once. Raises Unusable ``missing_field``."""
    return _FIELD.sub(lambda match: _shown(value_at(values, match[1])), text)


def value_at(values: dict[str, Any], path: str) -> Any:
    """``plan.skills`` -> values["plan"]["skills"]. Raises Unusable ``missing_field``."""
    value: Any = values
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
        if value is None:
            raise Unusable("missing_field", f"there is no {path!r} to fill in; the seed or an answer lacks it")
    return value


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "、".join(_shown(item) for item in value)
    return json.dumps(value, ensure_ascii=False) if type(value) is dict else str(value)


def template_names() -> list[str]:
    """Templates that ship with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_template(name: str) -> Template:
    """A template by name, or by the path of a TOML file. Raises RecipeError: what is wrong, and where."""
    path = FOLDER / f"{name}.toml" if name in template_names() else Path(name)
    if not path.is_file():
        raise RecipeError(f"unknown template `{name}`{nearest(name, template_names())}")
    data = path.read_bytes()
    try:
        tables = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"template {path}: {error}") from error
    where = f"template {path.name}"
    _known(tables, _KEYS, where)
    output = tables.get("output")
    if output not in _DOCUMENT_KEYS:
        raise RecipeError(f"{where}: `output` is {output!r}; it must be one of {', '.join(_DOCUMENT_KEYS)}")
    steps = tuple(_step(table, where) for table in tables.get("step", []))
    shape, judge = tables.get("document", {}), tables.get("judge", {})
    _known(shape, _DOCUMENT_KEYS[output], f"{where}, [document]")
    _known(judge, ("forward", "backward"), f"{where}, [judge]")
    needed = {"name", "version", "step", "document"} | ({"judge"} if output == "preference" else set())
    if lacking := sorted(needed - set(tables)):
        raise RecipeError(f"{where} lacks `{lacking[0]}`")
    for step in judge.values():
        if step not in [s.name for s in steps]:
            raise RecipeError(f"{where}, [judge]: no step is called `{step}`{nearest(step, [s.name for s in steps])}")
    rules = tuple(rule_from_table(table, "synthesize", None, where) for table in tables.get("rule", []))
    digest = sha256(data).hexdigest()
    seed_chars = int(tables.get("seed_chars", 0))
    return Template(tables["name"], str(tables["version"]), output, steps, shape, judge, rules, seed_chars, digest)


def _step(table: dict[str, Any], where: str) -> Step:
    where = f"{where}, step {table.get('name', '?')}"
    _known(table, _STEP_KEYS, where)
    params, schema, model = table.get("params", {}), table.get("schema"), table.get("model", "main")
    if not {"name", "user"} <= set(table) or not {"max_tokens", "max_completion_tokens"} & set(params):
        raise RecipeError(f"{where}: a step needs `name`, `user` and `params.max_tokens`, which bounds its cost")
    if table["name"] in _RESERVED:
        raise RecipeError(f"{where}: the name is a field of every seed; call the step otherwise")
    if model not in ROLES:
        raise RecipeError(f"{where}: `model` is {model!r}; it must be one of {', '.join(ROLES)}")
    if schema is not None:
        check_schema(schema, where)
    return Step(table["name"], table.get("system", ""), table["user"], params, schema, model)


def _known(table: dict[str, Any], keys: Any, where: str) -> None:
    for key in table:
        if key not in keys:
            raise RecipeError(f"{where}: unknown key `{key}`{nearest(key, keys)}")
