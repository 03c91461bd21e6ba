"""``jacorpus train prune``, ``distill`` and ``quantize`` as users meet them."""

import json
import sys
from pathlib import Path

import pytest
import typer

import cli.main
from cli.train.distill import distill
from cli.train.prune import prune
from cli.train.quantize import quantize
from tests.cli.model_commands import Ran, small
from trainer.opened import open_model

RECIPE = """
name = "small"
[train]
tokens = 2048
batch_tokens = 256
seq_len = 64
lr = 1e-3
tensorboard = false
eval_tokens = 1024
threads = 1
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return small(tmp_path_factory.mktemp("compress"))


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    def run(*words: object) -> Ran:
        app = typer.Typer(pretty_exceptions_enable=False)
        for verb in (prune, distill, quantize):
            app.command()(verb)
        monkeypatch.setattr(cli.main, "app", app)
        monkeypatch.setattr(sys, "argv", ["jacorpus", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as ended:
            cli.main.main()
        streams = capsys.readouterr()
        return Ran(int(ended.value.code or 0), streams.out, streams.err)

    return run


def test_prune_then_distill(ask, folders: tuple[Path, Path], tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    model, tokens = folders
    words = ["prune", model, "--tokens", tokens, "--ffn", 0.5, "--mamba", 0.5, "--out", tmp_path / "s"]
    words += ["--calibration-tokens", 1024, "--eval-tokens", 1024]
    done = ask(*words)
    assert done.code == 0, done.err
    assert "parameters pruned to" in done.out
    assert "d_ff 24, 2 heads, 1 Mamba heads" in done.out
    assert "bits per byte before" in done.out
    student = open_model(tmp_path / "s")
    assert student.tokenizer is not None
    assert student.config.mamba_heads == 1

    again = ask(*words)
    assert (again.code, "exists already" in again.err) == (1, True)
    figures = json.loads(ask(*words, "--force", "--json").out)
    assert figures["parameters"]["after"] == student.config.parameters()
    assert set(figures["after"]) == {"novels", "web", "all"}

    (tmp_path / "r.toml").write_text(RECIPE)
    words = ["distill", tmp_path / "r.toml", "--teacher", model, "--student", tmp_path / "s", "--tokens", tokens]
    plan = json.loads(ask(*words, "--out", tmp_path / "d", "--dry-run", "--json").out)
    assert plan["parameters"] == student.config.parameters()
    done = ask(*words, "--out", tmp_path / "d", "--ce", 0.5)
    assert done.code == 0, done.err
    assert "trained on 2,048 tokens in 8 steps" in done.out
    assert open_model(tmp_path / "d").step == 8
    other = ask(*words, "--out", tmp_path / "d", "--temperature", 2)
    assert (other.code, "another teacher or loss" in other.err) == (1, True)


def test_quantize(ask, folders: tuple[Path, Path], tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("torchao", reason="needs the package torchao")
    model, tokens = folders
    words = ["quantize", model, "--tokens", tokens, "--out", tmp_path / "q", "--bits", 4, "--eval-tokens", 1024]
    done = ask(*words)
    assert done.code == 0, done.err
    assert "weights in 4 bits" in done.out
    figures = json.loads(ask(*words, "--force", "--json").out)
    assert figures["bytes"] < figures["bytes_16_bit"]
    assert open_model(tmp_path / "q").tokenizer is not None


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["prune", "MODEL", "--tokens", "TOKENS", "--out", "OUT"], 2, "nothing would be pruned"),
        (["prune", "MODEL", "--tokens", "TOKENS", "--out", "OUT", "--ffn", 2], 2, "share of ffn"),
        (["prune", "MODEL", "--tokens", "TOKENS", "--out", "OUT", "--layers", 0.5], 2, "repeat no shorter pattern"),
        (["prune", "missing", "--tokens", "TOKENS", "--out", "OUT", "--ffn", 0.5], 1, "is no folder"),
        (["prune", "MODEL", "--tokens", "TOKENS", "--out", "MODEL", "--ffn", 0.5, "--force"], 1, "name another place"),
        (["quantize", "MODEL", "--tokens", "TOKENS", "--out", "OUT", "--bits", 3], 2, "8 or 4 bits"),
        (["quantize", "MODEL", "--tokens", "missing", "--out", "OUT"], 1, "no finished token shards"),
    ],
)
def test_wrong_words_are_one_sentence(ask, folders, tmp_path, words, code, sentence) -> None:  # type: ignore[no-untyped-def]
    names = {"MODEL": folders[0], "TOKENS": folders[1], "OUT": tmp_path / "out"}
    answer = ask(*(names.get(word, word) for word in words))
    assert answer.code == code
    assert sentence in answer.err
    assert len(answer.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
