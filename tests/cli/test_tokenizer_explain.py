"""``jacorpus tokenizer explain`` as users meet it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tokenizer_lab.formats import json_files

JACORPUS = str(Path(sys.executable).parent / "jacorpus")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("explain")
    json_files.unigram(where / "a.json")
    json_files.llama_bpe(where / "b.json")
    rows = [json.dumps({"text": text}) + "\n" for text in ("吾輩は猫である。", "abc", "")]
    (where / "corpus.jsonl").write_text("".join(rows), "utf-8")
    return where


def _run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([JACORPUS, "tokenizer", "explain", *words], capture_output=True, text=True, cwd=folder)


def test_a_text_for_people(folder: Path) -> None:
    answer = _run(folder, "a.json", "b.json", "--text", "  <s>")
    assert answer.returncode == 0, answer.stderr
    assert "dummy prefix: b puts a space before the text" in answer.stdout
    assert "Traits that differ" in answer.stdout
    assert answer.stderr == ""


def test_probes_as_json(folder: Path) -> None:
    answer = json.loads(_run(folder, "a.json", "byte", "--json").stdout)
    assert not answer["equal"]
    assert answer["b"]["name"] == "byte"
    causes = [difference["cause"] for difference in answer["differences"]]
    assert len(causes) == len(set(causes)) > 1


def test_a_corpus(folder: Path) -> None:
    answer = json.loads(_run(folder, "a.json", "char", "--corpus", "corpus.jsonl", "--json", "-q").stdout)
    assert (answer["documents"], answer["differ"]) == (3, 2)
    assert sum(answer["causes"].values()) == 2


def test_wrong_words(folder: Path) -> None:
    alone = _run(folder, "byte")
    assert (alone.returncode, alone.stdout) == (2, "")
    assert "name a second tokenizer" in alone.stderr
    both = _run(folder, "byte", "char", "--text", "a", "--file", "corpus.jsonl")
    assert both.returncode == 2
    bad = folder / "sjis.txt"
    bad.write_bytes("日本".encode("shift_jis"))
    answer = _run(folder, "byte", "char", "--file", "sjis.txt")
    assert answer.returncode == 1
    assert "is not UTF-8 at byte 0" in answer.stderr
