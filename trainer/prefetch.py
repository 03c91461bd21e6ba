"""The next batches, made by one background thread while the model computes."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.batch import TokenBatch

POLL_S = 0.05


class Prefetch:
    """Iterates over ``make(step)`` for each step, up to ``depth`` batches ahead.

    pin: into page-locked memory, from which a copy to a GPU does not wait. What ``make`` raises is raised where the
    batch would have come. Leaving the ``with`` block, or ``close``, ends the thread; so does the last batch.
    """

    def __init__(
        self, make: "Callable[[int], TokenBatch]", steps: Iterable[int], depth: int = 2, pin: bool = False
    ) -> None:
        self._make, self._steps, self._pin = make, steps, pin
        self._ready: queue.Queue[TokenBatch | BaseException | None] = queue.Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> "Iterator[TokenBatch]":
        while not self._stop.is_set():
            found = self._ready.get()
            if found is None or isinstance(found, BaseException):
                self.close()
                if found is not None:
                    raise found
                return
            yield found

    def close(self) -> None:
        """Stop and wait for the thread; batches made ahead are dropped."""
        self._stop.set()
        self._thread.join()

    def __enter__(self) -> "Prefetch":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _work(self) -> None:
        try:
            for step in self._steps:
                batch = self._make(step)
                if not self._put(batch.pinned() if self._pin else batch):
                    return
            self._put(None)
        except BaseException as error:  # whatever it is belongs to the consumer
            self._put(error)

    def _put(self, item: "TokenBatch | BaseException | None") -> bool:
        """Wait for room; False where the consumer has left."""
        while not self._stop.is_set():
            try:
                self._ready.put(item, timeout=POLL_S)
                return True
            except queue.Full:
                continue
        return False
