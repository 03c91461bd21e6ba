"""pfgen-bench's scores: numbers worked by hand, the definition written out, and answers stored beside the benchmark."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacorpus.errors import InputError
from trainer.evaluate.pfgen import Question, pfgen_answers, prompts, read_given, read_questions, score_answers

KEYWORDS = ({"t": "c"}, {"or": [{"t": "x"}, {"t": "a"}], "importance": 0.5})
SMALL = Question("Q1", "?", {"R": ["abc", "abd"]}, KEYWORDS)
# d: a b ab 2, c bc abc d bd abd 1. Either reference earns 2 + (2 + 2) + (1 + 1 + 1) = 9.


@pytest.mark.parametrize(
    ("answer", "fluency", "truth", "helpful"),
    [
        ("abc", 1.0, 1.0, 1.0),
        ("abd", 1.0, 1.0, 0.0),
        ("b", 2 / 9, 0.0, 0.0),
        ("abcx", 1.0, 0.75, 1.0),
        ("bca", 6 / 9, 0.0, 1.0),  # b, c + bc, a
        ("cb", 3 / 9, 0.0, 0.5),
        ("", 0.0, 0.0, 0.0),
        ("abc" + "x" * 197, 1.0, 0.03, 1.0),  # truthfulness at 100 characters
        ("x" * 120 + "abc", 9 * 0.54 / 9, 3 / 123 * 0.54, 0.54),
        # A wrong twin counts repeated n-grams each time: it gives 3 here.
        ("abcabcabc", 1.0, 1.0, 1.0),
        ("「abc」。", 1.0, 1.0, 1.0),
    ],
)
def test_worked_by_hand(answer, fluency, truth, helpful):
    found = score_answers(SMALL, [answer])[0]
    assert found.fluency == pytest.approx(fluency, abs=1e-6)
    assert found.truthfulness == pytest.approx(truth, abs=1e-6)
    assert found.helpfulness == pytest.approx(helpful, abs=1e-5)
    assert found.average == pytest.approx((fluency + truth + helpful) / 3, abs=1e-5)


def grams(text, most=10):
    return {text[i : i + n] for n in range(1, most + 1) for i in range(len(text) - n + 1)}


def by_definition(references, answer):
    def d(gram):
        return sum(gram in grams(reference) for reference in references)

    def earned(text):
        text = text[:200]
        sums = [sum(map(d, grams(text[:i]))) for i in range(1, len(text) + 1)]
        return max([0.0, *(value * (1 - max(i - 100, 0) / 50) for i, value in enumerate(sums, 1))])

    return earned(answer) / (sum(map(earned, references)) / len(references))


@given(st.lists(st.text("abc。", min_size=1, max_size=12), min_size=1, max_size=4), st.text("abcd。", max_size=14))
def test_fluency_is_its_definition(references, answer):
    found = score_answers(Question("Q", "?", {"R": references}, ()), [answer, "ab"])[0]
    assert found.fluency == pytest.approx(by_definition(references, answer), abs=1e-6)


def test_sets_are_averaged_and_answers_beside_one_another_change_nothing():
    question = Question("Q1", "?", {"P": ["abc", "abd"], "S": ["xyz"]}, KEYWORDS)
    many = ["abc", "xyz", "yz", "x" * 300, "^abc$", "😀abc"]
    together = score_answers(question, many)
    assert together == [score_answers(question, [each])[0] for each in many]
    assert together[0].fluency == pytest.approx(0.5)
    assert together[1].truthfulness == pytest.approx(0.5)


def write(folder: Path) -> Path:
    row = {"question_id": "Q1", "question": "問い", "answers": {"R": ["abc", "abd"]}, "keywords": [{"t": "c"}]}
    (folder / "Q1.json").write_text(json.dumps(row), "utf-8")
    rows = [{"question": "問い", "answer": "abc"}, {"question": "別の問い", "answer": "べつ"}]
    (folder / "questions.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows), "utf-8")
    return folder


def test_files_and_prompts(tmp_path):
    asked = read_questions(write(tmp_path))
    assert prompts(tmp_path, asked) == ["## 回答例\nQ: 別の問い\nA: べつ\n\nQ: 問い\nA:"]  # never its own answer
    found = pfgen_answers(asked, {"問い": ["abc", "b"]})
    assert [item.id for item in found.items] == ["Q1-0", "Q1-1"]
    assert found.items[0].score == 1.0
    with pytest.raises(InputError, match="is no question of the folder"):
        pfgen_answers(asked, {"何": ["abc"]})
    with pytest.raises(InputError, match=r"holds no Q\*\.json"):
        read_questions(tmp_path / "none")
    (tmp_path / "Q1.json").write_text("{}")
    with pytest.raises(InputError, match=r"Q1\.json is no question"):
        read_questions(tmp_path)


@pytest.mark.parametrize("stored", ["plamo-2-1b/1aae975", "plamo-2-8b/f5b6a4d"])
def test_stored_answers_get_the_boards_score(stored):
    folder = os.environ.get("JACORPUS_PFGEN")
    if not folder:
        pytest.skip("JACORPUS_PFGEN names no copy of pfgen-bench")
    place = Path(folder) / "result" / "pfnet" / stored
    board = json.loads((place / "result.json").read_text("utf-8"))["questions"]
    asked = read_questions(Path(folder) / "data")[:6]
    given = read_given(place / "trials.jsonl.xz")
    for question in asked:
        found = pfgen_answers([question], {question.text: given[question.text]})
        assert round(sum(item.score for item in found.items) / len(found.items), 4) == board[question.id]["score"]
