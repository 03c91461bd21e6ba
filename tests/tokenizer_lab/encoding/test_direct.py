"""direct: the same bytes as through the page cache, in any pieces, on file systems with and without the mode."""

import os
from pathlib import Path

import numpy as np
import pytest

from jacorpus.keys import file_digest
from tokenizer_lab.encoding import direct
from tokenizer_lab.encoding.direct import DirectFile, Room, read_direct, span

SIZES = [0, 1, 4095, 4096, 4097, direct._ROOM_BYTES - 1, direct._ROOM_BYTES, 2 * direct._ROOM_BYTES + 12345]


def folders(tmp_path: Path) -> list[Path]:
    """A folder on disk, and one in memory, where there is no direct mode."""
    shared = Path("/dev/shm")
    return [tmp_path, *([shared] if shared.is_dir() and os.access(shared, os.W_OK) else [])]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("piece", [1000, 3 << 20])
def test_what_is_written_is_there(tmp_path, size, piece):
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    for folder in folders(tmp_path):
        path = folder / f"jacorpus-direct-{os.getpid()}"
        try:
            with DirectFile(path) as file:
                for first in range(0, size, piece):
                    file.write(memoryview(data[first : first + piece]))
            assert path.read_bytes() == data.tobytes()
            assert file.bytes == size
            assert file.xxh3 == file_digest(path)
            for start, stop in ((0, size), (size // 3, size // 2), (size, size), (max(0, size - 1), size)):
                found = read_direct(path, start, stop, Room().take(span(start, stop)))
                assert found.tobytes() == data[start:stop].tobytes()
        finally:
            path.unlink()


def test_a_file_that_is_too_short_is_no_endless_loop(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    with pytest.raises(OSError, match="ends before byte 5000"):
        read_direct(tmp_path / "a", 0, 5000, Room().take(span(0, 5000)))


def test_a_file_system_that_refuses_direct_writes_gets_plain_ones(tmp_path, monkeypatch):
    """Some open the file and refuse the write."""
    write, tried = os.write, []

    def refusing(file, data):
        tried.append(direct.fcntl.fcntl(file, direct.fcntl.F_GETFL) & direct._DIRECT)
        if tried[-1]:
            raise OSError(direct.errno.EINVAL, "no direct writes here")
        return write(file, data)

    monkeypatch.setattr(direct.os, "write", refusing)
    with DirectFile(tmp_path / "a") as file:
        file.write(bytes(3 << 20))
    assert (tmp_path / "a").read_bytes() == bytes(3 << 20)


def test_a_room_starts_at_a_page_and_is_kept():
    room = Room()
    first = room.take(5000)
    assert first.ctypes.data % direct.PAGE == 0
    assert room.take(100).ctypes.data == first.ctypes.data
    assert len(room.take(0)) == 0
