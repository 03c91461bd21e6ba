"""The two passes of ``dedup.files`` over JSONL: texts out of lines, and the bytes of chosen lines copied.

Legend: N documents of a file.
"""

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from jacorpus.kernels.buffers import text_buffers
from jacorpus.sources import compression
from jacorpus.stage import InputFile, Span

ENDLESS = 1 << 62
RAW_BYTES = 1 << 20
"""Of a rejected line, at most this much is written to the side file."""


@dataclass
class Lines:
    """Where the documents of a file are: numbers (1 is the first line; 0 the first row of a table), int64 [N].

    starts, stops: bytes of a line without its line feed, decompressed, int64 [N]; none for tables. rejected: how
    many lines are no document, by reason.
    """

    numbers: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    starts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    stops: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    rejected: dict[str, int] = field(default_factory=dict)
    text_bytes: int = 0

    def reject(self, side: IO[bytes], reason: str, raw: bytes = b"", **where: Any) -> None:
        """Count one and write it down."""
        import orjson

        self.rejected[reason] = self.rejected.get(reason, 0) + 1
        shown = {"raw": raw[:RAW_BYTES].decode("utf-8", "backslashreplace")} if raw else {}
        side.write(orjson.dumps({**where, "reason": reason, **shown}) + b"\n")


def read_lines(
    file: InputFile, options: Any, sign: Callable[[pa.Array], None], side: IO[bytes], watch: Callable[..., None]
) -> Lines:
    """First pass: sign the text of each line. Blank lines count as lines, not as rejected."""
    from jacorpus.kernels.json_lines import text_lines
    from jacorpus.kernels.utf8 import sound_utf8
    from jacorpus.sources.jsonl import line_blocks

    found, line = Lines(), 1
    places: list[tuple[np.ndarray, ...]] = []
    for block in line_blocks(file, Span(0, ENDLESS), options.max_record_bytes):
        watch("sign", file, block.read_bytes)
        for lost in block.lost:
            found.reject(side, lost.reason, file=file.uri, line=line, byte=lost.position, detail=lost.detail)
            line += 1
        if not block.data:
            continue
        lines = text_lines(block.data, options.column)
        good, texts = lines.decided & (lines.ends - lines.starts <= options.max_record_bytes), lines.texts
        if not sound_utf8(*text_buffers(texts)):
            good = np.zeros_like(good)
        if not good.all():
            good, texts = _one_by_one(block, lines, good, options, found, side, (file.uri, line))
        sign(texts)
        found.text_bytes += int(pa.compute.sum(pa.compute.binary_length(texts)).as_py() or 0)
        numbers = np.arange(line, line + len(good))
        places.append((numbers[good], lines.starts[good] + block.position, lines.ends[good] + block.position))
        line += len(good)
    if places:
        found.numbers, found.starts, found.stops = (np.concatenate(each) for each in zip(*places, strict=True))
    return found


def _one_by_one(
    block: Any, lines: Any, good: np.ndarray, options: Any, found: Lines, side: IO[bytes], at: tuple[str, int]
) -> tuple[np.ndarray, pa.Array]:
    """(which lines hold a document, their texts): lines the kernel did not decide go through a full parser."""
    uri, first = at
    good, texts = good.copy(), [lines.texts[i].as_py() if ok else None for i, ok in enumerate(good)]
    for i in np.flatnonzero(~good):
        start, stop = int(lines.starts[i]), int(lines.ends[i])
        raw = block.data[start:stop]
        if not raw.strip():
            continue
        text, reason, detail = _parsed(raw, options.column, block.position + start == 0)
        if len(raw) > options.max_record_bytes:
            text, reason, detail = None, "too_long", f"{len(raw)} bytes"
        if text is None:
            where = {"file": uri, "line": first + int(i), "byte": block.position + start, "detail": detail}
            found.reject(side, reason, raw, **where)
            continue
        good[i], texts[i] = True, text
    return good, pa.array([text for text in texts if text is not None], pa.large_string())


def _parsed(raw: bytes, column: str, first: bool) -> tuple[str | None, str, str]:
    """(text, why there is none, more about it) of a line."""
    import orjson

    try:
        value = orjson.loads(raw.removeprefix(b"\xef\xbb\xbf") if first else raw)
    except orjson.JSONDecodeError as error:
        return None, "json", f"not valid JSON: {error}"
    if not isinstance(value, dict):
        return None, "not_object", f"the line holds a JSON {type(value).__name__}, not an object"
    if column not in value:
        named = ", ".join(list(value)[:8]) or "nothing"
        return None, "missing_text", f"no key {column!r} (the record has: {named}); set --column"
    text = value[column]
    if not isinstance(text, str):
        return None, "text_type", f"{column!r} holds a {type(text).__name__}, not a string"
    return text, "", ""


def copy_lines(file: InputFile, lines: Lines, keep: np.ndarray, target: IO[bytes], watch: Callable[..., None]) -> None:
    """Second pass: the bytes of the lines to keep, whole stretches of neighbors at once."""
    starts, stops = lines.starts[keep], lines.stops[keep] + 1
    if not len(starts):
        return
    head = np.r_[True, starts[1:] != stops[:-1]]
    starts, stops = starts[head], stops[np.r_[head[1:], True]]
    first = at = 0
    with file.open() as handle:
        kind = compression.kind_of(handle.read(6))
        handle.seek(0)
        consumed = 0
        for piece in _sound(handle, kind):
            end = at + len(piece)
            view = memoryview(piece)
            stop = int(np.searchsorted(starts, end))
            for a, b in zip(starts[first:stop].tolist(), stops[first:stop].tolist(), strict=True):
                target.write(view[max(a - at, 0) : b - at])
            first = stop - 1 if stop and stops[stop - 1] > end else stop
            at = end
            watch("copy", file, handle.tell() - consumed)
            consumed = handle.tell()
    if stops[-1] > at:
        target.write(b"\n")


def _sound(handle: IO[bytes], kind: compression.Kind) -> Iterator[bytes]:
    """The stream up to where it is damaged; the first pass has told of that."""
    try:
        yield from compression.pieces(handle, kind)
    except compression.Damaged:
        return


@contextmanager
def writer_for(path: Path, named: Path) -> Iterator[IO[bytes]]:
    """Open ``path`` for writing, compressed as the ending of ``named`` says; the same bytes at any time."""
    with path.open("wb", buffering=1 << 20) as file:
        if named.suffix == ".gz":
            with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
                yield packed  # type: ignore[misc]
        elif named.suffix == ".zst":
            import zstandard

            with zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False) as packed:
                yield packed
        else:
            yield file
