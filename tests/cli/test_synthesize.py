"""``jacorpus synthesize`` as users meet it."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cli.synthesize import synthesize
from jacorpus.errors import RecipeError
from tests.jacorpus.synthesize.endpoint import Endpoint, fluent
from tests.small import prose

APP = typer.Typer()
APP.command()(synthesize)


def _seeds(folder: Path, count: int = 5) -> Path:
    path = folder / "seeds.jsonl"
    path.write_text("".join(json.dumps({"text": prose(i + 1)}) + "\n" for i in range(count)), "utf-8")
    return path


def _words(url: str, folder: Path, *more: str) -> list[str]:
    words = [str(_seeds(folder)), "-t", "qa", "--endpoint", url, "--model", "m", "--out", str(folder / "out")]
    return [*words, "--price-in", "1", "--price-out", "2", *more]


def test_documents_are_made_counted_and_priced(tmp_path: Path) -> None:
    with Endpoint(fluent) as endpoint:
        run = CliRunner().invoke(APP, _words(endpoint.url, tmp_path, "--license", "MIT"), catch_exceptions=False)
        assert run.exit_code == 0
        assert "kept" in run.stdout
        assert "5/5  50 tokens in, 25 out, 0 requests known  cost 0.0001" in run.stderr
        run = CliRunner().invoke(APP, _words(endpoint.url, tmp_path, "--json"), catch_exceptions=False)
        assert json.loads(run.stdout)["counts"]["read"] == 5
        assert endpoint.answered.total() == 5
        assert "rows say unknown" in run.stderr


def test_a_dry_run_shows_a_request_and_sends_nothing(tmp_path: Path) -> None:
    with Endpoint(fluent) as endpoint:
        run = CliRunner().invoke(
            APP, _words(endpoint.url, tmp_path, "--dry-run", "--limit", "2"), catch_exceptions=False
        )
        assert endpoint.bodies == []
    shown = json.loads(run.stdout)
    assert shown["requests"] == 2
    assert shown["request"]["url"].endswith("/v1/chat/completions")
    assert prose(1) in shown["request"]["messages"][1]["content"]
    assert shown["cost"] > 0
    assert not (tmp_path / "out").exists()


def test_the_budget_is_told(tmp_path: Path) -> None:
    with Endpoint(fluent) as endpoint:
        words = _words(endpoint.url, tmp_path, "--max-cost", "0.000001", "--license", "MIT")
        run = CliRunner().invoke(APP, words, catch_exceptions=False)
        assert run.exit_code == 0
        assert endpoint.bodies == []
        assert "--max-cost is reached with 5 left" in run.stderr


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["-t", "codeclm"], "--weak-model"),
        (["--endpoint", "localhost:8000"], "no address of an endpoint"),
        (["--max-cost", "1", "--price-in", "0", "--price-out", "0"], "--max-cost needs"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_sent(tmp_path: Path, more: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        CliRunner().invoke(APP, _words("http://127.0.0.1:9/v1", tmp_path, *more), catch_exceptions=False)
