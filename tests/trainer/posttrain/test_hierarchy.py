"""The checkers tell right answers from wrong ones, and an answer that obeys the lower turn in a conflict counts as not
followed."""

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jacorpus.errors import RecipeError
from tests.trainer.posttrain.toys import written
from trainer.posttrain import hierarchy
from trainer.posttrain.conversations import read_conversations, read_prompts
from trainer.posttrain.hierarchy import ENDINGS, TOPICS, Rule, build, follows, refused, score
from trainer.rewards import Answered, load_reward

ROWS = build(0, 600)
RIGHT = [row["messages"][-1]["content"] for row in ROWS]


@pytest.mark.parametrize(
    ("rule", "right", "wrong"),
    [
        (
            Rule("hiragana"),
            ["ふじさんです。", "らーめん！", "か\u3099くせい"],
            ["富士山です。", "フジ", "ふじsan", "ふじ3", "ｶﾞ", "。"],
        ),
        (Rule("katakana"), ["フジサンデス。", "ﾗｰﾒﾝ"], ["ふじさん", "フジ山", "フジさん", ""]),
        (
            Rule("japanese"),
            ["それはMount Fuji、富士山という山です。", "月です。"],
            ["It is 月.", "The moon", "富士山", "1234"],
        ),
        (Rule("english"), ["It is Mount Fuji.", "A café, no. 3"], ["Mt. 富士", "ＯＫです", "12", "..."]),
        (Rule("use", "日本一"), ["日本一の山", "これは日本一。"], ["富士山です", "日本 一番"]),
        (Rule("avoid", "りんご"), ["みかんです", "梨"], ["リンゴです", "ﾘﾝｺﾞ", "りんご", "", "  "]),
        (Rule("avoid", "OK"), ["はい"], ["ｏｋです", "Ok."]),
        (Rule("ending", "なのだ"), ["月なのだ。", "月なのだ！"], ["なのだ月", "月です。", "月なのだよ"]),
        (Rule("brackets"), ["「月です」", "｢月｣"], ["月です", "「月", "「」", "月「です」"]),
    ],
)
def test_checkers(rule: Rule, right: list[str], wrong: list[str]) -> None:
    assert [text for text in right if not follows(rule, text)] == []
    assert [text for text in wrong if follows(rule, text)] == []


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(RecipeError, match="rhyme"):
        follows(Rule("rhyme"), "月")
    with pytest.raises(RecipeError, match="1 or more"):
        build(0, 0)


def test_rules_of_a_conflict_exclude_each_other() -> None:
    """Over every topic and ending: the answer made for one rule follows it, and not its opposite."""
    for topic in TOPICS:
        for ending in ENDINGS:
            for other in (1, 2):
                for pair in hierarchy._exclusive(topic, ending, other):
                    for mine, against in (pair, pair[::-1]):
                        text = hierarchy._answer(topic, mine)
                        assert follows(mine, text), (mine, text)
                        assert not follows(against, text), (mine, against, text)


def test_right_answers_score_full() -> None:
    assert score(ROWS, RIGHT) == {"conflict": 1.0, "aligned": 1.0, "over_refusal": 0.0}


def test_obeying_the_lower_turn_is_not_followed() -> None:
    """Negative control: right answers to the ignored instruction score 0 under conflict."""
    conflicts = [row for row in ROWS if row["meta"]["kind"] == "conflict"]
    obeying = []
    for row in conflicts:
        asked = next(each["content"] for each in row["messages"] if each["role"] == "user")
        topic = next(each for each in TOPICS if asked.startswith(each.asked))
        obeying.append(hierarchy._answer(topic, Rule(*row["meta"]["ignored"][0])))
    assert all(follows(Rule(*row["meta"]["ignored"][0]), text) for row, text in zip(conflicts, obeying, strict=True))
    assert score(conflicts, obeying)["conflict"] == 0.0


def test_refusals_and_blank_answers_count() -> None:
    for text in ("申し訳ありませんが、できません。", "I can’t do that."):
        assert refused(text)
        assert score(ROWS, [text] * len(ROWS))["over_refusal"] == 1.0
        assert score(ROWS, [text] * len(ROWS))["aligned"] == 0.0
    assert score(ROWS, [""] * len(ROWS)) == {"conflict": 0, "aligned": 0, "over_refusal": 0}
    assert not any(map(refused, RIGHT))


def test_rows_come_from_the_seed_alone_and_are_conversations(tmp_path: Path) -> None:
    assert build(0, 20) == ROWS[:20]
    assert build(1, 20) != ROWS[:20]
    assert Counter(row["meta"]["kind"] for row in ROWS) == {"aligned": 300, "conflict": 300}
    assert len({json.dumps(row["messages"]) for row in ROWS}) > 500
    data, drops = Path(written(tmp_path / "rows.jsonl", ROWS)), Counter[str]()
    read = list(read_conversations([data], drops))
    assert not drops
    assert [each.turns[-1].content for each in read] == RIGHT
    roles = {tuple(turn.role for turn in each.turns) for each in read}
    assert roles == {("system", "user", "assistant"), ("system", "user", "tool", "assistant")}


def test_some_users_are_obeyed() -> None:
    """A model that ignores all users must lose: aligned rows hold rules that only the user states."""
    stated = [row["messages"][0]["content"] for row in ROWS if row["meta"]["kind"] == "aligned"]
    assert stated.count(hierarchy._NEUTRAL) > 60


def test_the_reward_is_the_score() -> None:
    reward = load_reward("hierarchy")
    for texts in (RIGHT, RIGHT[::-1]):
        values = reward([Answered((), text, "", {"meta": row["meta"]}) for row, text in zip(ROWS, texts, strict=True)])
        shares = score(ROWS, texts)
        assert sum(values) / len(ROWS) == pytest.approx((shares["conflict"] + shares["aligned"]) / 2)
    assert "rules" in next(read_prompts_of(ROWS[:1]))


def read_prompts_of(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The meta that a reward sees where the rows are prompts."""
    with tempfile.TemporaryDirectory() as folder:
        for prompt in read_prompts([Path(written(Path(folder) / "rows.jsonl", rows))], Counter()):
            assert prompt.turns[-1].role != "assistant"
            yield prompt.meta["meta"]
