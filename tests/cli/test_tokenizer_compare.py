"""``jacorpus tokenizer compare`` on the command line: what is printed, written and refused."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from jacorpus.errors import InputError, RecipeError, StorageError

TEXT = "日本語の文章を数える。これは見本の文であり、犬と猫が走る公園の話が続くのでした。"
RUN = CliRunner()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("compare") / "novels.jsonl"
    rows = [json.dumps({"text": TEXT * (1 + i % 4) + str(i)}, ensure_ascii=False) for i in range(400)]
    path.write_text("\n".join(rows), "utf-8")
    return str(path)


def _run(*words: str):
    return RUN.invoke(app, ["tokenizer", "compare", *words])


def test_table_report_and_refusals(corpus: str, tmp_path: Path) -> None:
    wrong = tmp_path / "no.txt"
    wrong.write_text("nothing", "utf-8")
    out = tmp_path / "out"
    outcome = _run("byte", str(wrong), "--corpus", f"novels={corpus}", "--budget", "0.01", "--out", str(out))
    assert outcome.exit_code == 0, outcome.output
    assert "characters per token" in outcome.stdout
    assert "日|本|語" in outcome.stdout
    assert "left out" in outcome.stderr
    assert "left out" not in outcome.stdout
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert {section["key"] for section in report["sections"]} >= {"overview", "compression", "segmentations"}
    assert "no.txt" in (out / "report.md").read_text("utf-8")
    assert (out / "report.html").read_text("utf-8").startswith("<!doctype html>")


def test_language_models_are_part_when_asked(corpus: str) -> None:
    words = ("byte", "--corpus", corpus, "--budget", "0.01", "--lm", "--lm-budget", "0.02", "--json", "--quiet")
    outcome = _run(*words)
    assert outcome.exit_code == 0, outcome.output
    sections = {section["key"]: section for section in json.loads(outcome.stdout)["sections"]}
    table = next(block for block in sections["bits_per_byte"]["blocks"] if block["kind"] == "table")
    assert [row[0] for row in table["rows"]] == ["byte", "char"]
    assert 0 < table["rows"][0][3]["value"] < 8
    assert "from 8 on" in sections["correlation"]["blocks"][0]["text"]


def test_without_a_corpus_it_says_what_to_do() -> None:
    outcome = _run("byte")
    assert isinstance(outcome.exception, RecipeError)
    assert "--corpus" in str(outcome.exception)


def test_at_least_one_tokenizer_must_open(corpus: str, tmp_path: Path) -> None:
    (tmp_path / "no.txt").write_text("nothing", "utf-8")
    outcome = _run(str(tmp_path / "no.txt"), "--corpus", corpus)
    assert isinstance(outcome.exception, InputError)
    assert "none of the files" in str(outcome.exception)


def test_what_could_not_be_read_is_told_and_an_engine_is_known(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "あいう"}\nnonsense\n{"text": "か"}\n', "utf-8")
    outcome = _run("byte", "--corpus", str(path), "--quiet")
    assert "a.jsonl: json: 1 records could not be read" in outcome.stderr
    with pytest.raises(RecipeError, match="known: auto, library"):
        app(["tokenizer", "compare", "byte", "--corpus", str(path), "--engine", "fast"], standalone_mode=False)
    with pytest.raises(StorageError, match="choose another place"):
        app(["tokenizer", "compare", "byte", "--corpus", str(path), "--out", str(path)], standalone_mode=False)
