"""Which document a worker is on, so that the coordinator can name it when the worker dies or hangs.

A stage that spends real time on one document (extraction, a model) calls ``mark`` before it. Outside a
worker this does nothing.
"""

import struct
import time

_SLOT = struct.Struct("<16sd")
SLOT_BYTES = _SLOT.size
_NONE = bytes(16)

_slot: memoryview | None = None


def attach(slot: memoryview | None) -> None:
    """Write marks into this shared buffer of SLOT_BYTES bytes."""
    global _slot
    _slot = slot


def mark(document_id: bytes) -> None:
    """Say that work on this document starts now."""
    if _slot is not None:
        _SLOT.pack_into(_slot, 0, document_id, time.monotonic())


def clear() -> None:
    """Say that no single document is being worked on."""
    if _slot is not None:
        _SLOT.pack_into(_slot, 0, _NONE, 0.0)


def read(slot: memoryview) -> tuple[bytes | None, float]:
    """(document id or None, monotonic time of the mark) out of a worker's slot."""
    document_id, since = _SLOT.unpack_from(slot, 0)
    return (None if document_id == _NONE else document_id), since
