"""The commands that open a model, run in this process: torch is loaded once."""

import io
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

import cli.main
from cli.evaluate import evaluate
from cli.generate import generate


@dataclass
class Ran:
    code: int
    out: str
    err: str


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object, stdin: str = "") -> Ran:
    """Exit code and both streams of ``jacorpus WORDS``."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(generate)
    app.command()(evaluate)
    monkeypatch.setattr(cli.main, "app", app)
    monkeypatch.setattr(sys, "argv", ["jacorpus", *map(str, words)])
    monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as ended:
        cli.main.main()
    streams = capsys.readouterr()
    return Ran(int(ended.value.code or 0), streams.out, streams.err)


def small(where: Path) -> tuple[Path, Path]:
    """(run folder, token folder)."""
    from tests.trainer.opened_model import run_folder, token_folder

    tokens = token_folder(where / "data")
    return run_folder(where / "run", tokens), tokens.folder
