"""Where the records of a web archive start and end, in files that may be damaged anywhere.

A *member* is a compressed unit that can be decoded by itself: a gzip member or a zstd frame, ordinarily one
record each. A *start* is an offset at which a member begins whose plain bytes begin a record, or, in a file
that is not compressed, at which a whole record begins. Reading goes from member to member; where one is
damaged, it goes on at the next start, and the bytes between are one Lost. Whoever reads a span therefore
also owns what is unreadable after its last record, up to the next start, wherever that lies; the reader of
the next span begins at that same start.

One thing this cannot tell: a record whose payload is itself an archive, stored uncompressed, holds starts
that look real when a span happens to be cut inside of it.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from jacorpus.sources import compression
from jacorpus.sources.compression import Corrupt, Damaged, Kind, Truncated
from jacorpus.sources.jsonl import too_long
from jacorpus.stage import InputFile, Lost, Span

_FEED = 1 << 15  # compressed bytes given to a decoder at once: the rest of a feed is copied at a member's end
_SCAN = 1 << 20
_HEAD, _SHORT_HEAD = 1 << 16, 1 << 11  # bytes a record's header may have at most, and has as a rule
_START = 1 << 12  # bytes in which a start shows itself: an ARC record's begins with its whole URL
_MEMBERS: tuple[Kind, ...] = ("gz", "zst")
_GZIP, _ZSTD, _ZSTD_DICTIONARY = b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\x5d\x2a\x4d\x18"

Headers = dict[str, str]
"""Header names in lower case -> values. ``content-length`` is always there and a number."""


@dataclass(frozen=True)
class Format:
    """What a kind of archive looks like.

    start: what a record begins with. head: (headers, length of the header) of the bytes given, None when the
    header does not end in them; raises ValueError when it is none.
    """

    start: re.Pattern[bytes]
    head: Callable[[bytes], tuple[Headers, int] | None]


@dataclass
class Framed:
    """One whole record: position as in the schema, where its member starts in the file, headers and block."""

    position: int
    headers: Headers
    block: bytes


@dataclass
class Empty:
    """Bytes that hold no record and lose none: an empty member, padding."""


class _Window:
    """Plain bytes of one member, pulled as they are needed."""

    def __init__(self, stream: Iterator[bytes]):
        self._stream, self._data, self._at = stream, b"", 0
        self.passed = 0  # bytes left behind

    def fill(self, count: int) -> bool:
        """Have ``count`` bytes at hand; False when the member ends before."""
        have = len(self._data) - self._at
        if have >= count:
            return True
        parts = [self._data[self._at :]]
        for piece in self._stream:
            parts.append(piece)
            have += len(piece)
            if have >= count:
                break
        self._data, self._at = b"".join(parts), 0
        return have >= count

    def peek(self, count: int) -> bytes:
        self.fill(count)
        return self._data[self._at : self._at + count]

    def take(self, count: int) -> bytes:
        """The next bytes, as many as there are."""
        data = self.peek(count)
        self._at += len(data)
        self.passed += len(data)
        return data

    def skip(self, count: int) -> int:
        """Leave bytes behind without holding them; returns how many there were."""
        left = count
        while left and (got := len(self.take(min(left, _SCAN)))):
            left -= got
        return count - left

    def skip_line_ends(self) -> bool:
        """Leave line ends behind; whether anything follows."""
        while (head := self.peek(5)) and (blank := len(head) - len(head.lstrip(b"\r\n"))):
            self._at += blank
            self.passed += blank
        return bool(head)

    def skip_past(self, pattern: re.Pattern[bytes]) -> int:
        """Leave bytes behind up to the next match that begins a line, or to the end; returns how many."""
        begin = self.passed
        while data := self.peek(_SCAN + _HEAD):
            match = next((m for m in pattern.finditer(data, 1) if data[m.start() - 1] == 10), None)
            if match:
                self.take(match.start())
                break
            self.take(len(data) if len(data) <= _HEAD else _SCAN)
        return self.passed - begin


class Archive:
    """An open archive file, plain, gzip or zstd."""

    def __init__(self, handle: IO[bytes], size: int, form: Format, max_record_bytes: int):
        self._handle, self._size, self._form, self._limit = handle, size, form, max_record_bytes
        self._set_kind(compression.kind_of(self._head(0, 6)))
        if self._kind == "plain" and not form.start.match(self._head(0, _START)):
            self._look_for_members()
        self.at = 0  # offset up to which the file has been dealt with

    def _set_kind(self, kind: Kind) -> None:
        self._kind = kind
        self._dictionary = self._read_dictionary() if kind == "zst" else None
        self._magic = _GZIP if kind == "gz" else _ZSTD

    def _look_for_members(self) -> None:
        """The first bytes are damaged: find out from the rest whether the file is compressed."""
        for kind in _MEMBERS:
            self._set_kind(kind)
            if self._next_start(0) < self._size:
                return
        self._set_kind("plain")

    def records(self, span: Span) -> Iterator[Framed | Lost | Empty]:
        """Everything that starts in the span, and the damage after it."""
        if self._kind in ("bz2", "xz"):
            if span.start == 0:
                detail = f"a web archive is plain, gzip or zstd; this one is {self._kind}: unpack it first"
                yield Lost(0, "compression", detail, self._size)
            return
        self.at = self._next_start(span.start) if span.start else 0
        read = self._plain_records if self._kind == "plain" else self._member_records
        while self.at < self._size and (self.at < span.stop or not self._is_start(self.at)):
            yield from read(span.stop)

    # Plain files: the whole file is one member, positions are offsets.

    def _plain_records(self, stop: int) -> Iterator[Framed | Lost | Empty]:
        origin = self.at
        window = _Window(self._read_from(origin))
        while window.peek(1) and (self.at < stop or not self._is_start(self.at)):
            found = self._record(window, self.at, self.at)
            if not self._ends_well(window.peek(_START)) or (isinstance(found, Lost) and found.reason != "too_long"):
                # Its own length can't be trusted, so reading goes on where any reader would: at the next start.
                start, self.at = self.at, self._next_start(self.at + 1)
                yield self._misframed(found, start)
                return
            yield found
            window.skip_line_ends()
            self.at = origin + window.passed

    def _misframed(self, found: Framed | Lost, start: int) -> Lost:
        if isinstance(found, Lost) and found.reason != "too_long":
            reason = "corrupt" if found.reason == "truncated" and self.at < self._size else found.reason
            return Lost(start, reason, found.detail, self.at - start)
        detail = f"the record at byte {start} is not followed by another one, so its Content-Length is wrong"
        return Lost(start, "corrupt", detail, self.at - start)

    def _ends_well(self, after: bytes) -> bool:
        """Whether these bytes may follow a record: nothing, two line ends, or one and another record."""
        if after.startswith(b"\r\n\r\n"):
            return True
        rest = after.lstrip(b"\r\n")
        return not rest or (len(rest) < len(after) and self._form.start.match(rest) is not None)

    def _read_from(self, offset: int) -> Iterator[bytes]:
        while True:
            self._handle.seek(offset)
            piece = self._handle.read(_SCAN)
            if not piece:
                return
            offset += len(piece)
            yield piece

    # Compressed files.

    def _member_records(self, stop: int) -> Iterator[Framed | Lost | Empty]:
        start, number = self.at, 0
        window = _Window(self._decode(start))
        try:
            more = window.skip_line_ends()
            if not more:
                yield Empty()
            while more:
                yield self._record(window, start + number, start)
                number += 1
                more = window.skip_line_ends()
        except Damaged as error:
            self.at = self._next_start(start + 1)
            reason = "corrupt" if self.at < self._size else error.reason
            yield Lost(start + number, reason, error.detail, self.at - start)

    def _decode(self, start: int) -> Iterator[bytes]:
        """Plain bytes of the member at ``start``; leaves ``at`` behind its end."""
        if self._kind == "zst" and self._head(start, 4).startswith(compression.SKIPPABLE):
            self.at = start + 8 + int.from_bytes(self._head(start, 8)[4:], "little")
            return
        if not self._head(start, len(self._magic)).startswith(self._magic):
            raise Corrupt(start, f"no {self._kind} member begins at byte {start}")
        decode, offset = compression.decoder(self._kind, self._dictionary), start
        failures = compression.errors()
        while not decode.eof:
            self._handle.seek(offset)
            feed = self._handle.read(_FEED)
            if not feed:
                raise Truncated(start, f"the file ends inside the {self._kind} member that starts at byte {start}")
            try:
                plain = decode.decompress(feed)
            except failures as error:
                raise Corrupt(start, f"the {self._kind} member at byte {start} is damaged: {error}") from error
            offset += len(feed)
            if decode.eof:
                self.at = offset - len(decode.unused_data)
            if plain:
                yield plain

    def _read_dictionary(self) -> bytes | None:
        """The dictionary that .warc.zst files carry in a skippable first frame, plain or itself a zstd frame."""
        if self._head(0, 4) != _ZSTD_DICTIONARY:
            return None
        size = int.from_bytes(self._head(0, 8)[4:], "little")
        self._handle.seek(8)
        words = self._handle.read(size)
        if not words.startswith(_ZSTD):
            return words
        return compression.decoder("zst").decompress(words)

    # One record.

    def _record(self, window: _Window, position: int, member: int) -> Framed | Lost:
        head = window.peek(_SHORT_HEAD)
        try:
            parsed = self._form.head(head)
            if parsed is None:
                parsed = self._form.head(head := window.peek(_HEAD))
            if parsed is None:
                raise ValueError("the header does not end" if len(head) == _HEAD else "the data ends in the header")
        except ValueError as error:
            size = window.skip_past(self._form.start)
            return Lost(position, "header", f"no record header at byte {member}: {error}", size)
        headers, length = parsed
        window.take(length)
        size = int(headers["content-length"])
        if size > self._limit:
            window.skip(size)
            return too_long(position, size, self._limit)
        block = window.take(size)
        if len(block) < size:
            detail = f"the record at byte {member} has {len(block)} of {size} bytes"
            return Lost(position, "truncated", detail, length + len(block))
        window.fill(5)  # to the end of an ordinary member, so that its checksum is verified
        return Framed(position, headers, block)

    # Starts.

    def _head(self, offset: int, count: int) -> bytes:
        self._handle.seek(offset)
        return self._handle.read(count)

    def _is_start(self, offset: int) -> bool:
        if self._kind == "plain":
            return self._is_plain_start(offset)
        head = self._head(offset, 1 << 12)
        if not head.startswith(self._magic):
            return False
        try:
            plain = compression.decoder(self._kind, self._dictionary).decompress(head)
            if not plain:  # zstd hands out whole blocks only
                head = self._head(offset, 1 << 18)
                plain = compression.decoder(self._kind, self._dictionary).decompress(head)
        except compression.errors():
            return self._starts_before_damage(head)
        return self._form.start.match(plain.lstrip(b"\r\n")) is not None

    def _starts_before_damage(self, head: bytes) -> bool:
        """Whether the member begins a record although it is damaged further on."""
        decode, plain = compression.decoder(self._kind, self._dictionary), b""
        for i in range(len(head)):
            try:
                plain += decode.decompress(head[i : i + 1])
            except compression.errors():
                return False
            if self._form.start.match(plain.lstrip(b"\r\n")):
                return True
            if len(plain) >= _START or decode.eof:
                break
        return False

    def _is_plain_start(self, offset: int) -> bool:
        """A record begins here and, by its own length, ends at the end of the file or before another one."""
        head = self._head(max(0, offset - 1), _HEAD + 1)
        if offset:
            if head[:1] != b"\n":
                return False
            head = head[1:]
        if not self._form.start.match(head):
            return False
        try:
            parsed = self._form.head(head)
        except ValueError:
            return False
        if parsed is None:
            return False
        end = offset + parsed[1] + int(parsed[0]["content-length"])
        return end <= self._size and self._ends_well(self._head(end, _START))

    def _next_start(self, offset: int) -> int:
        """The first start at or after the offset; the file's size when there is none."""
        overlap = _START
        while offset < self._size:
            data = self._head(max(0, offset - 1), _SCAN + overlap)
            shift = max(0, offset - 1)
            for found in self._candidates(data):
                if found + shift >= offset and self._is_start(found + shift):
                    return found + shift
            offset = shift + len(data) - overlap if len(data) == _SCAN + overlap else self._size
        return self._size

    def _candidates(self, data: bytes) -> Iterator[int]:
        if self._kind == "plain":
            yield from (match.start() for match in self._form.start.finditer(data))
            return
        found = data.find(self._magic)
        while found >= 0:
            yield found
            found = data.find(self._magic, found + 1)


def cut(file: InputFile, target_bytes: int) -> list[Span]:
    """Ranges of the bytes on disk; the last one reaches to the end of the file."""
    step = max(1, target_bytes)
    parts = max(1, -(-file.size // step))
    return [Span(i * step, (i + 1) * step if i + 1 < parts else max(file.size, 1)) for i in range(parts)]
