import gzip
import io
import json
import random

import pyarrow as pa
import pytest
import zstandard

from jacorpus.decontaminate.ngrams import Ngrams
from jacorpus.schema import DOCUMENT
from jacorpus.stage import Signal


def batch_of(texts):
    rows = [{"id": n.to_bytes(16, "big"), "text": text, "domain": "d"} for n, text in enumerate(texts)]
    return pa.RecordBatch.from_pylist(rows, DOCUMENT)


def measured(stage, texts):
    columns = stage.measure(batch_of(texts))
    assert list(columns) == list(stage.columns())
    for name, kind in stage.columns().items():
        assert pa.array(columns[name]).type == kind
    return {name: pa.array(column).to_pylist() for name, column in columns.items()}


@pytest.fixture
def quiz(tmp_path):
    path = tmp_path / "quiz.jsonl"
    records = [
        {
            "id": "q1",
            "question": "本州と北海道を結ぶ鉄道トンネルの名は何ですか。",
            "choices": ["青函トンネル", "関門トンネル"],
        },
        {"id": "q2", "question": "首都は？", "choices": ["東京", "大阪", "名古屋市", "札幌市", "福岡市"]},
        {"id": "q3", "question": "首都は？", "choices": ["パリ"]},
        {"id": "q4", "text": "短い。", "nested": [{"question": "ガラスの主な原料になる鉱物を答えなさい。"}]},
        *(
            {"id": f"t{i}", "question": "次の記述のうち正しいものを選びなさい。", "choices": [c * 9]}
            for i, c in enumerate("甲乙丙")
        ),
    ]
    path.write_text("\n".join(json.dumps(record, ensure_ascii=False) for record in records) + "\n\n")
    return path


def test_the_quoted_item_is_named(quiz):
    stage = Ngrams(benchmarks={"quiz": str(quiz)})
    assert isinstance(stage, Signal)
    rows = measured(
        stage,
        [
            "昨日の問題。本州と北海道を結ぶ鉄道トンネルの名は何ですか。答えは明日。",
            "　本州と、北海道を　結ぶ・鉄道ﾄﾝﾈﾙの名は何ですか！",
            "首都は？　１．東京　２．大阪",
            "首都は？東京、大阪、名古屋市、札幌市、福岡市",
            "カラスの主な原料になる鉱物を答えなさい。",
            "カ\u3099ラスの主な原料になる鉱物を答えなさい。",
            "次の記述のうち正しいものを選びなさい。",
            "",
        ],
    )
    assert rows["coverage"][:2] == [1.0, 1.0]
    assert rows["coverage"][2] == 0.0
    assert rows["coverage"][3] == 1.0
    assert 0.8 <= rows["coverage"][4] < 1.0  # one character differs, at the edge
    assert rows["coverage"][5] == 1.0
    assert rows["coverage"][6] < 0.8
    assert rows["hits"] == [1, 1, 0, 1, 1, 1, 0, 0]
    assert rows["item"] == ["q1", "q1", None, "q2", "q4", "q4", "t0", None]
    assert rows["benchmark"][0] == "quiz"
    assert rows["hit_chars"][0] == 22


def test_what_is_not_protected_is_named(quiz):
    short = Ngrams(benchmarks=(str(quiz),)).unprotected()
    assert [(u.benchmark, u.id, u.text, u.chars) for u in short] == [
        ("quiz", "q3", "首都は？パリ", 5),
        ("quiz", "q4", "短い。", 2),
    ]


def test_the_rule_it_asks_for_drops_at_the_bound(quiz):
    from jacorpus.rule import rule_from_table

    (table,) = Ngrams(benchmarks=(str(quiz),), drop_coverage=0.5).rules()
    rule = rule_from_table(table, "decontaminate", None, "here")
    assert rule.fails(pa.array([0.49, 0.5, 1.0])).tolist() == [False, True, True]


def test_fields_are_chosen(quiz):
    stage = Ngrams(benchmarks=(str(quiz),), fields=("text",), min_chars=2)
    assert measured(stage, ["この話は短い"])["coverage"] == [1.0]
    assert measured(stage, ["本州と北海道を結ぶ鉄道トンネルの名は何ですか。"])["coverage"] == [0.0]


def test_compressed_files_read_the_same(quiz, tmp_path):
    raw = quiz.read_bytes()
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(raw))
    (tmp_path / "b.jsonl.zst").write_bytes(zstandard.compress(raw))
    texts = ["本州と北海道を結ぶ鉄道トンネルの名は何ですか。"]
    rows = [measured(Ngrams(benchmarks={"quiz": str(p)}), texts) for p in (quiz, *sorted(tmp_path.glob("*.jsonl.*")))]
    assert rows[0] == rows[1] == rows[2]


def test_unusable_benchmarks_are_errors(tmp_path):
    with pytest.raises(ValueError, match="benchmarks"):
        Ngrams()
    (tmp_path / "bad.jsonl").write_text('{"question": "x"}\n{oops\n')
    with pytest.raises(ValueError, match="line 2"):
        Ngrams(benchmarks=(str(tmp_path / "bad.jsonl"),)).unprotected()
    (tmp_path / "empty.jsonl").write_text('{"other": "x"}\n')
    with pytest.raises(ValueError, match="no benchmark item"):
        Ngrams(benchmarks=(str(tmp_path / "empty.jsonl"),)).unprotected()
    with pytest.raises(FileNotFoundError):
        Ngrams(benchmarks=(str(tmp_path / "absent.jsonl"),)).unprotected()


def rows_of(path, count):
    with open(path, "rb") as file:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), "utf-8")
        return [json.loads(line) for line, _ in zip(lines, range(count), strict=False)]


def disturbed(text, draw):
    """The same item with other width, punctuation and line breaks."""
    wide = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
    text = text.translate(wide) if draw.random() < 0.5 else text
    text = text.replace("、", draw.choice(["，", ",", ""])).replace("。", draw.choice(["．", ""]))
    return "".join(c + (draw.choice(" 　\n") if draw.random() < 0.1 else "") for c in text)


def test_seeded_questions_are_found_and_clean_texts_are_not(real_data):
    draw = random.Random(0)
    stage = Ngrams(benchmarks={"choice": str(real_data / "qa" / "choice_ja.jsonl.zst")})
    clean = [row["text"][:3000] for row in rows_of(real_data / "ja" / "aozora.jsonl.zst", 600)]
    assert max(measured(stage, clean)["coverage"]) < 0.8
    short = {item.id for item in stage.unprotected()}
    questions = [r for r in rows_of(real_data / "qa" / "choice_ja.jsonl.zst", 3000) if r["id"] not in short]
    seeds = draw.sample([r["question"] for r in questions if len(r["question"]) > 20], 500)
    texts = [draw.choice(clean) + disturbed(seed, draw) + draw.choice(clean) for seed in seeds]
    assert sum(c >= 0.8 for c in measured(stage, texts)["coverage"]) >= 495
