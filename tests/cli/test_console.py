"""What is drawn for people: tables and the bar of a run."""

from types import SimpleNamespace

import pytest
from rich.console import Console

from cli import console


def test_a_table_keeps_ids_whole_and_says_where_it_is_empty(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "result", Console(width=60, highlight=False, markup=False))
    long = "dropped profile a-reason-of-many-words-that-does-not-fit"
    console.print_table("", ("from", "to", "such as"), [(long, long, "0123456789abcdef" * 2)], 2, whole=("such as",))
    console.print_table("Why", ("state", "records"), [])
    printed = capsys.readouterr().out
    assert "0123456789abcdef" * 2 in printed
    assert "Why: none" in printed


def test_the_bar_counts_bytes_where_there_are_and_else_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Console(width=80, record=True, force_terminal=True, stderr=True, highlight=False)
    monkeypatch.setattr(console, "notes", screen)
    with console.RunWatcher() as watcher:
        watcher.phase("measure", 2, 0, 3000)
        for size in (1000, 2000):
            watcher.event("done", SimpleNamespace(key=str(size), size=size, name=""), 0)
        watcher.phase("report", 1, 0, 0)
        watcher.finish()
        assert watcher.bar is not None
        drawn = [(task.description, task.percentage, task.fields["tasks"]) for task in watcher.bar.tasks]
    assert drawn == [("measure", 100.0, "2/2"), ("report", 100.0, "1/1")]
    lines = screen.export_text()
    assert "3.0 kB/3.0 kB" in lines
    assert "0/1 bytes" not in lines


def test_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(console, "notes", Console(width=40, soft_wrap=True, highlight=False, markup=False))
    with console.RunWatcher() as watcher:
        watcher.phase("measure", 1, 0, 10)
        watcher.say("minhash: " + "a long line about the join " * 4)
    assert capsys.readouterr().out.splitlines()[0] == "measure: 1 task"
