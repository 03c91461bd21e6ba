"""The same tasks on a Ray cluster (extra ``ray``). The output folder must be on storage all nodes see.

Joins the cluster of RAY_ADDRESS (or the one running on this machine), else starts one of its own. Bytes are
equal to the local engine's: tasks are pure and the run orders their results.
"""

import logging
import mmap
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jacorpus import inflight
from jacorpus.engine.deaths import Deaths
from jacorpus.errors import JacorpusError, TaskError
from jacorpus.store import Store
from jacorpus.tasks import Attempt, Task, execute

Event = Callable[[str, Task, int], None]


def _flight_file(store: Store, key: str) -> Path:
    return store.root / "inflight" / key


def _remote(attempt: Attempt, store: Store) -> dict[str, Any]:
    """Runs on a node: the task, with its document in flight marked in a file the driver can read."""
    import pyarrow as pa

    pa.set_cpu_count(1)
    path = _flight_file(store, attempt.task.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(inflight.SLOT_BYTES))
    with open(path, "r+b") as stream, mmap.mmap(stream.fileno(), inflight.SLOT_BYTES) as slot:
        view = memoryview(slot)
        inflight.attach(view)
        try:
            return execute(attempt, store, lambda number: None)
        finally:
            inflight.attach(None)
            view.release()


class Ray:
    """A Ray cluster as an engine. workers: tasks under way at once; a task takes one processor."""

    name = "ray"

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._own = False

    def _connect(self) -> Any:
        try:
            import ray
        except ImportError as error:
            raise JacorpusError("--engine ray needs Ray: pip install 'jacorpus[ray]'") from error
        if not ray.is_initialized():
            address = os.environ.get("RAY_ADDRESS")
            own: dict[str, Any] = {"num_cpus": self.workers, "include_dashboard": False}
            where: dict[str, Any] = {"address": address} if address else own
            ray.init(log_to_driver=False, logging_level=logging.WARNING, **where)
            self._own = True
        return ray

    def run(self, tasks: Sequence[Task], store: Store, on_event: Event) -> dict[str, dict[str, Any]]:
        """Results by key; a node or worker that dies costs a retry, as on the local engine."""
        if not tasks:
            return {}
        ray = self._connect()
        submit = ray.remote(num_cpus=1, max_retries=0)(_remote)
        deaths = Deaths(store, on_event)
        queue = [Attempt(task, excluded=store.outcomes(task.key)) for task in reversed(tasks)]
        running: dict[Any, Attempt] = {}
        found: dict[str, dict[str, Any]] = {}
        try:
            while queue or running:
                while queue and len(running) < self.workers:
                    attempt = queue.pop()
                    running[submit.remote(attempt, store)] = attempt
                ready, _ = ray.wait(list(running), num_returns=1)
                attempt = running.pop(ready[0])
                again = self._result(ray, ready[0], attempt, store, deaths, found)
                if again:
                    queue.append(again)
                else:
                    on_event("done", attempt.task, attempt.task.size)
        finally:
            for reference in running:
                ray.cancel(reference, force=True)
        return found

    def _result(
        self, ray: Any, reference: Any, attempt: Attempt, store: Store, deaths: Deaths, found: dict[str, Any]
    ) -> Attempt | None:
        """Take a result, or say how to go on after a death."""
        try:
            found[attempt.task.key] = ray.get(reference)
            return None
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.NodeDiedError):
            path = _flight_file(store, attempt.task.key)
            slot = memoryview(path.read_bytes()) if path.exists() else memoryview(bytes(inflight.SLOT_BYTES))
            return deaths.next_attempt(attempt, inflight.read(slot)[0], "oom")
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, JacorpusError):
                raise cause from None
            raise TaskError(f"task {attempt.task.name} failed: {error}") from error

    def close(self) -> None:
        """Leave the cluster; one of our own ends."""
        if self._own:
            import ray

            ray.shutdown()
            self._own = False
