"""Every line of a file is given or counted; each form is read as it is meant; errors name file and line."""

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from jacorpus.errors import InputError
from trainer.posttrain.chat import Turn
from trainer.posttrain.conversations import read_conversations, read_pairs, read_prompts

Reader = Callable[[Sequence[Path], Counter[str]], Iterator[Any]]


def written(folder: Path, *rows: Any, name: str = "rows.jsonl") -> Path:
    path = folder / name
    text = "\n".join(row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def one(reader: Reader, folder: Path, row: Any) -> Any:
    drops: Counter[str] = Counter()
    found = list(reader([written(folder, row)], drops))
    assert not drops
    assert len(found) == 1
    return found[0]


def said(turns: Sequence[Turn]) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in turns]


@pytest.mark.parametrize(
    ("reader", "path", "lines", "least"),
    [
        (read_conversations, "instruct/dolly_ja.jsonl.zst", 11_290, 11_000),
        (read_conversations, "instruct/dialog_ja.jsonl.zst", 557, 477),
        (read_conversations, "instruct/seed_tasks_en.jsonl.zst", 125, 125),
        (read_prompts, "qa/math.jsonl.zst", 7_854, 7_854),
        (read_prompts, "qa/choice_ja.jsonl.zst", 11_933, 11_933),
        (read_prompts, "qa/moral_ja.jsonl.zst", 14_013, 14_013),
        (read_pairs, "preference/jmtbench_gpt4_ja.jsonl.zst", 435, 435),
        (read_pairs, "preference/hh_harmless_en.jsonl.zst", 1_631, 1_500),
    ],
)
def test_real_lines_are_given_or_counted(reader: Reader, path: str, lines: int, least: int, real_data: Path) -> None:
    drops: Counter[str] = Counter()
    found = list(reader([real_data / path], drops))
    assert len(found) + sum(drops.values()) == lines
    assert len(found) >= least, drops
    assert len({each.where for each in found}) == len(found)


QA = [("user", "問"), ("assistant", "答")]


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ({"messages": [{"role": "user", "content": "問"}, {"role": "assistant", "content": "答"}]}, QA),
        ({"conversations": [{"from": "human", "value": "問"}, {"from": "gpt", "value": "答"}]}, QA),
        ({"utterances": [{"name": "user", "text": "問"}, {"name": "agent", "text": "答"}]}, QA),
        ({"instruction": "問", "input": "", "output": "答"}, QA),
        ({"instruction": "訳せ", "input": "cat", "output": "猫"}, [("user", "訳せ\n\ncat"), ("assistant", "猫")]),
        ({"instruction": "問", "response": "答"}, QA),
        ({"instruction": "足せ", "instances": [{"input": "", "output": 3}]}, [("user", "足せ"), ("assistant", "3")]),
        (
            {"messages": [{"role": "system", "content": "規"}, *({"role": r, "content": c} for r, c in QA)]},
            [("system", "規"), *QA],
        ),
        (
            {"messages": [*({"role": r, "content": c} for r, c in QA), {"role": "user", "content": "二"}]},
            QA,  # a last question without an answer goes
        ),
        (
            {"messages": [{"role": "user", "content": " \n問 "}, {"role": "assistant", "content": "答\n"}]},
            [("user", " \n問 "), ("assistant", "答\n")],  # white space stays
        ),
    ],
)
def test_conversations(row: Any, wanted: Any, tmp_path: Path) -> None:
    assert said(one(read_conversations, tmp_path, row).turns) == wanted


def test_turns_that_are_not_trained(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "問"}, {"role": "assistant", "content": "悪", "weight": 0}]
    row = {"messages": [*turns, {"role": "user", "content": "二"}, {"role": "assistant", "content": "良"}]}
    assert [turn.trained for turn in one(read_conversations, tmp_path, row).turns] == [True, False, True, True]


def test_conversations_without_an_answer_are_counted(tmp_path: Path) -> None:
    user = {"role": "user", "content": "問"}
    blank = {"messages": [user, {"role": "assistant", "content": " "}]}
    drops: Counter[str] = Counter()
    assert list(read_conversations([written(tmp_path, {"messages": [user]}, blank)], drops)) == []
    assert drops == {"without an assistant's turn": 1, "with empty answers alone": 1}


def test_ids_and_places(tmp_path: Path) -> None:
    """The row's own id, else file and line; empty lines count as lines; .gz is read as it is."""
    row = {"instruction": "問", "output": "答"}
    path = written(tmp_path, row, "", row | {"id": 7}, name="a.jsonl.gz")
    found = list(read_conversations([path], Counter()))
    assert [each.id for each in found] == ["a.jsonl.gz:1", "7"]
    assert [each.where for each in found] == ["a.jsonl.gz, line 1", "a.jsonl.gz, line 3"]


HH = "\n\nHuman: 問\n\nAssistant: 答\n\nHuman: 二\n\nAssistant:"


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ({"prompt": "問", "chosen": "良", "rejected": "悪"}, [("user", "問")]),
        ({"messages": [{"role": "user", "content": "問"}], "chosen": "良", "rejected": "悪"}, [("user", "問")]),
        ({"prompt": [{"role": "user", "content": "問"}], "chosen": "良", "rejected": "悪"}, [("user", "問")]),
        ({"system": "規", "question": "問", "chosen": "良", "rejected": "悪"}, [("system", "規"), ("user", "問")]),
        ({"system": "", "question": "問", "chosen": "良", "rejected": "悪"}, [("user", "問")]),
        ({"chosen": HH + " 良", "rejected": HH + " 悪"}, [*QA, ("user", "二")]),
        (
            {
                side: [{"role": "user", "content": "問"}, {"role": "assistant", "content": text}]
                for side, text in (("chosen", "良"), ("rejected", "悪"))
            },
            [("user", "問")],
        ),
    ],
)
def test_pairs(row: Any, prompt: Any, tmp_path: Path) -> None:
    found = one(read_pairs, tmp_path, row)
    assert (said(found.prompt), found.chosen, found.rejected) == (prompt, "良", "悪")


def test_orca_pairs_are_filtered_as_published(tmp_path: Path) -> None:
    """Not tied, scored 8 or more, not of GSM8K's train part; scores give the margin."""
    base = {"system": "", "question": "問", "chosen": "良", "rejected": "悪", "status": "unchanged"}
    kept = base | {"chosen_score": 8.0, "rejected_score": 5.0, "in_gsm8k_train": False}
    rows = [kept, kept | {"status": "tie"}, kept | {"status": "swapped"}, kept | {"chosen_score": 7.5}]
    rows += [kept | {"in_gsm8k_train": True}, kept | {"rejected": "良"}, kept | {"chosen": " "}]
    drops: Counter[str] = Counter()
    found = list(read_pairs([written(tmp_path, *rows)], drops))
    assert [each.margin for each in found] == [3.0]
    assert len(drops) == sum(drops.values()) == 6


def test_pairs_of_other_prompts_are_counted(tmp_path: Path) -> None:
    drops: Counter[str] = Counter()
    row = {"chosen": HH + " 良", "rejected": HH.replace("問", "別") + " 悪"}
    assert list(read_pairs([written(tmp_path, row)], drops)) == []
    assert drops == {"chosen and rejected answer different prompts": 1}


@pytest.mark.parametrize(
    ("row", "asked", "reference"),
    [
        ({"question": "1+1は？", "answer": "2"}, "1+1は？", "2"),
        ({"question": "1+1は？", "answer": 2}, "1+1は？", "2"),
        ({"prompt": "問", "reference": "答"}, "問", "答"),
        ({"prompt": "問"}, "問", ""),
        (
            {"messages": [{"role": "user", "content": "問"}, {"role": "assistant", "content": "古"}], "answer": "答"},
            "問",
            "答",
        ),
        ({"question": "どれ", "choices": ["甲", "乙"], "answer": 1}, "どれ\nA. 甲\nB. 乙\n記号で答えてください。", "B"),
        ({"sent": "人を助けた", "label": "0"}, None, "はい"),
        ({"sent": "人を殴った", "label": 1}, None, "いいえ"),
    ],
)
def test_prompts(row: Any, asked: str | None, reference: str, tmp_path: Path) -> None:
    found = one(read_prompts, tmp_path, row)
    assert found.reference == reference
    assert said(found.turns) == [("user", asked or found.turns[0].content)]
    assert row.get("sent", "") in found.turns[0].content


def test_prompts_of_one_language(real_data: Path) -> None:
    drops: Counter[str] = Counter()
    found = list(read_prompts([real_data / "qa/math.jsonl.zst"], drops, lang="ja"))
    assert found
    assert all(each.meta["lang"] == "ja" for each in found)
    assert len(found) + drops["of another language than ja"] == 7_854


@pytest.mark.parametrize(
    ("reader", "line"),
    [
        (read_conversations, "{"),
        (read_conversations, "[1]"),
        (read_conversations, '{"text": "a"}'),
        (read_conversations, '{"messages": [{"role": "robot", "content": "a"}]}'),
        (read_conversations, '{"messages": [{"role": ["user"], "content": "a"}]}'),
        (read_conversations, '{"messages": [{"role": "user", "content": null}]}'),
        (read_conversations, '{"messages": "hello"}'),
        (read_conversations, '{"messages": 1}'),
        (read_conversations, '{"instruction": "a", "output": true}'),
        (read_conversations, '{"instruction": "a", "instances": []}'),
        (read_pairs, '{"prompt": "a", "chosen": "b"}'),
        (read_pairs, '{"chosen": "b", "rejected": "c"}'),
        (read_pairs, '{"prompt": "a", "chosen": "b", "rejected": ["c"]}'),
        (read_pairs, '{"prompt": "a", "chosen": ["b"], "rejected": "c"}'),
        (read_pairs, '{"prompt": "a", "chosen": "b", "rejected": "c", "chosen_score": "x", "status": "ok"}'),
        (read_prompts, '{"question": "a", "choices": ["b"], "answer": 1}'),
        (read_prompts, '{"question": "a", "choices": ["b"], "answer": null}'),
        (read_prompts, '{"question": "a", "answer": ["b"]}'),
        (read_prompts, '{"reference": "b"}'),
    ],
)
def test_a_malformed_line_names_file_and_line_and_remedy(reader: Reader, line: str, tmp_path: Path) -> None:
    path = written(tmp_path, '{"prompt": "a", "chosen": "b", "rejected": "c", "instruction": "a", "output": "b"}', line)
    with pytest.raises(InputError, match=r"rows\.jsonl, line 2: no .*one line must be .*; mend or remove it") as caught:
        list(reader([path], Counter()))
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path, data in ((tmp_path / "none.jsonl", None), (tmp_path / "sjis.jsonl", "日本".encode("cp932"))):
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(InputError, match=f"{path.name} can't be read"):
            list(read_conversations([path], Counter()))
