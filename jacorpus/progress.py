"""How a run tells of its progress."""

from typing import Protocol

from jacorpus.tasks import Task


class Watcher(Protocol):
    """Hears of progress; the command line draws it."""

    def phase(self, kind: str, tasks: int, reused: int, total_bytes: int) -> None:
        """A phase begins."""
        ...

    def event(self, kind: str, task: Task, number: int) -> None:
        """``progress`` (bytes read), ``done`` (task's bytes), ``retry``, ``failed_document``."""
        ...

    def say(self, line: str) -> None:
        """One line for people: estimates, curves, warnings."""
        ...


class Silent:
    """A watcher that shows nothing."""

    def phase(self, kind: str, tasks: int, reused: int, total_bytes: int) -> None:
        pass

    def event(self, kind: str, task: Task, number: int) -> None:
        pass

    def say(self, line: str) -> None:
        pass
