"""Tasks on this machine's processes. A worker that dies or hangs is noticed; the rest goes on.

What becomes of its task: jacorpus/engine/deaths.py.
"""

import ctypes
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from jacorpus import inflight
from jacorpus.engine.deaths import Deaths
from jacorpus.errors import InputError, JacorpusError, TaskError
from jacorpus.store import Store
from jacorpus.tasks import Attempt, Task, execute

HANG_S = 120.0
"""Wall seconds on one document before its worker is killed; stages with limits of their own end it sooner."""
SILENT_S = 600.0
"""Wall seconds without a finished batch before a measure task's worker is killed and goes document by document."""

Event = Callable[[str, Task, int], None]


class _Worker:
    """One process, the pipe to it, and what it is on."""

    def __init__(self, context: Any) -> None:
        self.slot = context.RawArray("c", inflight.SLOT_BYTES)
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self.slot, os.getpid()), daemon=True)
        self.process.start()
        theirs.close()
        self.attempt: Attempt | None = None
        self.heard = time.monotonic()

    def give(self, store: Store, attempt: Attempt) -> None:
        self.attempt = attempt
        self.heard = float("inf")
        inflight.attach(memoryview(self.slot).cast("B"))
        inflight.clear()
        inflight.attach(None)
        self.pipe.send((store, attempt))

    def flight(self) -> tuple[bytes | None, float]:
        return inflight.read(memoryview(self.slot).cast("B"))

    def end(self) -> None:
        self.pipe.close()
        if self.process.is_alive():
            self.process.kill()
        self.process.join()


def _serve(pipe: Connection, slot: Any, parent: int) -> None:
    """A worker's life: take an attempt, run it, answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's to handle
    _die_with_parent(parent)
    _one_thread()
    inflight.attach(memoryview(slot).cast("B"))
    last = 0.0
    waiting = 0

    def progress(number: int) -> None:
        nonlocal last, waiting
        waiting += number
        if time.monotonic() - last > 0.2:
            pipe.send(("progress", waiting))
            last, waiting = time.monotonic(), 0

    while True:
        try:
            store, attempt = pipe.recv()
        except (EOFError, OSError):
            return
        except Exception as error:  # a stage of the user's own that this process can't import
            pipe.send(("broken", f"{type(error).__name__}: {error}"))
            continue
        waiting = 0
        pipe.send(("progress", 0))  # silence is counted from here, not from the start of the process
        answer: tuple[str, Any]
        try:
            answer = ("done", execute(attempt, store, progress))
        except JacorpusError as error:
            answer = ("error", error)
        except OSError as error:
            where = error.filename or attempt.task.name
            answer = ("error", InputError(f"{where} can't be read: {error.strerror or error}"))
        except Exception as error:
            import traceback

            answer = ("broken", f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
        inflight.clear()
        pipe.send(answer)


def _die_with_parent(parent: int) -> None:
    """No orphan goes on computing when the coordinator is killed (Linux; elsewhere it stops at its next task)."""
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    except (OSError, AttributeError):
        return
    if os.getppid() != parent:
        os._exit(1)


def _one_thread() -> None:
    """Parallelism is by process; libraries that start threads of their own would only fight over cores."""
    import pyarrow as pa

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


class Local:
    """A pool of processes on this machine, kept from phase to phase; ``close`` ends it."""

    name = "local"

    def __init__(self, workers: int, hang_s: float = HANG_S, silent_s: float = SILENT_S) -> None:
        self.workers = workers
        self.hang_s = hang_s
        self.silent_s = silent_s
        self.pool: list[_Worker] = []

    def run(self, tasks: Sequence[Task], store: Store, on_event: Event) -> dict[str, dict[str, Any]]:
        """Results by key; each finished task is recorded in the store before it counts."""
        if not tasks:
            return {}
        try:
            return _Run(self, tasks, store, on_event).results()
        except BaseException:
            self.close()  # other workers are in the middle of tasks nobody waits for
            raise

    def close(self) -> None:
        """End all workers."""
        for worker in self.pool:
            worker.end()
        self.pool = []


class _Run:
    """One list of tasks under way."""

    def __init__(self, engine: Local, tasks: Sequence[Task], store: Store, on_event: Event) -> None:
        for name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
            os.environ.setdefault(name, "1")
        self.context = multiprocessing.get_context("spawn")
        self.engine = engine
        self.store = store
        self.on_event = on_event
        self.queue = [Attempt(task, excluded=store.outcomes(task.key)) for task in reversed(tasks)]
        self.found: dict[str, dict[str, Any]] = {}
        self.deaths = Deaths(store, on_event)
        self.workers = engine.pool

    def results(self) -> dict[str, dict[str, Any]]:
        for worker in [w for w in self.workers if not w.process.is_alive()]:
            worker.end()
            self.workers.remove(worker)
        wanted = min(self.engine.workers, len(self.queue))
        for worker in self.workers[:wanted]:
            worker.give(self.store, self.queue.pop())
        while len(self.workers) < wanted:
            self._start()
        while any(worker.attempt for worker in self.workers):
            self._step()
        return self.found

    def _start(self) -> None:
        if self.queue:
            worker = _Worker(self.context)
            self.workers.append(worker)
            worker.give(self.store, self.queue.pop())

    def _step(self) -> None:
        busy = {worker.pipe: worker for worker in self.workers if worker.attempt}
        for ready in wait(list(busy), timeout=1.0):
            worker = busy[ready]  # type: ignore[index]
            try:
                kind, value = worker.pipe.recv()
            except (EOFError, OSError):
                self._bury(worker, None)
                continue
            self._hear(worker, kind, value)
        now = time.monotonic()
        for worker in list(self.workers):
            identity, since = worker.flight()
            measuring = worker.attempt is not None and worker.attempt.task.kind == "measure"
            hung = identity is not None and now - since > self.engine.hang_s
            silent = identity is None and now - worker.heard > self.engine.silent_s
            if measuring and (hung or silent):
                worker.process.kill()
                self._bury(worker, "timeout")

    def _hear(self, worker: _Worker, kind: str, value: Any) -> None:
        attempt = worker.attempt
        assert attempt is not None
        worker.heard = time.monotonic()
        if kind == "progress":
            self.on_event("progress", attempt.task, value)
            return
        worker.attempt = None
        if kind == "error":
            raise value
        if kind == "broken":
            raise TaskError(f"task {attempt.task.name} failed: {value}")
        self.found[attempt.task.key] = value
        self.on_event("done", attempt.task, attempt.task.size)
        if self.queue:
            worker.give(self.store, self.queue.pop())

    def _bury(self, worker: _Worker, reason: str | None) -> None:
        """A worker is gone: decide what becomes of its task, and start another."""
        identity, _ = worker.flight()
        worker.process.join(timeout=5)
        reason = reason or ("oom" if worker.process.exitcode == -signal.SIGKILL else "crash")
        attempt = worker.attempt
        assert attempt is not None
        self.workers.remove(worker)
        worker.end()
        self.queue.append(self.deaths.next_attempt(attempt, identity, reason))
        self._start()
