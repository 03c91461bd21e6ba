"""What becomes of a task whose worker died, the same for every engine.

The task runs again, document by document. A document that was in flight at two deaths is failed (``oom`` for
a kill, ``crash`` for a signal of its own, ``timeout`` for a hang) and left out; the rest of its task is
finished. A task that dies MAX_DEATHS times with no document to blame is an error.
"""

from collections import Counter
from collections.abc import Callable

from jacorpus.errors import TaskError
from jacorpus.store import Store
from jacorpus.tasks import Attempt, Fate, Task

MAX_DEATHS = 6

_SENTENCES = {
    "timeout": "its worker hung on this document twice and was ended",
    "oom": "its worker was killed on this document twice (out of memory?)",
    "crash": "its worker crashed on this document twice",
}


class Deaths:
    """Counts deaths by task and by document in flight."""

    def __init__(self, store: Store, on_event: Callable[[str, Task, int], None]) -> None:
        self._store = store
        self._on_event = on_event
        self._tasks: Counter[str] = Counter()
        self._documents: Counter[bytes] = Counter()

    def next_attempt(self, attempt: Attempt, in_flight: bytes | None, reason: str) -> Attempt:
        """How to go on after a death. Raises TaskError when the task can't."""
        task, excluded = attempt.task, dict(attempt.excluded)
        self._tasks[task.key] += 1
        if in_flight:
            self._documents[in_flight] += 1
        if in_flight and self._documents[in_flight] >= 2:
            fate: Fate = ("worker", reason, _SENTENCES[reason])
            excluded[in_flight] = fate
            self._store.add_outcome(task.key, in_flight, fate)
            self._tasks[task.key] = 1
            self._on_event("failed_document", task, 0)
        elif self._tasks[task.key] >= MAX_DEATHS:
            raise TaskError(
                f"task {task.name} lost its worker {MAX_DEATHS} times ({reason}) with no document to blame; "
                "is there enough memory? Try fewer --workers"
            )
        else:
            self._on_event("retry", task, 0)
        return Attempt(task, careful=True, excluded=excluded)
