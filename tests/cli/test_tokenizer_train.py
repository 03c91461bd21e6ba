"""``jacorpus tokenizer train`` as users meet it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jacorpus.recipe import to_toml
from tests.small import run_small, tables, write_corpus
from tests.tokenizer_lab.training.test_unigram import documents

JACORPUS = str(Path(sys.executable).parent / "jacorpus")
SMALL = ("--algorithm", "byte-bpe", "--vocab-size", "480", "--pattern", "none", "--set", "coverage=0.9")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("train")
    rows = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in documents(1200)]
    (where / "a.jsonl").write_text("".join(rows), "utf-8")
    write_corpus(where / "in")
    run_small(where / "in", where / "shards", tokenizer={"algorithm": "bpe", "vocab_size": 300, "coverage": 0.5})
    table = {"algorithm": "byte-bpe", "vocab_size": 280, "coverage": 0.5}
    (where / "recipe.toml").write_text(to_toml({**tables(where / "in", out="shards"), "tokenizer": table}), "utf-8")
    return where


def _run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([JACORPUS, "tokenizer", "train", *words], capture_output=True, text=True, cwd=folder)


def test_a_file_for_people(folder: Path) -> None:
    answer = _run(folder, "novels=a.jsonl", *SMALL, "--out", "people")
    assert answer.returncode == 0, answer.stderr
    assert "byte-bpe by jacorpus: 480 ids (5 special, 256 bytes, 219 pieces)" in answer.stdout
    assert "novels" in answer.stdout
    assert "tokenizer.tiktoken  tiktoken: 0 of" in answer.stdout
    assert "not written for sentencepiece" in answer.stderr
    again = _run(folder, "novels=a.jsonl", *SMALL, "--out", "people")
    assert again.returncode == 1
    assert "--force" in again.stderr


def test_a_corpus_run_brings_its_table(folder: Path) -> None:
    answer = json.loads(_run(folder, "shards", "--out", "one", "--set", "vocab_size=282", "--json").stdout)
    assert answer["options"]["algorithm"] == "bpe"
    assert answer["vocab_size"] == 282
    assert list(answer["corpus"]) == ["web"]


def test_a_recipe_names_corpus_and_table(folder: Path) -> None:
    answer = json.loads(_run(folder, "--recipe", "recipe.toml", "--out", "two", "--json").stdout)
    assert answer["options"]["algorithm"] == "byte-bpe"
    assert answer["vocab_size"] == 280
    assert json.loads((folder / "two" / "train.json").read_text()) == answer


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "name a corpus"),
        (("a.jsonl", "--weight", "a"), 2, "NAME=SHARE"),
        (("a.jsonl", "--set", "vocab"), 2, "key=value"),
        (("a.jsonl", "--set", "vocab=3"), 2, "did you mean `vocab_size`"),
        (("a.jsonl", "--algorithm", "bppe"), 2, "did you mean"),
        (("a.jsonl", "--set", "weights=5"), 2, "give each corpus a share"),
        (("a.jsonl", "--set", 'weights={a="x"}'), 2, "give each corpus a share"),
        (("a.jsonl", "--set", "specials=abc"), 2, "a list of texts"),
        (("a.jsonl", "--set", "max_piece_chars=0"), 2, "max_piece_chars must be over 0"),
        (("a.jsonl", "--budget-mb", "nan"), 2, "megabytes over 0"),
        (("a.jsonl", "--pattern", "cl200k"), 1, "pattern `cl200k` is unknown"),
        (("none.jsonl",), 1, "none.jsonl"),
    ],
)
def test_wrong_words(folder: Path, words: tuple[str, ...], code: int, said: str) -> None:
    answer = _run(folder, *words, "--out", "wrong")
    assert answer.returncode == code, answer.stderr
    assert said in answer.stderr
    assert not (folder / "wrong" / "train.json").exists()
