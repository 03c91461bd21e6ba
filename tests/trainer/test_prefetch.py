"""Batches made ahead: in order, no more than asked for, errors in their turn, no thread left behind."""

import threading
import time

import pytest

from jacorpus.errors import InputError
from trainer.prefetch import Prefetch


def test_batches_come_in_order():
    with Prefetch(lambda step: step * 10, range(4, 12)) as ahead:
        assert list(ahead) == [step * 10 for step in range(4, 12)]


def test_at_most_two_are_made_ahead():
    made: list[int] = []
    with Prefetch(lambda step: made.append(step) or step, range(100), depth=2) as ahead:
        first = next(iter(ahead))
        time.sleep(0.2)
        assert first == 0
        assert made == [0, 1, 2, 3]  # one given, two ready, one in hand


def test_what_goes_wrong_ahead_is_raised_in_its_turn():
    def make(step: int) -> int:
        if step == 3:
            raise InputError("the shard is gone")
        return step

    found: list[int] = []
    with Prefetch(make, range(9)) as ahead, pytest.raises(InputError, match="gone"):
        found.extend(ahead)
    assert found == [0, 1, 2]


def test_no_thread_is_left():
    before = threading.active_count()
    for stop_at in (0, 1, 50):
        ahead = Prefetch(lambda step: step, range(50))
        for step in ahead:
            if step >= stop_at:
                break
        ahead.close()
        assert list(ahead) == []
    assert threading.active_count() == before


def test_pinning_is_asked_of_the_batch():
    class Batch:
        def pinned(self) -> str:
            return "pinned"

    with Prefetch(lambda step: Batch(), range(2), pin=True) as ahead:
        assert list(ahead) == ["pinned", "pinned"]
