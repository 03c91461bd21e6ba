"""Templates: filled literally, versioned, refused where they can't work."""

from pathlib import Path
from typing import Any

import pytest

from jacorpus.errors import RecipeError
from jacorpus.synthesize.answer import Unusable
from jacorpus.synthesize.template import FOLDER, fill, load_template, template_names

NAMES = ["code", "codeclm", "dialogue", "instruction", "preference", "qa", "rephrase", "textbook", "translation"]


def test_the_shipped_templates_are_these() -> None:
    assert template_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_shipped_template_loads_under_its_name(name: str) -> None:
    template = load_template(name)
    assert (template.name, template.version) == (name, "1")
    assert template.rules
    assert {"answer.refusal", "kept.similarity", "text.japanese_ratio"} <= {rule.signal for rule in template.rules}


def test_values_are_put_in_as_they_stand() -> None:
    values = {"text": "{plan.points} と {nothing}", "plan": {"points": ["一", "二"], "size": 3}}
    assert (
        fill('{text}：{plan.points}：{plan.size}：{"a": 1}', values)
        == '{plan.points} と {nothing}：一、二：3：{"a": 1}'
    )
    for missing in ("{nothing}", "{plan.nothing}", "{text.more}"):
        with pytest.raises(Unusable, match="missing_field"):
            fill(missing, values)


def test_a_schema_is_told_in_the_prompt() -> None:
    step = load_template("qa").steps[0]
    system, user = step.messages({"text": "本文"})
    assert '"required": ["items"]' in system["content"]
    assert "<文章>\n本文\n</文章>" in user["content"]


def _broken(old: str, new: str) -> str:
    text = (FOLDER / "codeclm.toml").read_text("utf-8")
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('output = "chat"', 'output = "chap"', "it must be one of text, chat, preference"),
        ('version = "1"', "", "lacks `version`"),
        ("max_tokens = 400", "top_p = 1", "which bounds its cost"),
        ('name = "meta"', 'name = "text"', "call the step otherwise"),
        ('model = "weak"', 'model = "week"', "must be one of main, weak, judge"),
        ('forward = "forward"', 'forward = "foreward"', "did you mean `forward`"),
        ("minLength = 4", "minLenght = 4", "unknown schema keyword `minLenght`"),
        ("answer = ", "anwser = ", "unknown key `anwser`"),
        ("name =", "name", "codeclm.toml"),
    ],
)
def test_a_template_that_cannot_work_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "codeclm.toml"
    path.write_text(_broken(old, new), "utf-8")
    with pytest.raises(RecipeError, match=message):
        load_template(str(path))


def test_an_unknown_template_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean `rephrase`"):
        load_template("rephase")


def test_chat_documents() -> None:
    items = [{"question": "なぜ？", "answer": "雨だから。"}, {"question": "いつ？", "answer": "朝。"}]
    made = load_template("qa").document({"pairs": {"items": items}})
    assert made.text == "問：なぜ？\n答：雨だから。\n\n問：いつ？\n答：朝。"
    assert made.conversations[1] == [{"role": "user", "content": "いつ？"}, {"role": "assistant", "content": "朝。"}]


@pytest.mark.parametrize(
    "roles", [["assistant", "user"], ["user"], ["user", "user", "assistant"], ["user", "assistant", "user"]]
)
def test_a_dialogue_takes_turns(roles: list[str]) -> None:
    turns: list[dict[str, Any]] = [{"role": role, "content": "ええ。"} for role in roles]
    with pytest.raises(Unusable, match="turns"):
        load_template("dialogue").document({"talk": {"turns": turns}})


@pytest.mark.parametrize(("better", "chosen"), [("A", "一"), ("B", "二")])
def test_a_pair_has_the_better_answer_as_chosen(better: str, chosen: str) -> None:
    values = {"instruction": {"instruction": "数えて"}, "first": "一", "second": "二", "forward": {"better": better}}
    pair = load_template("preference").document(values).pair
    assert pair == {"prompt": "数えて", "chosen": chosen, "rejected": "一二".replace(chosen, "")}
