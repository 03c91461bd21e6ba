"""The command line as users meet it: results on stdout, one paragraph on stderr, the documented exit codes."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from jacorpus.store import Store
from tests.small import run_small, write_corpus

JACORPUS = str(Path(sys.executable).parent / "jacorpus")
RECIPE = """
[[source]]
use = "sources.jsonl"
domain = "web"
paths = ["in/*.jsonl"]
[[stage]]
use = "signals.text"
[[stage]]
use = "rules.bounds"
rules = [{ signal = "text.chars", min = 100, reason = "short" }]
[[stage]]
use = "dedup.minhash"
"""


def _run(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([JACORPUS, *words], capture_output=True, text=True, cwd=cwd)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("cli")
    write_corpus(where / "in")
    (where / "r.toml").write_text(RECIPE, "utf-8")
    run_small(where / "in", where / "out")
    return where


def test_run_prints_json_and_nothing_else(folder: Path) -> None:
    answer = _run("corpus", "run", "r.toml", "--out", "fresh", "--engine", "inline", "--json", cwd=folder)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["counts"]["read"] == 73
    assert answer.stderr == ""
    assert (folder / "fresh" / "report.html").stat().st_size > 10_000


def test_questions_answer_in_json(folder: Path) -> None:
    asked = [
        ("validate", "out"),
        ("what-if", "out", "--set", "text.chars=300"),
        ("explain", "out", "https://example.jp/5"),
        ("stats", "out"),
        ("diff", "out", "out"),
    ]
    for words in asked:
        answer = _run("corpus", *words, "--json", cwd=folder)
        assert answer.returncode == 0, answer.stderr
        json.loads(answer.stdout)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("corpus", "run", "none.toml"), 2, "no recipe at none.toml"),
        (("corpus", "run", "r.toml", "--set", "sead=1"), 2, "did you mean `seed`"),
        (("corpus", "run", "r.toml", "--engine", "rey"), 2, "did you mean `ray`"),
        (("corpus", "validate", "nowhere"), 1, "is it the output folder"),
        (("corpus", "explain", "out", "https://example.jp/x"), 1, "never read"),
        (("corpus", "what-if", "out", "--set", "text.chars=many"), 2, "text.chars=200"),
        (("corpus", "export", "csv", "out", "to"), 2, "known: jsonl.zst, parquet"),
        (("corpus", "runn", "r.toml"), 2, "run"),
        (("recipe", "new", "r.toml"), 1, "--force"),
        (("corpus", "remove", "out", "https://example.jp/x"), 1, "nothing was removed"),
    ],
)
def test_errors_are_one_paragraph(folder: Path, words: tuple[str, ...], code: int, message: str) -> None:
    answer = _run(*words, cwd=folder)
    assert answer.returncode == code, answer.stderr
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr
    assert answer.stdout == ""


def test_tables_print_brackets_and_colons_as_they_are(tmp_path: Path) -> None:
    urls = ["https://a.example/[/b]", "urn:x:[red]", "0123456789abcdef0123456789abcdef"]
    lines = [json.dumps({"text": "日本語の文章。" * 20, "url": url}) for url in urls]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "[1].jsonl").write_text("\n".join(lines), "utf-8")
    (tmp_path / "r.toml").write_text(RECIPE.replace('"short"', '"[/short]"'), "utf-8")
    ran = _run("corpus", "run", "r.toml", "-o", "o", "--engine", "inline", "-q", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    for url in urls:
        answer = _run("corpus", "explain", "o", url, cwd=tmp_path)
        assert answer.returncode == 0, answer.stderr
        assert "[1].jsonl at" in answer.stdout
        assert url in answer.stdout
    assert "[/short]" in _run("recipe", "check", "r.toml", cwd=tmp_path).stdout


def test_a_failed_check_exits_with_3(folder: Path, tmp_path: Path) -> None:
    run_small(folder / "in", tmp_path / "out")
    next((tmp_path / "out" / "audit").glob("*.arrow")).unlink()
    answer = _run("corpus", "validate", str(tmp_path / "out"))
    assert answer.returncode in (1, 3)


def test_force_takes_nothing_from_a_run_at_work(folder: Path, tmp_path: Path) -> None:
    run_small(folder / "in", tmp_path / "out")
    before = sorted(path.name for path in (tmp_path / "out" / "work" / "done").iterdir())
    with Store(tmp_path / "out" / "work").lock():
        answer = _run("corpus", "run", "r.toml", "--out", str(tmp_path / "out"), "--force", cwd=folder)
    assert answer.returncode == 1
    assert "another run" in answer.stderr
    assert sorted(path.name for path in (tmp_path / "out" / "work" / "done").iterdir()) == before


def test_ctrl_c_keeps_what_is_finished(folder: Path, tmp_path: Path) -> None:
    command = [JACORPUS, "corpus", "run", "r.toml", "--out", str(tmp_path / "out"), "--set", "task_bytes=2000"]
    default = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # ignored where a shell starts pytest behind it
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, preexec_fn=default)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list((tmp_path / "out" / "work" / "done").glob("*.json")):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode in (130, 0)
    if process.returncode == 130:
        assert "interrupted" in said
    assert list((tmp_path / "out" / "work" / "done").glob("*.json"))
    assert (
        _run(
            "corpus", "run", "r.toml", "--out", str(tmp_path / "out"), "--set", "task_bytes=2000", cwd=folder
        ).returncode
        == 0
    )


def test_schema_and_doctor(tmp_path: Path) -> None:
    schema = json.loads(_run("recipe", "schema").stdout)
    uses = [b["properties"]["use"].get("const") for b in schema["properties"]["stage"]["items"]["anyOf"]]
    assert "dedup.minhash" in uses
    findings = json.loads(_run("doctor", "--json").stdout)
    assert {f["name"] for f in findings} >= {"python", "dependencies", "names"}


def test_a_new_recipe_is_a_good_recipe(tmp_path: Path) -> None:
    write_corpus(tmp_path / "data")
    answer = _run("recipe", "new", "mine.toml", "--source", "jsonl", "--path", "data/*.jsonl", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    checked = _run("recipe", "check", "mine.toml", "--json", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert len(json.loads(checked.stdout)["files"]) == 3


def test_help_names_every_verb() -> None:
    said = _run("corpus", "--help").stdout
    for verb in ("run", "validate", "stats", "what-if", "explain", "diff", "export", "remove", "report"):
        assert verb in said
    assert os.linesep in said


def test_index_adds_a_run_once(folder: Path, tmp_path: Path) -> None:
    run_small(folder / "in", tmp_path / "out")
    index = str(tmp_path / "index")
    answer = _run("corpus", "index", str(tmp_path / "out"), index, "--name", "2026-10")
    assert answer.returncode == 0, answer.stderr
    again = _run("corpus", "index", str(tmp_path / "out"), index, "--name", "2026-10")
    assert again.returncode == 2
    assert "2026-10" in again.stderr


def test_a_recipe_for_training_alone_is_checked(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text("[model]\nlayers = 4\nd_model = 128\n\n[train]\ntokens = 1e6\n", "utf-8")
    answer = _run("recipe", "check", "small.toml", cwd=tmp_path)
    assert "a model of 4 layers is trained; no [[source]]" in answer.stdout
    wrong = _run("recipe", "check", "small.toml", "--set", "train.seq_length=8", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "did you mean `seq_len`" in wrong.stderr
