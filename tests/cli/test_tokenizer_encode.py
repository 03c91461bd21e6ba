"""``jacorpus tokenizer encode`` and ``validate`` as users meet them: results, notes, exit codes, Ctrl-C."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.tokenizer_lab.test_encode import digests, jsonl, words

JACORPUS = str(Path(sys.executable).parent / "jacorpus")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([JACORPUS, "tokenizer", *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("encode")
    jsonl(where / "a.jsonl", ["", *words(100, 1)])
    with open(where / "a.jsonl", "ab") as stream:
        stream.write(b'{"text": 1}\n')
    answer = run("encode", f"x={where / 'a.jsonl'}", "-t", "char", "-o", where / "out", "-w", 1, "--export", "numpy")
    assert answer.returncode == 0, answer.stderr
    (where / "stdout").write_text(answer.stdout)
    (where / "stderr").write_text(answer.stderr)
    return where


def test_encode_tells_what_it_wrote_and_what_was_lost(folder):
    assert re.search(r"x +train +\d+ +[\d,]+ +[\d.]+ kB +[\d.]+", (folder / "stdout").read_text())
    assert f"numpy in {folder / 'out/export/numpy'}" in (folder / "stdout").read_text()
    assert "encode: 1 task" in (folder / "stderr").read_text()
    assert "x a.jsonl: 1 records lost (text_type)" in (folder / "stderr").read_text()


def test_a_finished_folder_answers_at_once_and_as_json(folder):
    answer = run("encode", f"x={folder / 'a.jsonl'}", "-t", "char", "-o", folder / "out", "--json", "--quiet")
    manifest = json.loads(answer.stdout)
    assert manifest["counts"]["documents"] == 101
    assert manifest["counts"]["lost"] == 1
    assert answer.stderr == ""
    dry = run("encode", f"x={folder / 'a.jsonl'}", "-t", "byte", "-o", folder / "dry", "--dry-run", "--json")
    assert [task["done"] for task in json.loads(dry.stdout)] == [False]
    assert not (folder / "dry/manifest.json").exists()


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["-t", "char", "--append-eos", "--export", "megatron"], 2, "has no known end-of-text token"),
        (["-t", "char", "--export", "npz"], 2, "--export npz; did you mean `numpy`?"),
        (["-t", "missing.model"], 1, "no tokenizer at missing.model"),
    ],
)
def test_wrong_words_are_one_sentence(folder, words, code, sentence):
    answer = run("encode", f"x={folder / 'a.jsonl'}", "-o", folder / "wrong", *words)
    assert answer.returncode == code
    assert sentence in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert not (folder / "wrong/manifest.json").exists()


def test_validate_exits_with_3_where_a_check_fails(folder):
    good = run("validate", folder / "out", "--corpus", f"x={folder / 'a.jsonl'}")
    assert good.returncode == 0, good.stderr
    assert "101 documents give their tokens again" in good.stdout
    path = folder / "out/shards/x-train-00000.arrow"
    data = path.read_bytes()
    path.write_bytes(data[:-10] + b"0123456789")
    bad = run("validate", folder / "out", "--json")
    path.write_bytes(data)
    assert bad.returncode == 3
    assert "another checksum" in json.loads(bad.stdout)["checks"][0]["detail"]


RECIPE = """
name = "two"
out = "corpus"

[[source]]
use = "sources.jsonl"
domain = "web"
paths = ["web.jsonl"]

[[stage]]
use = "language.detect"
keep = ["ja", "en"]
"""


def test_the_shards_of_a_corpus_run_are_told_apart_by_their_language(tmp_path):
    japanese = [f"今日は{i}番の川へ行って、友人と静かに釣りをしました。" for i in range(20)]
    english = [f"Yesterday we walked to bridge number {i} and had a quiet lunch there." for i in range(30)]
    jsonl(tmp_path / "web.jsonl", [*japanese, *english])
    (tmp_path / "two.toml").write_text(RECIPE)
    made = subprocess.run([JACORPUS, "corpus", "run", "two.toml", "-w", "1"], cwd=tmp_path, capture_output=True)
    assert made.returncode == 0, made.stderr
    words = ["-t", "byte", "-w", 1, "--by-language", "--export", "megatron", "--json", "--quiet"]
    answer = run("encode", tmp_path / "corpus", "-o", tmp_path / "out", *words)
    assert answer.returncode == 0, answer.stderr
    manifest = json.loads(answer.stdout)
    found = {name: sum(c["documents"] for c in splits.values()) for name, splits in manifest["domains"].items()}
    assert found == {"web-ja": 20, "web-en": 30}
    assert manifest["axes"] == {f"web-{code}": {"language": code, "type": "web"} for code in ("en", "ja")}
    assert (tmp_path / "out/export/megatron/web-ja-train.idx").is_file()
    assert run("validate", tmp_path / "out", "--corpus", tmp_path / "corpus").returncode == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--language", "x"], "--language x: expected NAME=CODE"),
        (["--language", "x=ja", "--language", "x=en"], "x is said to be of ja and of en"),
        (["--language", "y=ja"], "no domain `y` in this corpus"),
    ],
)
def test_a_language_is_told_as_name_and_code(folder, words, sentence):
    answer = run("encode", f"x={folder / 'a.jsonl'}", "-o", folder / "wrong", "-t", "char", *words)
    assert (answer.returncode, len(answer.stderr.splitlines())) == (2, 1)
    assert sentence in answer.stderr


def heeds_ctrl_c() -> None:
    """A program that a shell starts in the background ignores SIGINT, and so do its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_exits_with_130_and_the_next_run_goes_on(tmp_path):
    for seed in range(60):
        jsonl(tmp_path / f"in/{seed}.jsonl", words(400, seed))
    command = [JACORPUS, "tokenizer", "encode", f"x={tmp_path / 'in'}", "-t", "char", "-w", "1", "-o", tmp_path / "out"]
    told, code = "", 0
    for _ in range(10):  # on a busy machine it may be done before the signal reaches it
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=heeds_ctrl_c
        )
        while process.poll() is None and not list((tmp_path / "out").glob("work/done/*.json")):
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        told, code = process.communicate()[1], process.returncode
        if code:
            break
    assert "finished parts are kept" in told
    assert code == 130
    assert run(*command[2:]).returncode == 0
    phases = json.loads((tmp_path / "out/run.json").read_text())["phases"]
    assert 0 < phases[0]["run"] < phases[0]["tasks"] == 60
    assert run(*command[2:-1], tmp_path / "again").returncode == 0
    assert digests(tmp_path / "out") == digests(tmp_path / "again")
