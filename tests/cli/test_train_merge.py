"""``jacorpus train merge`` as users meet it."""

import json
import sys
from pathlib import Path

import pytest
import typer

import cli.main
from cli.train.merge import merge
from tests.cli.model_commands import Ran, small
from tests.trainer.opened_model import random_model
from trainer.opened import open_model, save_model


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    first, tokens = small(tmp_path_factory.mktemp("merge"))
    opened, found = open_model(first), {"A": first}
    entry = json.loads((first / "config.json").read_bytes())["tokenizer"]
    for seed, name in enumerate("BC", 1):
        found[name] = first.with_name(name)
        save_model(found[name], random_model(opened.config.vocab_size, seed), entry, entry["eos_id"], 7, tokens)
    return found


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    def run(*words: object) -> Ran:
        app = typer.Typer(pretty_exceptions_enable=False)
        app.command()(merge)
        monkeypatch.setattr(cli.main, "app", app)
        monkeypatch.setattr(sys, "argv", ["jacorpus", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as ended:
            cli.main.main()
        streams = capsys.readouterr()
        return Ran(int(ended.value.code or 0), streams.out, streams.err)

    return run


def test_merge(ask, folders: dict[str, Path], tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    words = ["--method", "ties", "--base", folders["B"], "--model", f"{folders['A']}=0.5"]
    words += ["--model", f"{folders['C']}=0.5", "--option", "density=0.5", "--out", tmp_path / "out"]
    done = ask(*words)
    assert done.code == 0, done.err
    assert "2 models of" in done.out
    assert "0.5 of C" in done.out
    assert open_model(tmp_path / "out").tokenizer is not None
    again = ask(*words)
    assert (again.code, "exists already" in again.err) == (1, True)
    figures = json.loads(ask(*words, "--force", "--json").out)
    assert figures["options"] == {"density": 0.5, "scale": 1.0}
    assert figures["weights"] == [0.5, 0.5]
    done = ask("--model", folders["A"], "--model", folders["C"], "--out", tmp_path / "mean")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--model", "A", "--model", "C", "--method", "tis"], 2, "no merge method `tis`"),
        (["--model", "A", "--model", "C", "--method", "ties"], 2, "needs the base"),
        (["--model", "A", "--model", "C", "--base", "B"], 2, "linear uses no base"),
        (["--model", "A", "--model", "C=1"], 2, "some models have a weight"),
        (["--model", "A=x", "--model", "C=1"], 2, "write NAME=NUMBER"),
        (["--model", "A=1", "--model", "C=-1"], 2, "sum of weights"),
        (["--model", "A"], 2, "two models or more"),
        (["--model", "A", "--model", "missing"], 1, "is no folder"),
        (["--model", "A", "--model", "C", "--option", "density"], 2, "write NAME=NUMBER"),
        (["--model", "A", "--model", "C", "--option", "scale=2"], 2, "has no option `scale`"),
    ],
)
def test_wrong_words_are_one_sentence(ask, folders, tmp_path, words, code, sentence) -> None:  # type: ignore[no-untyped-def]
    def full(word: str) -> str:
        name, *rest = word.split("=")
        return "=".join([str(folders.get(name, name)), *rest])

    answer = ask(*map(full, words), "--out", tmp_path / "out")
    assert answer.code == code
    assert sentence in answer.err
    assert len(answer.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
