"""Wikipedia dumps: pages-articles XML, plain or bzip2 (multistream too), gzip, zstd, xz; any language.

A record is a page of the main namespace that is no redirect; its position is the page id. Redirects and pages
of other namespaces or formats are skipped and counted. Pages are found by their tags and parsed one by one, so
a page that is no valid XML (``xml``) or too deeply nested (``wikitext``) is Lost alone. Where a compressed
stream is damaged the loss has the position -1 - (offset of the stream); reading goes on at the next bzip2 stream.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import IO
from urllib.parse import quote
from xml.etree import ElementTree

from jacorpus.sources import compression, framing, wikitext
from jacorpus.sources.compression import Damaged
from jacorpus.sources.jsonl import too_long
from jacorpus.sources.records import Gathered, parse_timestamp
from jacorpus.stage import Chunk, InputFile, Lost, Span

_STREAM = re.compile(rb"BZh[1-9]1AY&SY")
_OPEN, _CLOSE = b"<page>", b"</page>"
_SCAN = 1 << 20
_ID = re.compile(rb"<id>\s*(\d{1,18})\s*</id>")
_MEDIA_NAMESPACES = ("6", "14")  # files and categories
_MAIN_FORMATS = (None, "wikitext")


@dataclass(frozen=True)
class Wikipedia:
    """Reads pages-articles dumps. max_record_bytes: a page with more XML than that is Lost with ``too_long``."""

    max_record_bytes: int = 64 << 20

    def cut(self, file: InputFile, target_bytes: int) -> list[Span]:
        """Ranges of bytes on disk for plain XML and bzip2 (a span owns the streams that start in it), else one."""
        with file.open() as handle:
            kind = compression.kind_of(handle.read(6))
        return framing.cut(file, target_bytes) if kind in ("plain", "bz2") else framing.cut(file, file.size)

    def read(self, file: InputFile, span: Span) -> Iterator[Chunk]:
        """Pages that start inside the span."""
        with file.open() as handle:
            dump = _Dump(handle, file.size, self.max_record_bytes)
            rows, done = Gathered(), max(0, span.start)
            for found in dump.pages(span):
                if isinstance(found, Lost):
                    rows.lost.append(found)
                else:
                    _add_page(rows, found, dump)
                if rows.full():
                    rows.read_bytes, done = max(0, handle.tell() - done), max(done, handle.tell())
                    yield rows.take()
            rows.read_bytes = max(0, min(handle.tell(), span.stop) - done)
            if not rows.empty():
                yield rows.take()


class _Dump:
    """An open dump: its pages as bytes, and what its head says of the wiki."""

    def __init__(self, handle: IO[bytes], size: int, limit: int):
        self._handle, self._size, self._limit = handle, size, limit
        handle.seek(0)
        self._kind = compression.kind_of(handle.read(6))
        self._at = 0  # where the stream now read starts

    @cached_property
    def _head(self) -> ElementTree.Element:
        """The <siteinfo> element; empty where there is none."""
        back, data = self._handle.tell(), b""
        self._handle.seek(0)
        try:
            for piece in compression.pieces(self._handle, self._kind):
                data += piece
                if b"</siteinfo>" in data or _OPEN in data or len(data) > _SCAN:
                    break
            begin, end = data.find(b"<siteinfo>"), data.find(b"</siteinfo>")
            return ElementTree.fromstring(data[begin : end + 11]) if 0 <= begin < end else ElementTree.Element("x")
        except (Damaged, ElementTree.ParseError):
            return ElementTree.Element("x")
        finally:
            self._handle.seek(back)

    @cached_property
    def media(self) -> frozenset[str]:
        """Prefixes of links that show no text (files, categories), in the wiki's language and in English."""
        spaces = self._head.iter("namespace")
        names = {(space.text or "").casefold() for space in spaces if space.get("key") in _MEDIA_NAMESPACES}
        return frozenset(names | {"file", "image", "category"})

    @cached_property
    def root(self) -> str:
        """What a title is appended to for its address."""
        base = self._head.findtext("base") or ""
        return base.rpartition("/")[0] + "/" if "/" in base else ""

    def pages(self, span: Span) -> Iterator[bytes | Lost]:
        """XML of each page whose opening tag stands in a part that starts in the span."""
        scanner = _Scanner(self._limit)
        for piece in self._compressed(span) if self._kind == "bz2" else self._pieces(span):
            if piece is None:
                scanner.disown()
            elif isinstance(piece, Lost):
                yield from scanner.give_up(piece.reason)
                if piece.bytes:
                    yield piece
            else:
                yield from scanner.feed(piece)
            if scanner.done():
                return
        yield from scanner.give_up("truncated")

    def _pieces(self, span: Span) -> Iterator[bytes | Lost | None]:
        """The plain bytes from the span's start on; None where it stops."""
        if self._kind != "plain" and span.start:
            return
        self._handle.seek(span.start)
        if self._kind == "plain":
            while piece := self._handle.read(min(_SCAN, max(0, span.stop - self._handle.tell()))):
                yield piece
            yield None
        try:
            yield from compression.pieces(self._handle, self._kind)
        except Damaged as error:
            yield Lost(-1 - error.offset, error.reason, error.detail, self._size - error.offset)

    def _compressed(self, span: Span) -> Iterator[bytes | Lost | None]:
        """The plain bytes of the bzip2 streams from the span's start on; None before the first that is not its own."""
        at = self._next_stream(span.start)
        if span.start == 0 and at:
            yield Lost(-1, "corrupt", f"no bzip2 stream before byte {at}", at)
        while at < self._size:
            own = at < span.stop
            if not own:
                yield None
            start = at
            try:
                for piece, at in self._decode(start):  # noqa: B007
                    yield piece
                following = self._next_stream(at)
                if own and following != at:
                    yield Lost(-1 - at, "corrupt", f"no bzip2 stream at byte {at}", following - at)
            except Damaged as error:
                following = self._next_stream(start + 1)
                reason = "corrupt" if following < self._size else error.reason
                yield Lost(-1 - start, reason, error.detail, following - start if own else 0)
            at = following

    def _decode(self, start: int) -> Iterator[tuple[bytes, int]]:
        """(plain bytes, offset after what was read) of one stream."""
        decode, at = compression.decoder("bz2"), start
        while not decode.eof:
            self._handle.seek(at)
            feed = self._handle.read(1 << 16)
            if not feed:
                raise compression.Truncated(start, f"the file ends inside the bzip2 stream at byte {start}")
            try:
                plain = decode.decompress(feed)
            except (OSError, ValueError) as error:
                raise compression.Corrupt(start, f"the bzip2 stream at byte {start} is damaged: {error}") from error
            at += len(feed) - len(decode.unused_data)
            yield plain, at

    def _next_stream(self, offset: int) -> int:
        """Where the first bzip2 stream at or after the offset starts; the file's size when there is none."""
        while offset < self._size:
            self._handle.seek(offset)
            data = self._handle.read(_SCAN + 16)
            if found := _STREAM.search(data):
                return offset + found.start()
            offset += _SCAN
        return self._size


class _Scanner:
    """Cuts pages out of a stream of pieces; holds one page and one piece at most."""

    def __init__(self, limit: int):
        self._limit = limit
        self._held = bytearray()
        self._inside = False  # a page has been opened and not closed
        self._searched = 0  # up to where no closing tag is
        self._dropped = 0  # bytes of a page over the limit that are no longer held
        self._own: int | None = None  # bytes of _held that are the span's own; None: all that come

    def done(self) -> bool:
        """Whether no page of the span can come any more."""
        return self._own == 0 and not self._inside

    def disown(self) -> None:
        """What is fed from now on is not the span's own; a page that was opened before is read to its end."""
        if self._own is None:
            self._own = len(self._held)

    def feed(self, piece: bytes) -> Iterator[bytes | Lost]:
        self._held += piece
        while self._open() and (end := self._held.find(_CLOSE, self._searched)) >= 0:
            end += len(_CLOSE)
            yield self._too_long(end) if end + self._dropped > self._limit else bytes(self._held[:end])
            self._forget(end)
            self._inside = False
        if self._inside:
            self._searched = max(0, len(self._held) - len(_CLOSE) + 1)
            if len(self._held) > self._limit + _SCAN:
                excess = self._searched - _SCAN // 16  # the beginning is kept, for the page's id
                del self._held[_SCAN // 16 : _SCAN // 16 + excess]
                self._dropped, self._searched = self._dropped + excess, self._searched - excess

    def give_up(self, reason: str) -> Iterator[Lost]:
        """The stream breaks off here."""
        if self._inside:
            size = len(self._held) + self._dropped
            yield Lost(_page_id(bytes(self._held)), reason, "the data breaks off inside this page", size)
        self._inside = False
        self._forget(len(self._held))

    def _open(self) -> bool:
        """Go to the next page of the span's own, if it has begun."""
        if not self._inside:
            begin = self._held.find(_OPEN)
            self._inside = begin >= 0 and (self._own is None or begin < self._own)
            tail = len(self._held) - len(_OPEN) + 1  # a tag may have begun in the last bytes
            self._forget(begin if self._inside else max(0, tail if self._own is None else min(tail, self._own)))
            if self._own is not None and not self._inside and begin >= 0:
                self._own = 0
        return self._inside

    def _forget(self, count: int) -> None:
        del self._held[:count]
        self._searched = self._dropped = 0
        if self._own is not None:
            self._own = max(0, self._own - count)

    def _too_long(self, end: int) -> Lost:
        return too_long(_page_id(bytes(self._held[:end])), end + self._dropped, self._limit)


def _page_id(page: bytes) -> int:
    """The page's id, -1 where it is not in these bytes."""
    found = _ID.search(page)
    return int(found.group(1)) if found else -1


def _add_page(rows: Gathered, page: bytes, dump: _Dump) -> None:
    """One record, loss or count for one page."""
    from mwparserfromhell.parser import ParserError

    try:
        element = ElementTree.fromstring(page)
        position = int(element.findtext("id") or "")
    except (ElementTree.ParseError, ValueError) as error:
        rows.lost.append(Lost(_page_id(page), "xml", f"the page is no valid XML: {error}", len(page)))
        return
    title, revision = element.findtext("title") or "", element.find("revision")
    if (element.findtext("ns") or "0") != "0":
        rows.skip("namespace")
    elif element.find("redirect") is not None:
        rows.skip("redirect")
    elif revision is None or (revision.findtext("model") or None) not in _MAIN_FORMATS:
        rows.skip("model")
    else:
        url = dump.root + quote(title.replace(" ", "_"), safe="/:(),") if dump.root else None
        try:
            text = wikitext.plain(revision.findtext("text") or "", dump.media)
        except (RecursionError, ParserError) as error:
            detail = f"mwparserfromhell can't parse the page: {error or type(error).__name__}"
            rows.lost.append(Lost(position, "wikitext", detail, len(page), url))
            return
        seconds = parse_timestamp(revision.findtext("timestamp"))
        rows.add(position, text=text, url=url, timestamp=seconds, meta=_meta(title))


def _meta(title: str) -> str:
    import orjson

    return orjson.dumps({"title": title}).decode()
