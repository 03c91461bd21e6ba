"""Drawing on the terminal: the progress of a run, tables of results, and the switch to JSON.

Results go to standard output, all else to standard error. On a terminal there is a bar; elsewhere a line
every 30 seconds.
"""

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

LINE_EVERY_S = 30.0

# No markup and no emoji: what is printed are URLs, file names and text, which may well hold [/b] or :x:.
result = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
notes = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


def print_json(value: Any) -> None:
    """A result for programs."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def print_table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[Any]], left: int = 1, whole: Sequence[str] = ()
) -> None:
    """A result for people. left: how many leading columns are names; the rest are numbers. whole: never folded."""
    if not rows:
        result.print(f"{title}: none" if title else "none")
        return
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False)
    for i, name in enumerate(header):
        table.add_column(name, justify="left" if i < left else "right", overflow="fold", no_wrap=name in whole)
    for row in rows:
        table.add_row(*(shown(cell) for cell in row))
    result.print(table)


def shown(value: Any) -> str:
    """A cell: numbers with separators, None as a dash."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}"
    return str(value)


def size(number: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


class _Amount(ProgressColumn):
    """Bytes done of all, how fast, and how long it still takes; nothing in a phase that counts tasks alone."""

    def render(self, task: Task) -> Text:
        if not task.fields["bytes"]:
            return Text("")
        line = size(task.completed) + (f"/{size(task.total)}" if task.total else "")
        if task.speed and not task.finished:
            line += f" {size(task.speed)}/s"
            if task.time_remaining is not None:
                line += f" {int(task.time_remaining) // 60}:{int(task.time_remaining) % 60:02}"
        return Text(line, style="dim")


def _tasks(number: int) -> str:
    return f"{number} task" if number == 1 else f"{number} tasks"


class RunWatcher:
    """Shows a run: one bar a phase on a terminal, a line every 30 s elsewhere."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.bar: Progress | None = None
        self.task: TaskID | None = None
        self._kind, self._done, self._total, self._bytes, self._last = "", 0, 0, 0, time.monotonic()
        self._by_task: dict[str, int] = {}
        self._counts_bytes = False

    def __enter__(self) -> "RunWatcher":
        if not self.quiet and notes.is_terminal:
            self.bar = Progress(
                TextColumn("{task.description:<18}"),
                BarColumn(),
                TextColumn("{task.fields[tasks]}"),
                _Amount(),
                console=notes,
            )
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def phase(self, kind: str, tasks: int, reused: int, total_bytes: int) -> None:
        """A phase begins; reused tasks were found done."""
        self._kind, self._done, self._total, self._bytes = kind, reused, tasks, 0
        self._by_task = {}
        if self.bar:
            self._counts_bytes = total_bytes > 0
            self.task = self.bar.add_task(
                kind, total=total_bytes or tasks, tasks=f"{reused}/{tasks}", bytes=self._counts_bytes
            )
            self._draw()
        elif not self.quiet and tasks > reused:
            notes.print(f"{kind}: {_tasks(tasks)}" + (f", {reused} already done" if reused else ""))

    def event(self, kind: str, task: Any, number: int) -> None:
        """Progress of one task."""
        if kind == "progress":
            self._add(task.key, number, task.size)
        elif kind == "done":
            self._add(task.key, task.size, task.size)
            self._done += 1
        elif not self.quiet:
            what = {"retry": "its worker died; trying again", "failed_document": "one document was failed"}[kind]
            notes.print(f"{task.name}: {what}")
        if self.bar and self.task is not None:
            self._draw()
        elif not self.quiet and time.monotonic() - self._last > LINE_EVERY_S:
            self._last = time.monotonic()
            notes.print(f"{self._kind}: {self._done}/{self._total} tasks, {size(self._bytes)} read")

    def finish(self) -> None:
        """The phase that began last is over."""
        self._done = self._total
        self._draw()

    def _draw(self) -> None:
        if self.bar and self.task is not None:
            completed = self._bytes if self._counts_bytes else self._done
            self.bar.update(self.task, completed=completed, tasks=f"{self._done}/{self._total}")

    def _add(self, key: str, number: int, most: int) -> None:
        """Count bytes of a task, never more than it has."""
        before = self._by_task.get(key, 0)
        after = min(before + number, most)
        self._by_task[key] = after
        self._bytes += after - before

    def say(self, line: str) -> None:
        """One line for people."""
        if not self.quiet:
            notes.print(line)


class Meter:
    """Progress of one long step that counts bytes or other units: a bar on a terminal, a line every 30 s elsewhere.

    total: None where it is not known before. bytes: False counts plain numbers.
    """

    def __init__(self, title: str, total: int | None = None, quiet: bool = False, bytes: bool = True) -> None:
        self.title, self.total, self.quiet, self.bytes = title, total, quiet, bytes
        self.done, self._last = 0, time.monotonic()
        self.bar: Progress | None = None

    def __enter__(self) -> "Meter":
        if not self.quiet and notes.is_terminal:
            self.bar = Progress(TextColumn("{task.description:<18}"), BarColumn(), _Amount(), console=notes)
            self.task = self.bar.add_task(self.title, total=self.total, bytes=self.bytes)
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def step(self, title: str, total: int | None = None) -> None:
        """The next step begins."""
        self.title, self.total, self.done = title, total, 0
        if self.bar:
            self.bar.reset(self.task, description=title, total=total)
        elif not self.quiet:
            notes.print(title)

    def add(self, number: int) -> None:
        """Count what was done."""
        self.done += number
        if self.bar:
            self.bar.update(self.task, completed=self.done)
        elif not self.quiet and time.monotonic() - self._last > LINE_EVERY_S:
            self._last = time.monotonic()
            notes.print(f"{self.title}: {size(self.done) if self.bytes else f'{self.done:,}'}")
