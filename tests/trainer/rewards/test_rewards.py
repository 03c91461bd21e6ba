"""Loading by name, weighted sums, and errors that name the reward and the prompt; exact, format, length and choice."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from jacorpus.errors import InputError, JacorpusError, RecipeError
from trainer.rewards import Answered, load_reward, score


@dataclass(frozen=True)
class Turn:
    role: str
    content: str


def answered(text: str, reference: str = "", ended: bool = True, **meta: object) -> Answered:
    return Answered((Turn("user", "東京は日本の首都ですか。"),), text, reference, {"id": "q7", **meta}, ended)  # type: ignore[arg-type]


def test_weights_sum_and_parts_stay_unweighted() -> None:
    rewards = {"numeric": (2.0, load_reward("numeric")), "length": (0.5, load_reward("length", {"unit": "characters"}))}
    total, parts = score(rewards, [answered("答えは12です", "12"), answered("13" + "。" * 1100, "12")])
    assert total == [2.0, -0.5]
    assert parts == {"numeric": [1.0, 0.0], "length": [0.0, -1.0]}
    assert score(rewards, []) == ([], {"numeric": [], "length": []})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda answers: 1 / 0, "raised ZeroDivisionError"),
        (lambda answers: [1.0], "1 numbers for 2 answers"),
        (lambda answers: [1.0, float("nan")], "nan"),
        (lambda answers: [1.0, None], "None"),
        (lambda answers: ["1", 0], "'1'"),
    ],
)
def test_a_reward_that_fails_is_named_with_its_prompt(given, said: str) -> None:
    with pytest.raises(JacorpusError, match="reward mine") as caught:
        score({"mine": (1.0, given)}, [answered("a"), answered("b")])
    assert said in str(caught.value)
    assert "q7" in str(caught.value)
    assert "東京は" in str(caught.value)


def test_the_prompt_named_is_the_one_that_raises() -> None:
    def picky(answers: Sequence[Answered]) -> list[float]:
        return [1 / len(each.text) for each in answers]

    with pytest.raises(JacorpusError, match="prompt other"):
        score({"mine": (1.0, picky)}, [answered("a"), answered("", id="other"), answered("b")])


def test_a_class_of_the_users(tmp_path: Path) -> None:
    file = tmp_path / "my_reward.py"
    file.write_text(
        "class Half:\n def __init__(self, x=0.5): self.x = x\n def __call__(self, a): return [self.x] * len(a)\n"
    )
    assert load_reward(f"{file}:Half", {"x": 0.25})([answered("a")]) == [0.25]
    assert load_reward("trainer.rewards.exact:Exact")([answered("a", "a")]) == [1.0]
    for name in (f"{file}:Hlaf", f"{tmp_path}/none.py:Half", "no_such_package:Half", "numerc"):
        with pytest.raises(RecipeError):
            load_reward(name)
    with pytest.raises(RecipeError, match="did you mean `numeric`"):
        load_reward("numerc")
    with pytest.raises(RecipeError, match="wight"):
        load_reward("numeric", {"wight": 1})


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("東京", 1),
        ("答えは「東京」です。", 1),
        (" ﾄｳｷｮｳ ", 0),
        ("東京都", 0),
        ("答えは大阪です。東京ではない", 0),
        ("", 0),
    ],
)
def test_exact(text: str, right: float) -> None:
    assert load_reward("exact")([answered(text, "東京")]) == [right]


CHOICES = ["浮浪者", "保護者", "お坊さん", "宗教者", "預言者"]


@pytest.mark.parametrize(
    "text", ["答えはB", "(イ)", "２番", "B. 保護者", "選択肢の2", "正解は保護者です", "B", "2", "②", "**B**"]
)
def test_choice_takes_the_right_one(text: str) -> None:
    assert load_reward("choice")([answered(text, "1", choices=CHOICES)]) == [1.0]


@pytest.mark.parametrize(
    "text",
    *[
        [
            "答えはA",
            "AとB",
            "答えはAまたはB",
            "B. 浮浪者",
            "A B C D E",
            "保護者ではない",
            "答えはBではありません",
            "6",
            "",
            "Because",
        ]
    ],
)
def test_choice_takes_no_other(text: str) -> None:
    assert load_reward("choice")([answered(text, "1", choices=CHOICES)]) == [0.0]


def test_choice_wants_choices() -> None:
    for row in (answered("B", "1"), answered("B", "9", choices=CHOICES), answered("B", "猫", choices=CHOICES)):
        with pytest.raises(InputError, match="q7"):
            load_reward("choice")([row])


def test_choice_on_real_rows(real_data: Path) -> None:
    from benchmarks.language import rows_of

    reward = load_reward("choice")
    for form in ("答えは{label}です。", "{number}. {text}", "正解は「{text}」です。"):
        right = wrong = 0
        for row in rows_of("qa/choice_ja.jsonl.zst", 300):
            for index, text in enumerate(row["choices"]):
                said = form.format(label="ABCDEFGHIJ"[index], number=index + 1, text=text)
                [got] = reward([answered(said, str(row["answer"]), choices=row["choices"])])
                right += bool(got) and index == row["answer"]
                wrong += bool(got) and index != row["answer"]
        assert (right >= 294, wrong) == (True, 0), form


def test_format_counts_what_is_kept() -> None:
    reward = load_reward("format", {"parts": ["<think>", "</think>"], "japanese": 0.5, "longest": 40, "ended": True})
    assert reward([answered("<think>考える</think>これは日本語の答えです")]) == [1.0]
    assert reward([answered("</think>English only<think>", ended=False)]) == [0.25]
    strict = load_reward("format", {"json": True, "every": True, "forbidden": ["申し訳"]})
    assert strict(
        [answered('```json\n{"a": 1}\n```'), answered("{'a': 1}"), answered('"申し訳"'), answered("NaN")]
    ) == [1, 0, 0, 0]
    again = load_reward("format", {"repetition": 0.3})
    assert again([answered("答えは12です。" * 20), answered("今日は良い天気なので散歩に行きました。")]) == [0.0, 1.0]
    for options in ({}, {"pattern": "("}):
        with pytest.raises(RecipeError):
            load_reward("format", options)


def test_length_is_dapos_line() -> None:
    reward = load_reward("length", {"most": 100, "buffer": 20, "cut": -2.0})
    lengths = [0, 80, 85, 90, 100, 500]
    assert reward([answered("", tokens=n) for n in lengths]) == [0, 0, -0.25, -0.5, -1, -1]
    assert reward([answered("", ended=False, tokens=3)]) == [-2.0]
    with pytest.raises(InputError, match="tokens"):
        reward([answered("")])
    with pytest.raises(RecipeError):
        load_reward("length", {"most": 1, "buffer": 2})


def test_meta_travels_as_json() -> None:
    assert json.loads(json.dumps(answered("a", choices=CHOICES).meta))["choices"] == CHOICES
