"""The progress of a training run: a bar on a terminal, a line every 30 seconds elsewhere, on standard error."""

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from cli import console

RECENT = 50
"""Steps whose pace tells the remaining time."""


class TrainingBar:
    """Shows how far training has come, from the rows of its log (trainer/log.py).

    total_steps: of the plan; a resumed run starts in the middle. quiet: show nothing.
    """

    def __init__(self, total_steps: int, quiet: bool = False) -> None:
        self.total, self.quiet, self.name = total_steps, quiet, "train"
        self.bar: Progress | None = None
        self._task: TaskID | None = None
        self._row: dict[str, Any] = {}
        self._said = self._row
        self._paces: deque[tuple[int, float]] = deque(maxlen=RECENT)
        self._last = time.monotonic()

    def __enter__(self) -> "TrainingBar":
        if not self.quiet and console.notes.is_terminal:
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(20),
                TextColumn("{task.fields[line]}", markup=False),
                console=console.notes,
            )
            self._task = self.bar.add_task("train", total=self.total, line="")
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()
        elif not self.quiet and self._row is not self._said:
            console.notes.print(self.line())

    def begin(self, name: str, total_steps: int) -> None:
        """Another run, or the next stage of one: the bar starts anew."""
        self.total, self.name = total_steps, name
        self._row = self._said = {}
        self._paces.clear()
        if self.bar and self._task is not None:
            self.bar.reset(self._task, total=total_steps, description=name, line="")

    def update(self, row: Mapping[str, Any]) -> None:
        """A step was made. Keys that are absent or None are left out."""
        if self._row and row["step"] <= self._row["step"]:  # a rewind
            self._paces.clear()
        self._row = dict(row)
        self._paces.append((int(row["step"]) + 1, time.monotonic()))
        if self.bar and self._task is not None:
            self.bar.update(self._task, completed=row["step"] + 1, line=self.line())
        elif not self.quiet and time.monotonic() - self._last > console.LINE_EVERY_S:
            self._last, self._said = time.monotonic(), self._row
            console.notes.print(self.line())

    def say(self, line: str) -> None:
        """One line for people, above the bar."""
        if not self.quiet:
            console.notes.print(line)

    def line(self) -> str:
        """``step 1,200/6,000  39.3M tokens  loss 3.102  1.221 bits/byte  61,400 tok/s  1:02:07 left``."""
        row = self._row
        name = "" if self.name == "train" else f"{self.name}: "
        parts = [f"{name}step {row['step'] + 1:,}/{self.total:,}"]
        for key, form in (
            ("tokens", lambda n: f"{_short(n)} tokens"),
            ("loss", "loss {:.3f}".format),
            ("bits_per_byte", "{:.3f} bits/byte".format),
            ("tokens_per_s", "{:,.0f} tok/s".format),
        ):
            if row.get(key) is not None:
                parts.append(form(row[key]))
        left = self.remaining_s()
        return "  ".join([*parts, *([f"{_clock(left)} left"] if left is not None else [])])

    def remaining_s(self) -> float | None:
        """Seconds until the last step at the pace of the recent ones; None before there are two."""
        if len(self._paces) < 2:
            return None
        (first, start), (last, end) = self._paces[0], self._paces[-1]
        return (self.total - last) * (end - start) / (last - first)


def _short(number: float) -> str:
    """
    >>> _short(999), _short(39_321_600), _short(1.5e12)
    ('999', '39.3M', '1,500B')
    """
    for letter, unit in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= unit:
            scaled = number / unit
            return f"{scaled:,.0f}{letter}" if scaled >= 100 else f"{scaled:.3g}{letter}"
    return f"{number:,.0f}"


def _clock(seconds: float) -> str:
    """
    >>> _clock(59.6), _clock(3725), _clock(90_000)
    ('1:00', '1:02:05', '25:00:00')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
