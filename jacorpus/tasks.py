"""A task: a pure function of what its key covers. Engines run tasks; they know nothing of what they do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jacorpus.store import Store

Fate = tuple[str, str, str]


@dataclass(frozen=True)
class Task:
    """kind: phase it belongs to. key: its content key. payload: an object with the inputs (picklable).

    name: for people. size: input bytes, for progress.
    """

    kind: str
    key: str
    payload: Any
    name: str
    size: int = 0


@runtime_checkable
class Runs(Protocol):
    """A payload that brings its own work, so that packages above this one have tasks too."""

    def run(self, folder: Path, progress: Callable[[int], None]) -> dict[str, Any]:
        """Write parts into ``folder``; returns {"parts": {name: {"bytes", ...}}, ...}. progress: input bytes done."""
        ...


@dataclass(frozen=True)
class Attempt:
    """How a worker is to run a task. careful: document by document. excluded: documents to fail untried."""

    task: Task
    careful: bool = False
    excluded: dict[bytes, Fate] = field(default_factory=dict)


class Engine(Protocol):
    """Runs a list of tasks, in any order and anywhere; each finished one is recorded in the store."""

    name: str
    workers: int

    def run(self, tasks: Sequence[Task], store: Store, on_event: Callable[[str, Task, int], None]) -> dict[str, dict]:
        """Results by key. on_event(kind, task, bytes): ``progress``, ``done``, ``retry`` or ``failed_document``."""
        ...

    def close(self) -> None:
        """Give back what the engine holds; it starts again when used again."""
        ...


def execute(attempt: Attempt, store: Store, progress: Callable[[int], None]) -> dict[str, Any]:
    """Run one attempt into the store and return the task's result."""
    from jacorpus import cluster, measure, write

    task = attempt.task
    if task.kind == "compile":
        measure.compile_step(task.payload)
        return {}
    with store.writing(task.key) as folder:
        if task.kind == "measure":
            payload = replace(task.payload, excluded=attempt.excluded)
            result = measure.measure(payload, folder, progress, attempt.careful)
        elif task.kind == "join":
            result = cluster.join(task.payload, folder)
        elif task.kind == "signals":
            result = write.write_signals(task.payload, folder)
        elif task.kind == "audit":
            result = write.write_audit(task.payload, folder)
        elif task.kind == "write":
            result = write.write_shard(task.payload, folder)
        elif isinstance(task.payload, Runs):
            result = task.payload.run(folder, progress)
        else:
            raise ValueError(f"unknown task kind {task.kind}")
    return store.finish(task.key, result)


def pending(tasks: Sequence[Task], store: Store) -> tuple[list[Task], dict[str, dict[str, Any]]]:
    """(tasks still to run, results of those already done)."""
    left, results = [], {}
    for task in tasks:
        known = store.done(task.key)
        if known is None:
            left.append(task)
        else:
            results[task.key] = known
    return left, results
