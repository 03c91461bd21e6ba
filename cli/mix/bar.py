"""Progress of work whose steps are named: a bar on a terminal, a line every 30 seconds elsewhere."""

import time

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from cli import console


class NamedBar:
    """Hears (what is done, how much, of how much) and shows the newest. quiet: show nothing."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.bar: Progress | None = None
        self._task: TaskID | None = None
        self._what, self._last = "", time.monotonic()

    def __enter__(self) -> "NamedBar":
        if not self.quiet and console.notes.is_terminal:
            self.bar = Progress(
                TextColumn("{task.description:<30}", markup=False),
                BarColumn(),
                TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
                TimeRemainingColumn(),
                console=console.notes,
                transient=True,
            )
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def __call__(self, what: str, done: int, whole: int) -> None:
        """Show it. A new name starts a new bar in the old one's place."""
        if self.bar:
            if what != self._what:
                if self._task is not None:
                    self.bar.remove_task(self._task)
                self._task = self.bar.add_task(what, total=whole)
            assert self._task is not None
            self.bar.update(self._task, completed=done, total=whole)
        elif not self.quiet and time.monotonic() - self._last > console.LINE_EVERY_S:
            self._last = time.monotonic()
            console.notes.print(f"{what}: {done:,} of {whole:,}")
        self._what = what
