"""The comparison: what is drawn, what is kept, what is warned of, and what the report holds."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from jacorpus.errors import InputError
from jacorpus.report.numbers import Interval
from jacorpus.report.report import Segmentations, Table
from tests.tokenizer_lab.words_tokenizer import Words
from tokenizer_lab.compare import Options, compare, labels, measure, open_all, overlaps, training_inputs
from tokenizer_lab.comparison.compare_report import report
from tokenizer_lab.comparison.gold import read_gold
from tokenizer_lab.comparison.traps import warnings
from tokenizer_lab.corpus import open_corpus

JA = "日本語の文章を数える。これは長い文であり、犬と猫が走る公園の話が続くのでした。\n"


def _corpus(folder: Path, name: str, texts: list[str], align: bool = True) -> str:
    path = folder / name / "docs.jsonl"
    path.parent.mkdir()
    rows = [{"text": text, **({"align": f"page {i}"} if align else {})} for i, text in enumerate(texts)]
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    return str(path)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> list[str]:
    tmp_path = tmp_path_factory.mktemp("corpora")
    ja = [JA * (1 + i % 3) + f"第{i}話" for i in range(40)]
    en = ["The quick dog and the cat run in a park for a long while today.\n" * (1 + i % 3) for i in range(40)]
    return [_corpus(tmp_path, "ja", ja), _corpus(tmp_path, "en", en)]


GOOD = Words("日本語", "文章", "犬", "猫", "の", "を", "数える", "。", " the", "dog", name="good")
BAD = Words("日本語", "犬", "猫", name="bad", fallback=False)


@pytest.fixture(scope="module")
def compared(corpora: list[str], tmp_path_factory):
    gold = tmp_path_factory.mktemp("gold") / "gold.jsonl"
    gold.write_text(json.dumps({"text": "日本語の犬", "sentences": [{"words": ["日本", "語", "の", "犬"]}]}), "utf-8")
    return measure([GOOD, BAD], open_corpus(corpora), read_gold([str(gold)]), Options(3_000))


def test_byte_and_char_are_always_there(compared) -> None:
    assert list(compared.tokenizers) == ["good", "bad", "byte", "char"]


def test_a_ratio_is_pooled_over_the_drawn_part(compared) -> None:
    cell = compared.columns["compression", "bytes per token"].cells["byte", "ja/docs"]
    assert cell == Interval(1.0, 1.0, 1.0)
    cell = compared.columns["compression", "characters per token"].cells["char", "ja/docs"]
    assert cell == Interval(1.0, 1.0, 1.0)
    texts = compared.corpora[0]
    assert 0 < texts.bytes_N.sum() <= 3_000
    assert "3e-03" not in texts.about


def test_the_draw_depends_on_no_order_of_files(corpora: list[str]) -> None:
    one = measure([GOOD], open_corpus(corpora), options=Options(3_000))
    two = measure([GOOD], open_corpus(corpora[::-1]), options=Options(3_000))
    assert {t.name: t.fingerprint for t in one.corpora} == {t.name: t.fingerprint for t in two.corpora}
    key = "compression", "characters per token"
    assert one.columns[key].cells["good", "ja/docs"] == two.columns[key].cells["good", "ja/docs"]


def test_aligned_pages_give_parity(compared) -> None:
    assert [pair.name for pair in compared.pairs] == ["ja/docs : en/docs"]
    pair = compared.pairs[0]
    assert len(pair.one.texts) == len(pair.other.texts) == 40
    cell = compared.columns["parity", "tokens over tokens"].cells["byte", "ja/docs : en/docs"]
    assert cell.value == pytest.approx(pair.one.bytes_N.sum() / pair.other.bytes_N.sum())


def test_traps_are_named_where_they_apply(compared) -> None:
    about = dict(warnings(replace(compared, trained_on={"good": ["ja/docs"]})))
    assert "flattered" in about["good"]
    assert "ja/docs" in about["good"]
    assert "bought with lost text" in about["bad"]
    assert "20%" in about["Utilization"]
    assert "equal on both sides" in about["Parity"]


def test_no_warning_without_its_reason(corpora: list[str]) -> None:
    quiet = measure([GOOD], open_corpus(corpora[:1]), options=Options(100_000))
    about = [name for name, _ in warnings(quiet)]
    assert "good" not in about
    assert "Parity" not in about
    assert "Boundaries" not in about


def test_a_fast_path_with_other_ids_is_told(corpora: list[str]) -> None:
    class Wrong(Words):
        def reference(self):
            return GOOD

    wrong = Wrong("日", name="wrong")
    listed = warnings(measure([wrong], open_corpus(corpora[:1]), options=Options(3_000)))
    assert listed[0][0] == "wrong"
    assert "do not trust it" in listed[0][1]


def test_the_report_has_its_sections_and_names_hashes(compared) -> None:
    made = report(compared)
    keys = [section.key for section in made.sections]
    assert keys == [
        "overview",
        "compression",
        "words",
        "loss",
        "vocabulary",
        "places",
        "speed",
        "segmentations",
        "metrics",
    ]
    html, text = made.to_html(), made.to_markdown()
    assert "http://" not in html
    assert "https://" not in html
    for name, tokenizer in compared.tokenizers.items():
        assert name in text
        assert tokenizer.fingerprint[:8] in text
    for texts in compared.corpora:
        assert texts.fingerprint[:8] in text
    cuts = made.sections[keys.index("segmentations")].blocks
    assert sum(isinstance(block, Segmentations) for block in cuts) == 3  # two corpora and the hard passage
    json.loads(made.to_json())


def test_compare_gives_the_same_report_again(corpora: list[str]) -> None:
    def without_speed() -> list:
        made = compare([GOOD], open_corpus(corpora[:1]), options=Options(3_000))
        return [section for section in made.sections if section.key != "speed"]

    assert without_speed() == without_speed()


def test_every_table_has_rows_as_wide_as_its_head(compared) -> None:
    def check(block) -> None:
        if isinstance(block, Table):
            assert all(len(row) == len(block.columns) for row in block.rows)
        for _, inner in getattr(block, "views", ()):
            check(inner)

    for section in report(compared).sections:
        for block in section.blocks:
            check(block)


def test_names_are_made_different() -> None:
    one, two = Words("a"), Words("b")
    assert list(labels([one, two, one])) == [f"words {one.fingerprint[:6]}", f"words {two.fingerprint[:6]}"]


def test_what_is_no_tokenizer_is_listed(tmp_path: Path) -> None:
    (tmp_path / "x.vocab").write_text("a\t1\n", "utf-8")
    opened, refused = open_all(["byte", str(tmp_path / "x.vocab")], None, "auto")
    assert list(opened) == ["byte"]
    assert refused[0].path.endswith("x.vocab")
    assert "expected a Hugging Face" in refused[0].why
    with pytest.raises(InputError, match="none of the files"):
        open_all([str(tmp_path / "x.vocab")], None, "auto")


def test_training_inputs_are_found(tmp_path: Path, corpora: list[str]) -> None:
    (tmp_path / "train.json").write_text(json.dumps({"corpus": {"ja/docs": {"read_bytes": 1}}}), "utf-8")
    inputs = {"mine": training_inputs(str(tmp_path / "tokenizer.json")), "other": set()}
    assert overlaps(inputs, open_corpus(corpora)) == {"mine": ["ja/docs"]}
    assert training_inputs(str(tmp_path)) == {"ja/docs"}
    assert training_inputs(str(tmp_path / "elsewhere" / "t.json")) == set()


def test_held_out_text_alone_may_be_compared_on(tmp_path: Path) -> None:
    path = _corpus(tmp_path, "ja", [f"第{i}話。{JA}" for i in range(1500)], align=False)
    texts = measure([GOOD], open_corpus([path]), options=Options(3_000, held_out=True)).corpora[0]
    held = {text for batch in open_corpus([path])[0].documents("valid") for text in batch["text"].to_pylist()}
    assert set(texts.texts.to_pylist()) <= held
    assert "held-out" in texts.about
