"""``jacorpus tokenizer verify``: what it says, and how it ends."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from jacorpus.errors import CheckError
from tests.tokenizer_lab.test_verify import Letters


def corpus(folder: Path) -> Path:
    path = folder / "a.jsonl"
    path.write_text('{"text": "ab\\nzz"}\n{"text": "日本"}\nbroken\n', "utf-8")
    return path


def run(*words: object):
    return CliRunner().invoke(app, ["tokenizer", "verify", *map(str, words)])


def test_equal_ends_with_0(tmp_path: Path, real_data: Path) -> None:
    answer = run(real_data / "tokenizers/rinna.google_sp.model", "--corpus", corpus(tmp_path), "--json", "-q")
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    assert found["equal"]
    assert found["reference"].startswith("sentencepiece ")
    assert sum(found["lost_records"].values()) == 1


def test_a_difference_ends_with_3_and_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenizer_lab.tokenizer.open_tokenizer", lambda *_: Letters("z"))
    monkeypatch.setattr("tokenizer_lab.explain.why", lambda *_: "z is read otherwise")
    answer = run("any", "--corpus", corpus(tmp_path), "-q")
    assert isinstance(answer.exception, CheckError)
    assert answer.exception.exit_code == 3
    assert "z is read otherwise" in answer.stdout
    assert "not equal" in answer.stdout


def test_a_library_alone_has_nothing_to_compare(tmp_path: Path, real_data: Path) -> None:
    answer = run(real_data / "tokenizers/llama2.tokenizer.model", "--corpus", corpus(tmp_path), "-q")
    assert answer.exit_code == 0
    assert "encoded by sentencepiece" in answer.stdout
