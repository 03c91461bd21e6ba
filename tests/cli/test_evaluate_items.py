"""``jacorpus evaluate --tasks``, item by item, as users meet it."""

import json

import pytest

from tests.cli.model_commands import run, small
from tests.trainer.evaluate.test_answering import rows
from tests.trainer.evaluate.test_lm_eval_adapter import write
from tests.trainer.evaluate.test_mt_bench import DIALOGS, REPLIES, endpoint  # noqa: F401, a fixture
from tests.trainer.evaluate.test_pfgen import write as pfgen_folder
from tests.trainer.opened_model import random_model
from trainer.opened import open_model, save_model


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return small(tmp_path_factory.mktemp("items"))


@pytest.fixture(scope="module")
def other(folders, tmp_path_factory):
    """A run with other weights."""
    import shutil

    where = shutil.copytree(folders[0], tmp_path_factory.mktemp("other") / "run")
    save_model(where, random_model(open_model(where).config.vocab_size, seed=5))
    return where


@pytest.fixture
def ask(capsys, monkeypatch):
    return lambda *words: run(capsys, monkeypatch, "evaluate", *words)


def test_a_card_of_two_models_with_licenses_and_contamination(ask, folders, other, tmp_path):
    data = write(tmp_path / "q.jsonl", rows())
    corpus = write(tmp_path / "c.jsonl", [{"text": "山では4番の猫が話したという。"}])
    words = ["--tasks", "moral,jmmlu", "--task-data", data, "--compare", other, "--contamination", corpus, "--limit", 6]
    answer = ask(folders[0], *words, "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    assert "CC BY-NC 4.0, MIT" in (tmp_path / "out/report.md").read_text()  # a terminal may fold it
    assert {path.name for path in (tmp_path / "out/items").iterdir()} == {"moral.jsonl", "jmmlu.jsonl", "compared"}
    sections = json.loads((tmp_path / "out/report.json").read_text())["sections"]
    assert [section["key"] for section in sections] == ["model", "answers", "comparison"]
    assert "Before and after" in (tmp_path / "out/report.md").read_text()
    assert "exact sign test" in (tmp_path / "out/report.html").read_text()
    stored = ask(folders[0], *words[:4], "--compare", tmp_path / "out/items/compared", "--limit", 6, "--json")
    compared = {row["task"]: row for row in json.loads(stored.out)["comparison"]}
    again = {row["task"]: row for row in json.loads(ask(folders[0], *words, "--json").out)["comparison"]}
    assert compared == again
    assert set(compared) == {"moral", "jmmlu"}


def test_only_commercial_licenses(ask, folders, tmp_path):
    data = write(tmp_path / "q.jsonl", rows())
    answer = ask(folders[0], "--tasks", "moral", "--task-data", data, "--commercial-only", "--json")
    found = json.loads(answer.out)["answers"][0]
    assert (found["license"], found["commercial"], found["items"]) == ("MIT", True, 6)


def test_pfgen_of_stored_answers_and_of_a_model(ask, folders, tmp_path):
    folder = pfgen_folder(tmp_path)
    stored = write(tmp_path / "given.jsonl", [{"question": "問い", "answer": each} for each in ("abc", "b")])
    answer = ask(stored, "--tasks", "pfgen", "--task-data", folder, "--out", tmp_path / "out", "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["answers"][0]["score"]["value"] == pytest.approx((1 + 0.07407) / 2)
    assert (tmp_path / "out/items/pfgen.jsonl").is_file()
    answer = ask(folders[0], "--tasks", "pfgen", "--task-data", folder, "--compare", stored)
    assert answer.code == 0, answer.err
    assert "comparison" in answer.out  # of the one item that both have


def test_mt_bench_of_stored_answers(ask, endpoint, tmp_path):  # noqa: F811
    url, seen, _ = endpoint
    source = {"source": "japanese_mt_bench"}
    users = [{"id": d.id, "utterances": [{"name": "user", "text": t} for t in d.turns]} | source for d in DIALOGS]
    data = write(tmp_path / "d.jsonl", users)
    stored = write(tmp_path / "r.jsonl", [{"id": key, "answers": each} for key, each in REPLIES.items()])
    words = [stored, "--tasks", "mt_bench", "--task-data", data, "--judge", url, "--out", tmp_path / "out", "--json"]
    answer = ask(*words)
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["answers"][0]["score"] == {"value": 7.0, "low": 7.0, "high": 7.0}
    assert ask(*words).out == answer.out
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--tasks", "morla", "--task-data", "x"], 2, "did you mean `moral`"),
        (["--tasks", "mt_bench", "--task-data", "x"], 2, "--judge http://HOST:PORT/v1"),
        (["--tasks", "pfgen,moral", "--task-data", "x"], 2, "evaluate them by themselves"),
        (["--tasks", "moral", "--task-data", "missing.jsonl"], 1, "missing.jsonl can't be read"),
        (["--tasks", "pfgen", "--task-data", "missing"], 1, "holds no Q*.json"),
    ],
)
def test_wrong_words_are_one_sentence(ask, folders, words, code, sentence):
    answer = ask(folders[0], *words)
    assert answer.code == code
    *steps, said = answer.err.splitlines()
    assert sentence in said
    assert steps in ([], ["answers"])
