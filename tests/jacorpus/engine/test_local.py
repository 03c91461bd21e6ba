"""Workers that die or hang: the document in flight fails, the rest goes on."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa
import pytest

from jacorpus.engine.local import Local
from jacorpus.output.explain import explain
from jacorpus.recipe import recipe_from_tables
from jacorpus.run import run_recipe
from jacorpus.shards import read_table
from jacorpus.stage import Applied
from tests.small import prose, write_corpus


@dataclass(frozen=True)
class Deadly:
    """A stage that kills, hangs or fails its worker on one document."""

    needle: str
    how: str
    phase: ClassVar[Literal["measure"]] = "measure"

    def columns(self) -> dict[str, pa.DataType]:
        return {}

    def apply(self, batch: pa.RecordBatch) -> Applied:
        for text in batch["text"].to_pylist():
            if self.needle in text:
                if self.how == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                elif self.how == "hang":
                    time.sleep(600)
                elif self.how == "raise":
                    raise ZeroDivisionError("no such luck")
                elif self.how == "memory":
                    raise MemoryError
        return Applied(batch)


@dataclass(frozen=True)
class DeadlyOnce(Deadly):
    """Dies the first time it is met, as a worker does that was killed from outside."""

    def apply(self, batch: pa.RecordBatch) -> Applied:
        marker = Path(self.how)
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return Applied(batch)


def _run(tmp_path: Path, use: str, how: str, engine: Local | None = None) -> list[dict]:
    folder = write_corpus(tmp_path / "in")
    stages = [{"use": f"tests.jacorpus.engine.test_local:{use}", "needle": prose(33)[:30], "how": how}]
    source = {"use": "sources.jsonl", "domain": "web", "paths": [str(folder / "*.jsonl")]}
    recipe = recipe_from_tables({"source": [source], "stage": stages}, folder, "deadly")
    run_recipe(recipe, tmp_path / "out", engine or Local(1))
    paths = sorted((tmp_path / "out" / "audit").glob("*.arrow"))
    rows = [row for path in paths for row in read_table(path).to_pylist()]
    assert len(rows) == 73
    return [row for row in rows if row["state"] == "failed" and row["stage"] != "read"]


@pytest.mark.parametrize(
    ("how", "stage", "reason"), [("kill", "worker", "oom"), ("raise", "test_local", "ZeroDivisionError")]
)
def test_a_deadly_document_fails_alone(tmp_path: Path, how: str, stage: str, reason: str) -> None:
    failed = _run(tmp_path, "Deadly", how)
    assert [(row["stage"], row["reason"]) for row in failed] == [(stage, reason)]
    assert failed[0]["url"] == "https://example.jp/33"
    story = explain(tmp_path / "out", "https://example.jp/33")[0]
    assert story["state"] == "failed"
    assert story["detail"]


def test_a_stage_that_refuses_the_warming_up_text_stops_nothing(tmp_path: Path) -> None:
    folder = write_corpus(tmp_path / "in")
    stages = [{"use": "tests.jacorpus.engine.test_local:Deadly", "needle": "Python 3.11", "how": "raise"}]
    source = {"use": "sources.jsonl", "domain": "web", "paths": [str(folder / "*.jsonl")]}
    recipe = recipe_from_tables({"source": [source], "stage": stages}, folder, "deadly")
    assert run_recipe(recipe, tmp_path / "out", Local(2))["counts"]["kept"] == 70


def test_memory_of_one_document_is_its_own_fault(tmp_path: Path) -> None:
    assert [row["reason"] for row in _run(tmp_path, "Deadly", "memory")] == ["oom"]


def test_a_hanging_document_is_ended(tmp_path: Path) -> None:
    failed = _run(tmp_path, "Deadly", "hang", Local(1, hang_s=2.0, silent_s=4.0))
    assert [(row["stage"], row["reason"]) for row in failed] == [("worker", "timeout")]


def test_a_worker_killed_from_outside_costs_nothing(tmp_path: Path) -> None:
    assert _run(tmp_path, "DeadlyOnce", str(tmp_path / "once")) == []
