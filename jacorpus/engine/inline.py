"""Tasks in this process, one after another: for debugging and small inputs. A document that kills it kills the run."""

from collections.abc import Callable, Sequence
from typing import Any

from jacorpus.store import Store
from jacorpus.tasks import Attempt, Task, execute


class Inline:
    """No processes, no retries."""

    name = "inline"
    workers = 1

    def run(self, tasks: Sequence[Task], store: Store, on_event: Callable[[str, Task, int], None]) -> dict[str, Any]:
        """Results by key."""
        found = {}
        for task in tasks:
            attempt = Attempt(task, excluded=store.outcomes(task.key))

            def progress(number: int, task: Task = task) -> None:
                on_event("progress", task, number)

            found[task.key] = execute(attempt, store, progress)
            on_event("done", task, task.size)
        return found

    def close(self) -> None:
        """Nothing to give back."""
