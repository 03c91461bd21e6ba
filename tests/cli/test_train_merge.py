"""``jacorpus train merge`` as users meet it."""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
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


@pytest.fixture(scope="module")
def run(folders: dict[str, Path]) -> Path:
    """A run with checkpoints of steps 10, 20 and 30, and no weights yet."""
    from trainer.checkpoint import Checkpoints

    folder = folders["A"].with_name("unfinished")
    shutil.copytree(folders["A"], folder)
    (folder / "model.safetensors").unlink()
    checkpoints = Checkpoints(folder / "checkpoints")
    for step, name in zip((10, 20, 30), "ABC", strict=True):
        named = open_model(folders[name]).model.named_parameters()
        checkpoints.save(step, {"model": {f"model.{key}": p.data for key, p in named}}, {})
    checkpoints.wait()
    return folder


def test_checkpoints_of_a_run_are_averaged(ask, run: Path, folders: dict[str, Path], tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    words = ["--model", run, "--average", "10,30", "--out", tmp_path / "out"]
    done = ask(*words)
    assert done.code == 0, done.err
    assert "checkpoints 10, 30 of unfinished" in done.out
    found, (first, last) = open_model(tmp_path / "out"), [open_model(folders[name]) for name in "AC"]
    assert found.need_tokenizer().fingerprint == first.need_tokenizer().fingerprint
    assert found.eos_id == first.eos_id
    ends = first.model.state_dict(), last.model.state_dict()
    for name, tensor in found.model.state_dict().items():
        assert torch.equal(tensor, ((ends[0][name].double() + ends[1][name].double()) / 2).float())
    record = json.loads((tmp_path / "out/merge.json").read_bytes())
    weights = (tmp_path / "out/model.safetensors").read_bytes()
    digest = hashlib.sha256(weights).hexdigest()
    assert record == {"method": "average", "run": "unfinished", "steps": [10, 30], "digest": digest}
    again = ask(*words)
    assert (again.code, "exists already" in again.err) == (1, True)
    assert json.loads(ask(*words, "--force", "--json").out)["digest"] == digest
    assert (tmp_path / "out/model.safetensors").read_bytes() == weights


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--average", "10,15"], 1, "no whole checkpoint of step 15; there are: 10, 20, 30"),
        (["--average", "10,x"], 2, "write steps with commas"),
        (["--average", "10,10"], 2, "named twice"),
        (["--average", "10", "--model", "A"], 2, "got 2 --model"),
        (["--average", "10", "--method", "ties"], 2, "leave --method"),
    ],
)
def test_wrong_steps_are_one_sentence(ask, run, folders, tmp_path, words, code, sentence) -> None:  # type: ignore[no-untyped-def]
    given = [str(folders.get(word, word)) for word in words]
    answer = ask("--model", run, *given, "--out", tmp_path / "out")
    assert answer.code == code
    assert sentence in answer.err
    assert len(answer.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


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
