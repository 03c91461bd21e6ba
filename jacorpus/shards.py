"""Write and stream Arrow IPC files: canonical bytes, atomic, checksummed.

The same rows give the same file whatever the batches they came in: rows are regrouped by number and bytes
alone, and nothing lies under a null.
"""

import errno
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jacorpus.errors import StorageError

BATCH_ROWS = 4096
BATCH_BYTES = 8 << 20

_PAGE = 4096
_MADV_PAGEOUT = 21

Compression = Literal["zstd", "lz4"] | None


class _Hashing:
    """A file that knows the SHA-256 and size of what was written to it."""

    def __init__(self, path: Path) -> None:
        self._stream = open(path, "wb")  # noqa: SIM115
        self.digest = hashlib.sha256()
        self.bytes = 0
        self.closed = False

    def write(self, data: Any) -> int:
        self._stream.write(data)
        self.digest.update(data)
        size = memoryview(data).nbytes
        self.bytes += size
        return size

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        self.closed = True
        self._stream.close()


class PartWriter:
    """Writes one Arrow IPC file. Use as a context manager; ``info`` holds rows, bytes and sha256 afterwards.

    compression: None keeps the file memory-mappable without decoding.
    """

    def __init__(self, path: Path, schema: pa.Schema, compression: Compression = "zstd") -> None:
        self.path = path
        self.schema = schema
        self._file = _Hashing(path)
        codec = pa.Codec("zstd", compression_level=1) if compression == "zstd" else compression
        options = pa.ipc.IpcWriteOptions(compression=codec, use_threads=False)
        self._writer = pa.ipc.new_file(pa.PythonFile(self._file, "w"), schema, options=options)
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        self._bytes = 0
        self._total = 0

    def __enter__(self) -> "PartWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None:
                self._flush()
                self._writer.close()
        finally:
            self._file.close()

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows. Groups close at BATCH_ROWS rows, or with the row that brings them to BATCH_BYTES."""
        self._total += batch.num_rows
        while batch.num_rows:
            sizes = np.cumsum(_row_bytes(batch))
            full = int(np.searchsorted(sizes, BATCH_BYTES - self._bytes)) + 1
            take = min(batch.num_rows, BATCH_ROWS - self._rows, full)
            self._waiting.append(batch.slice(0, take))
            self._rows += take
            self._bytes += int(sizes[take - 1])
            if self._rows >= BATCH_ROWS or self._bytes >= BATCH_BYTES:
                self._flush()
            batch = batch.slice(take)

    def write_whole(self, batch: pa.RecordBatch) -> None:
        """Write these rows as one group, so that a memory-mapped column is one array."""
        self._total += batch.num_rows
        self._writer.write_batch(canonical(pa.concat_batches([batch])))

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_batch(canonical(pa.concat_batches(self._waiting)))
        self._waiting, self._rows, self._bytes = [], 0, 0

    @property
    def info(self) -> dict[str, Any]:
        """{"rows", "bytes", "sha256"} of the finished file."""
        return {"rows": self._total, "bytes": self._file.bytes, "sha256": self._file.digest.hexdigest()}


def _row_bytes(batch: pa.RecordBatch) -> np.ndarray:
    """int64 [N]: bytes of the variable-length values of each row; the same for a row whatever its batch."""
    sizes = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        if pa.types.is_large_string(column.type) or pa.types.is_large_binary(column.type):
            sizes += pc.fill_null(pc.binary_length(column), 0).to_numpy(zero_copy_only=False)
        elif pa.types.is_large_list(column.type) or pa.types.is_list(column.type):
            sizes += 8 * pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    return sizes


def canonical(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same rows with zeros under each null, so that equal rows are equal bytes."""
    return pa.RecordBatch.from_arrays([_canonical(column) for column in batch.columns], schema=batch.schema)


def _canonical(column: pa.Array) -> pa.Array:
    kind = column.type
    if not column.null_count or pa.types.is_nested(kind) or pa.types.is_boolean(kind) or pa.types.is_dictionary(kind):
        return column
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        filled = pc.fill_null(column, "")
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        filled = pc.fill_null(column, b"")
    elif pa.types.is_fixed_size_binary(kind):
        filled = pc.fill_null(column, pa.scalar(bytes(kind.byte_width), kind))
    else:
        filled = pc.fill_null(column, pa.scalar(0).cast(kind))
    if filled.offset:
        filled = pa.concat_arrays([filled, filled.slice(0, 0)])
    bits = np.packbits(column.is_valid().to_numpy(zero_copy_only=False), bitorder="little")
    return pa.Array.from_buffers(kind, len(filled), [pa.py_buffer(bits), *filled.buffers()[1:]], offset=0)


def read_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Batches of an Arrow IPC file, memory-mapped, one at a time. Raises StorageError for a damaged file."""
    with opened(path) as reader:
        for i in range(reader.num_record_batches):
            yield reader.get_batch(i)


def page_out(columns: Sequence[pa.Array]) -> None:
    """Give back pages of memory-mapped columns: read pages count as this process's memory until then.

    Only advice (Linux, MADV_PAGEOUT): nothing is lost, and where it is refused nothing happens.
    """
    import ctypes

    try:
        advise = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return
    for column in columns:
        for buffer in column.buffers():
            if buffer is not None and buffer.size >= _PAGE:
                start, stop = -(-buffer.address // _PAGE) * _PAGE, (buffer.address + buffer.size) // _PAGE * _PAGE
                if start < stop:
                    advise(ctypes.c_void_p(start), ctypes.c_size_t(stop - start), _MADV_PAGEOUT)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An open Arrow IPC file reader."""
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
    except (OSError, pa.ArrowInvalid) as error:
        raise StorageError(f"{path} is missing or damaged ({error}); run the recipe again to rebuild it") from error
    yield reader


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A whole file, memory-mapped; only touched columns are read where it is uncompressed."""
    with opened(path) as reader:
        table = reader.read_all()
    return table.select(list(columns)) if columns is not None else table


@contextmanager
def storage_errors(where: Path) -> Iterator[None]:
    """Turn a full disk or a missing permission into one clear sentence."""
    try:
        yield
    except OSError as error:
        code = error.errno
        text = str(error)
        if code in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text:
            raise StorageError(
                f"the disk is full: nothing more can be written below {where}; finished parts are kept, "
                "free some space and run the same command again"
            ) from error
        place = Path(os.fsdecode(error.filename)) if isinstance(error.filename, (str, bytes)) else where
        above = place == where or place in where.parents
        if code in (errno.EACCES, errno.EROFS, errno.EPERM) and (above or where in place.parents):
            raise StorageError(f"no permission to write below {where} ({text})") from error
        if code in (errno.ENOTDIR, errno.EEXIST, errno.ENOENT, errno.EISDIR) and above:
            raise StorageError(f"nothing can be written at {where} ({text}); choose another place") from error
        raise


def publish(source: Path, target: Path) -> None:
    """Put a finished part under its public name: a hard link where the file system has them, else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        import shutil

        shutil.copyfile(source, temporary)
    os.replace(temporary, target)
    temporary.unlink(missing_ok=True)  # os.replace leaves it when both are links to one file
