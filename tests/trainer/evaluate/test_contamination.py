"""Questions that lie in the training corpus are found, others are not."""

import json

import pytest

from tests.small import prose
from trainer.evaluate.contamination import contaminated
from trainer.evaluate.questions import Asked

QUESTIONS = (
    "電子機器で使用される最も主要な電子回路基板の事をなんと言いますか？",
    "ABCの部品は1日に何個まで売ることができるかを答えなさい。",
    "山に登る人が夏でも持っていくべき道具はどれですか、一つ選びなさい。",
    "青い道は？",
    "何？",
)


@pytest.fixture
def corpus(tmp_path):
    def write(*texts):
        path = tmp_path / "c.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
        return path

    return write


def asked(*texts, choices=("地平線", "グリーンライン")):
    return [
        Asked(str(i), text, "", "", "", choices if "道は" in text else (), 0, "", "MIT") for i, text in enumerate(texts)
    ]


def test_a_question_is_found_in_other_width_and_among_others(corpus):
    both = f"{prose(1)}{QUESTIONS[0]}。ＡＢＣの部品は１日に何個まで売ることができるかを、答えなさい{prose(2)}"
    assert contaminated(asked(*QUESTIONS), corpus(prose(0), both)) == [True, True, False, False, None]


def test_half_a_question_is_none_and_a_short_one_is_looked_for_with_its_choices(corpus):
    half = QUESTIONS[2][: len(QUESTIONS[2]) // 2]
    assert contaminated(asked(*QUESTIONS), corpus(half + prose(3))) == [False, False, False, False, None]
    assert contaminated(asked(*QUESTIONS), corpus(f"{prose(3)}青い道は 地平線、グリーンライン"))[3] is True


def test_a_question_spread_over_documents_is_in_none(corpus):
    pieces = [QUESTIONS[0][i : i + 12] for i in range(0, len(QUESTIONS[0]), 3)]
    assert contaminated(asked(QUESTIONS[0]), corpus(*pieces)) == [False]
