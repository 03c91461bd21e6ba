"""Files that are written and read once, past the system's page cache (Linux, O_DIRECT).

The shuffle moves every token three times through files that nobody reads again soon. In the page cache they would
push out what is worth keeping, and each of their pages would first have to be found, which costs more than the copy.
Where the file system has no such mode (tmpfs, some network ones) the same calls go through the cache.
"""

import errno
import fcntl
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np

PAGE = 4096
_ROOM_BYTES = 2 << 20
_DIRECT: int = getattr(os, "O_DIRECT", 0)


class Room:
    """Memory that starts at a page's edge and is kept from use to use; it grows as it must."""

    def __init__(self, size: int = 0) -> None:
        self._bytes = np.empty(0, np.uint8)
        self.take(size)

    def take(self, size: int) -> np.ndarray:
        """uint8 [size]; what was taken before is given up."""
        if len(self._bytes) < size:
            self._bytes = np.frombuffer(mmap.mmap(-1, -(-size // PAGE) * PAGE), np.uint8)
        return self._bytes[:size]


class DirectFile:
    """A file to write from start to end. ``bytes`` and ``xxh3`` (128 bits, hex) of what was written."""

    def __init__(self, path: Path) -> None:
        self._file = _opened(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self._room = Room(_ROOM_BYTES).take(_ROOM_BYTES)
        self._filled = 0
        import xxhash  # here: who only reads shards, as a trainer does, does without it

        self._digest = xxhash.xxh3_128()
        self.bytes = 0
        self.closed = False

    def __enter__(self) -> "DirectFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, data: Any) -> int:
        """Take any buffer."""
        if not memoryview(data).nbytes:
            return 0
        source = np.frombuffer(data, np.uint8)
        self._digest.update(source.data)
        first = 0
        while first < len(source):
            count = min(len(source) - first, _ROOM_BYTES - self._filled)
            self._room[self._filled : self._filled + count] = source[first : first + count]
            self._filled += count
            first += count
            if self._filled == _ROOM_BYTES:
                self._empty()
        self.bytes += len(source)
        return len(source)

    def flush(self) -> None:
        """Only whole rooms are written before the end."""

    def close(self) -> None:
        """Write the rest, which need not be whole pages, through the cache."""
        if self.closed:
            return
        self.closed = True
        try:
            if self._filled:
                _through_the_cache(self._file)
                self._empty()
        finally:
            os.close(self._file)

    def _empty(self) -> None:
        left = self._room.data[: self._filled]
        while len(left):
            try:
                left = left[os.write(self._file, left) :]
            except OSError as error:
                if error.errno != errno.EINVAL or not _through_the_cache(self._file):
                    raise
        self._filled = 0

    @property
    def xxh3(self) -> str:
        return self._digest.hexdigest()


def read_direct(path: Path, start: int, stop: int, into: np.ndarray) -> np.ndarray:
    """uint8 [stop - start]: bytes [start, stop) of a file, a view of ``into``.

    into: uint8 at a page's edge, with ``span(start, stop)`` bytes. Raises OSError where the file is shorter.
    """
    first, size = start // PAGE * PAGE, span(start, stop)
    file, have = _opened(path, os.O_RDONLY), 0
    try:
        while have < stop - first:
            try:
                count = os.preadv(file, [into.data[have:size]], first + have)
            except OSError as error:
                if error.errno != errno.EINVAL or not _through_the_cache(file):
                    raise
                continue
            if not count:
                raise OSError(errno.EIO, f"{path} ends before byte {stop}")
            have += count
    finally:
        os.close(file)
    return into[start - first : stop - first]


def span(start: int, stop: int) -> int:
    """Bytes of the whole pages that hold bytes [start, stop)."""
    return -(-stop // PAGE) * PAGE - start // PAGE * PAGE


def _opened(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | _DIRECT, 0o666)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.open(path, flags, 0o666)


def _through_the_cache(file: int) -> bool:
    """Leave the direct mode; False where the file was not in it."""
    flags = fcntl.fcntl(file, fcntl.F_GETFL)
    fcntl.fcntl(file, fcntl.F_SETFL, flags & ~_DIRECT)
    return bool(flags & _DIRECT)
