"""``jacorpus evaluate`` as users meet it."""

import json
import re

import pytest

from tests.cli.model_commands import run, small
from tests.small import prose
from tests.tokenizer_lab.test_encode import jsonl
from tests.trainer.evaluate.test_lm_eval_adapter import questions, write


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return small(tmp_path_factory.mktemp("evaluate"))


@pytest.fixture
def ask(folders, capsys, monkeypatch):
    return lambda *words: run(capsys, monkeypatch, "evaluate", folders[0], *words)


def test_bits_per_byte_beside_the_baseline_with_a_report(ask, folders, tmp_path):
    words = ["--tokens", folders[1], "--baseline", "bigram", "--context", 64]
    answer = ask(*words, "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    assert re.search(r"novels +2\.\d+ +1\.\d+ +\d\.\d+ +[\d.]+ % +20 +1,451 +4\.65 kB", answer.out)
    assert re.search(r"novels: the model lies above bigram: \+1\.\d+ \[\+1\.\d+, \+\d\.\d+\] bits per byte", answer.out)
    assert "bits per byte, novels" in answer.err
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert [section["key"] for section in report["sections"]] == ["model", "bits_per_byte"]
    page = (tmp_path / "out/report.html").read_text()
    assert "charged log2(V) bits" in page
    assert "split valid" in page
    figures = json.loads(ask(*words, "--json").out)
    assert figures["step"] == 7
    assert figures["bits_per_byte"]["web"]["model"]["documents"] == 20
    assert figures["bits_per_byte"]["web"]["bigram"]["accuracy"] is None


def test_raw_text_needs_no_shards(ask, folders, tmp_path):
    jsonl(tmp_path / "a.jsonl", [prose(i) for i in range(4)])
    answer = ask("--corpus", f"mine={tmp_path / 'a.jsonl'}", "--corpus", folders[1].parent / "corpus", "--json")
    figures = json.loads(answer.out)["bits_per_byte"]
    assert {name: each["model"]["documents"] for name, each in figures.items()} == {"mine": 4, "novels": 20, "web": 20}


def test_tasks_from_a_local_file(ask, tmp_path):
    pytest.importorskip("lm_eval", reason="needs the package lm-eval")
    data = write(tmp_path / "q.jsonl", questions(9))
    answer = ask("--tasks", "jmmlu,jcommonsenseqa", "--task-data", data, "--shots", 1, "--limit", 3, "-o", tmp_path)
    assert answer.code == 0, answer.err
    assert re.search(r"jmmlu +acc +[\d.]+ % +([\d.]+ %)? +25\.0 % +1 +3", answer.out)
    assert "jcommonsenseqa  acc_norm" in answer.out
    assert "Tasks" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ([], 2, "name what to measure on"),
        (["--tasks", "jmmlu"], 2, "go together"),
        (["--tasks", "jmmul", "--task-data", "x"], 2, "did you mean `jmmlu`"),
        (["--corpus", "x.jsonl", "--baseline", "bigram"], 2, "--tokens FOLDER"),
        (["--tokens", "x", "--baseline", "trigram"], 2, "known: bigram"),
        (["--tokens", "x", "--overlap", 2048], 2, "overlap must be"),
        (["--tokens", "missing"], 1, "holds no finished token shards"),
        (["--corpus", "missing.jsonl"], 1, "missing.jsonl"),
    ],
)
def test_wrong_words_are_one_sentence(ask, words, code, sentence):
    answer = ask(*words)
    assert answer.code == code
    assert sentence in answer.err
    assert len(answer.err.splitlines()) == 1


def test_a_diverged_model_is_no_figure(folders, tmp_path, capsys, monkeypatch):
    import shutil

    from trainer.opened import open_model, save_model

    broken = shutil.copytree(folders[0], tmp_path / "run")
    model = open_model(broken).model
    model.final_norm.weight.fill_(float("nan"))
    save_model(broken, model)
    answer = run(capsys, monkeypatch, "evaluate", broken, "--tokens", folders[1])
    assert answer.code == 1
    assert "is not finite" in answer.err


def test_shards_of_another_tokenizer_are_refused(ask, folders, tmp_path):
    from tokenizer_lab.corpus import open_corpus
    from tokenizer_lab.encode import encode_corpus

    encode_corpus(open_corpus([str(folders[1].parent / "corpus")]), "byte", tmp_path / "tokens")
    answer = ask("--tokens", tmp_path / "tokens")
    assert answer.code == 1
    assert "another tokenizer than that of" in answer.err
