"""JSON Lines: one JSON object a line, plain or compressed with gzip, zstd, bzip2 or xz.

A record is a line that is not blank; its position is the decompressed byte at which the line starts. A line
that is damaged is Lost alone, with the reason ``json`` (not valid JSON or not valid UTF-8; half of a surrogate
pair counts too), ``not_object``, ``missing_text``, ``text_type`` (the text is no string) or ``too_long``. A
compressed stream that breaks off gives what came before and one Lost with ``truncated`` or ``corrupt``.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from jacorpus.schema import RECORD
from jacorpus.sources import compression
from jacorpus.sources.compression import Damaged
from jacorpus.sources.records import OPEN_END, Gathered, parse_timestamp, slices
from jacorpus.stage import Chunk, InputFile, Lost, Span

Fields = list[tuple[str | None, int | None, str | None]]
"""url, seconds since 1970 and meta of each record."""

_BLOCK = 1 << 20  # bytes of whole lines parsed at once, at least

_RATIO = 4  # assumed decompressed bytes for one compressed byte
_MAX_COMPRESSED_SPANS = 8  # a span of a compressed file has to decompress all that lies before it
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Jsonl:
    """Reads JSON Lines.

    column: key of the text. url, timestamp: keys of the record's address and time (ISO 8601 or seconds since
    1970). Other keys go into ``meta``. max_record_bytes: a longer line is Lost; it is passed over without
    being held in memory.
    """

    column: str = "text"
    url: str = "url"
    timestamp: str = "timestamp"
    max_record_bytes: int = 64 << 20

    def cut(self, file: InputFile, target_bytes: int) -> list[Span]:
        """Byte ranges, decompressed; the last one is open.

        A compressed file is cut by its assumed size, four times that on disk, into at most eight spans.
        """
        with file.open() as handle:
            plain = compression.kind_of(handle.read(6)) == "plain"
        size = file.size if plain else file.size * _RATIO
        parts = max(1, -(-size // max(target_bytes, 1)))
        if not plain:
            parts = min(parts, _MAX_COMPRESSED_SPANS)
        step = -(-size // parts) or 1
        starts = range(0, max(size, 1), step)
        return [Span(a, b) for a, b in zip(starts, [*starts[1:], OPEN_END], strict=True)]

    def read(self, file: InputFile, span: Span) -> Iterator[Chunk]:
        """Lines that start inside the span."""
        for block in line_blocks(file, span, self.max_record_bytes):
            yield from slices(self._decode(block))

    def _decode(self, block: "Block") -> Chunk:
        """Lines the kernel decides, and the others one by one; in the order of the file."""
        from jacorpus.kernels.json_lines import text_lines

        lines, offset = text_lines(block.data, self.column), block.position
        decided = lines.decided & (lines.ends - lines.starts <= self.max_record_bytes)
        if not _is_utf8(lines.texts):
            decided = np.zeros_like(decided)
        fields = _rest_fields(lines.rest, lines.rest_offsets, decided, self.url, self.timestamp)
        texts = lines.texts if decided.all() else lines.texts.filter(pa.array(decided))
        fast = text_records(texts, lines.starts[decided] + offset, fields)
        slow = Gathered(lost=list(block.lost), read_bytes=block.read_bytes)
        for i in np.flatnonzero(~decided):
            start = int(lines.starts[i])
            self._decode_line(slow, start + offset, block.data[start : int(lines.ends[i])])
        chunk = slow.take()
        chunk.records = _in_order(fast, chunk.records)
        return chunk

    def _decode_line(self, rows: Gathered, position: int, line: bytes) -> None:
        import orjson

        if not line.strip():
            rows.skip("blank")
            return
        if len(line) > self.max_record_bytes:
            rows.lost.append(too_long(position, len(line), self.max_record_bytes))
            return
        try:
            value = orjson.loads(line.removeprefix(_BOM) if position == 0 else line)
        except orjson.JSONDecodeError as error:
            rows.lost.append(Lost(position, "json", f"not valid JSON: {error}", len(line)))
            return
        if not isinstance(value, dict):
            detail = f"the line holds a JSON {type(value).__name__}, not an object"
            rows.lost.append(Lost(position, "not_object", detail, len(line)))
            return
        try:
            add_row(rows, position, value, self.column, self.url, self.timestamp, len(line))
        except orjson.JSONEncodeError as error:  # what can be read can't always be written: 254 levels at most
            detail = f"its other fields can't be written to `meta`: {error}"
            rows.lost.append(Lost(position, "meta", detail, len(line)))


def add_row(
    rows: Gathered, position: int, values: dict[str, Any], column: str, url: str, timestamp: str, size: int
) -> None:
    """One record from named values: text, url and timestamp leave ``values``, the rest becomes meta."""
    address = values.get(url)
    if column not in values:
        named = ", ".join(list(values)[:8]) or "nothing"
        detail = f"no key {column!r} (the record has: {named}); set the option `column`"
        rows.lost.append(Lost(position, "missing_text", detail, size, address if isinstance(address, str) else None))
        return
    text = values.pop(column)
    if not isinstance(text, str):
        detail = f"{column!r} holds a {type(text).__name__}, not a string"
        rows.lost.append(Lost(position, "text_type", detail, size, address if isinstance(address, str) else None))
        return
    address, seconds, meta = take_fields(values, url, timestamp)
    rows.add(position, text=text, url=address, timestamp=seconds, meta=meta)


def take_fields(values: dict[str, Any], url: str, timestamp: str) -> tuple[str | None, int | None, str | None]:
    """(url, seconds, meta) out of the values beside the text; a value of another type stays in meta."""
    import orjson

    address = values.pop(url) if isinstance(values.get(url), str) else None
    seconds = parse_timestamp(values[timestamp]) if timestamp in values else None
    if seconds is not None:
        del values[timestamp]
    return address, seconds, orjson.dumps(values, default=_plain).decode() if values else None


def _plain(value: object) -> object:
    """How a table's value that JSON does not know is written."""
    return value.hex() if isinstance(value, bytes) else str(value)


def _is_utf8(texts: pa.Array) -> bool:
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _rest_fields(rest: bytes, offsets: np.ndarray, decided: np.ndarray, url: str, timestamp: str) -> "Fields":
    """url, seconds and meta of each decided line; a line whose other members are no JSON is decided no longer."""
    import orjson

    fields = []
    for i in np.flatnonzero(decided).tolist():
        part = rest[offsets[i] : offsets[i + 1]]
        try:
            fields.append(take_fields(orjson.loads(part), url, timestamp) if part else (None, None, None))
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            decided[i] = False
    return fields


def text_records(texts: pa.Array, positions: np.ndarray, fields: "Fields") -> pa.RecordBatch:
    """RECORD rows from texts (large_string), their positions, and (url, seconds, meta) of each."""
    urls, seconds, metas = zip(*fields, strict=True) if fields else ((), (), ())
    made = {
        "position": pa.array(positions, pa.int64()),
        "url": pa.array(urls, pa.string()),
        "timestamp": pa.array(seconds, pa.int64()).cast(pa.timestamp("s", tz="UTC")),
        "meta": pa.array(metas, pa.string()),
        "text": texts,
    }
    columns = [made.get(field.name, pa.nulls(len(texts), field.type)) for field in RECORD]
    return pa.RecordBatch.from_arrays(columns, schema=RECORD)


def _in_order(first: pa.RecordBatch, second: pa.RecordBatch) -> pa.RecordBatch:
    """Both together, by position."""
    if not second.num_rows:
        return first
    both = pa.concat_batches([first, second])
    return both.take(pa.array(np.argsort(np.asarray(both.column("position")), kind="stable")))


@dataclass
class Block:
    """Whole lines that follow one another, the first at ``position``; the last may lack its line feed."""

    position: int
    data: bytes
    lost: list[Lost] = field(default_factory=list)
    read_bytes: int = 0


def line_blocks(file: InputFile, span: Span, max_line: int) -> Iterator[Block]:
    """Lines that start in [start, stop), in blocks of a few MB; memory stays within max_line plus a few MB."""
    with file.open() as handle:
        kind = compression.kind_of(handle.read(6))
        begin = max(0, span.start - 1)  # a line starts at span.start only if a line feed is the byte before it
        handle.seek(begin if kind == "plain" else 0)
        stream = compression.pieces(handle, kind)
        if kind != "plain" and begin:
            try:
                stream, at = compression.skip_to(stream, begin)
            except Damaged:
                return  # the damage lies before this span; the span that holds it tells of it
            if at < begin:
                return
        consumed = handle.tell() if span.start else 0
        for block in _Lines(stream, begin, span, max_line).blocks():
            block.read_bytes, consumed = handle.tell() - consumed, handle.tell()
            yield block


class _Lines:
    """The state of cutting a stream of pieces into blocks of whole lines."""

    def __init__(self, stream: Iterator[bytes], at: int, span: Span, max_line: int):
        self.stream, self.span, self.max_line = stream, span, max_line
        self.carry: list[bytes] = []  # the beginning of a line whose end is not read yet
        self.held = 0  # its bytes, those given up included
        self.start = at  # where it starts
        self.foreign = span.start > 0  # it belongs to the span before
        self.whole: list[bytes] = []  # lines before it that are not handed on yet
        self.ready = 0  # their bytes

    def blocks(self) -> Iterator[Block]:
        damage: Damaged | None = None
        while self.start < self.span.stop:
            try:
                piece = next(self.stream, None)
            except Damaged as error:
                damage, piece = error, None
            if piece is None:
                yield from self._flush()
                yield from self._end(damage)
                return
            yield from self._lines(piece)
        yield from self._flush()

    def _lines(self, piece: bytes) -> Iterator[Block]:
        if self.foreign or self.held > self.max_line:
            end = piece.find(b"\n") + 1
            if not end:
                self._hold(piece)
                return
            yield from self._flush()
            if not self.foreign:
                yield Block(self.start, b"", [self._too_long(self.held + end - 1)])
            self.start += self.held + end
            self.carry, self.held, self.foreign = [], 0, False
            piece = piece[end:]
        end = piece.rfind(b"\n") + 1
        if end:
            self.whole += [*self.carry, piece[:end]]
            self.ready += self.held + end
            self.start += self.held + end
            self.carry, self.held = [], 0
            if self.ready >= _BLOCK:
                yield from self._flush()
        self._hold(piece[end:])

    def _flush(self) -> Iterator[Block]:
        """The whole lines so far, up to the last one that starts inside the span."""
        first, data = self.start - self.ready, b"".join(self.whole)
        self.whole, self.ready = [], 0
        if first + len(data) > self.span.stop:
            data = data[: data.find(b"\n", self.span.stop - 1 - first) + 1] if first < self.span.stop else b""
        if data:
            yield Block(first, data)

    def _hold(self, piece: bytes) -> None:
        self.held += len(piece)
        if self.foreign or self.held > self.max_line:
            self.carry = []
        elif piece:
            self.carry.append(piece)

    def _end(self, damage: Damaged | None) -> Iterator[Block]:
        if self.foreign:
            return
        if damage:
            yield Block(self.start, b"", [Lost(self.start, damage.reason, damage.detail, self.held)])
        elif self.held > self.max_line:
            yield Block(self.start, b"", [self._too_long(self.held)])
        elif self.held:
            yield Block(self.start, b"".join(self.carry))

    def _too_long(self, size: int) -> Lost:
        return too_long(self.start, size, self.max_line)


def too_long(position: int, size: int, limit: int) -> Lost:
    """The loss of a record over ``max_record_bytes``."""
    detail = f"the record has {size} bytes, over max_record_bytes = {limit}; raise that option to read it"
    return Lost(position, "too_long", detail, size)
