"""Web archives: WARC and WET, plain, gzip or zstd (with the dictionary frame of .warc.zst), ISO 28500.

A record is a ``response``, ``resource`` or ``conversion``. Its position is the offset of its member in the
file as it lies on disk, plus its number inside the member where a member holds several. All other types are
skipped and counted by type. A response of any status is a record; the status stands in ``meta``.

gzip members are decoded with isal and headers read here: every byte has to be accounted for when a member is
damaged, which FastWARC's iterator (the oracle in the tests) does not tell, and it is faster.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jacorpus.sources import framing, http_payload
from jacorpus.sources.framing import Archive, Format, Framed, Headers
from jacorpus.sources.records import Gathered, parse_timestamp
from jacorpus.stage import Chunk, InputFile, Lost, Span

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_RECORDS = ("response", "resource", "conversion")


def _head(data: bytes) -> tuple[Headers, int] | None:
    if not data.startswith(b"WARC/"):
        raise ValueError("it does not begin with WARC/")
    end = _HEAD_END.search(data)
    if end is None:
        return None
    headers = http_payload.header_fields(data[: end.start()])
    if not headers.get("content-length", "").isdecimal():
        raise ValueError("it has no valid Content-Length")
    if not headers.get("warc-type"):
        raise ValueError("it has no WARC-Type")
    return headers, end.end()


WARC = Format(re.compile(rb"WARC/\d"), _head)


@dataclass(frozen=True)
class Warc:
    """Reads WARC and WET.

    max_record_bytes: a longer record, or a page that is longer once its content encoding is undone, is Lost
    with ``too_long``. Other reasons: ``truncated``, ``corrupt`` (a damaged member; the range up to the next
    record is one Lost), ``header``, ``http_header``, ``content_encoding``, ``compression`` (bzip2 or xz).
    """

    max_record_bytes: int = 64 << 20

    def cut(self, file: InputFile, target_bytes: int) -> list[Span]:
        """Ranges of bytes on disk; a span owns the members that start in it."""
        return framing.cut(file, target_bytes)

    def read(self, file: InputFile, span: Span) -> Iterator[Chunk]:
        """Records whose members start inside the span."""
        yield from read_archive(file, span, WARC, self.max_record_bytes, add_record)


def read_archive(file: InputFile, span: Span, form: Format, limit: int, add: Any) -> Iterator[Chunk]:
    """Chunks of an archive; ``add(rows, framed, limit)`` makes a row of each record."""
    rows = Gathered()
    with file.open() as handle:
        archive, done = Archive(handle, file.size, form, limit), span.start
        for found in archive.records(span):
            if isinstance(found, Framed):
                add(rows, found, limit)
            elif isinstance(found, Lost):
                rows.lost.append(found)
            else:
                rows.skip("empty")
            if rows.full():
                rows.read_bytes, done = max(0, archive.at - done), max(done, archive.at)
                yield rows.take()
        rows.read_bytes = max(0, archive.at - done)
    if not rows.empty():
        yield rows.take()


def add_record(rows: Gathered, found: Framed, limit: int) -> None:
    """One row, loss or count for one WARC record."""
    kind = found.headers["warc-type"].lower()
    if kind not in _RECORDS:
        rows.skip(kind if kind in ("warcinfo", "request", "metadata", "revisit", "continuation") else "unknown")
        return
    url = found.headers.get("warc-target-uri", "").strip("<> ") or None
    fields: dict[str, Any] = {"url": url, "timestamp": parse_timestamp(found.headers.get("warc-date"))}
    meta: dict[str, Any] = {}
    if "warc-truncated" in found.headers:
        meta["truncated"] = found.headers["warc-truncated"]
    if kind == "conversion":
        _add_conversion(rows, found, fields, meta)
    elif kind == "response" and is_http(found.headers, url):
        add_response(rows, found.position, found.block, fields, meta, limit)
    else:
        media, charset = http_payload.media_type(found.headers.get("content-type"))
        rows.add(found.position, body=found.block, content_type=media, charset=charset, meta=_json(meta), **fields)


def is_http(headers: Headers, url: str | None) -> bool:
    """Whether the block of a response is an HTTP message (``dns:`` responses are none)."""
    media = headers.get("content-type", "").lower()
    return media.startswith("application/http") or (not media and (url or "").startswith("http"))


def add_response(
    rows: Gathered, position: int, block: bytes, fields: dict[str, Any], meta: dict[str, Any], limit: int
) -> None:
    """A row with the decoded body of an HTTP response, or the loss with its reason."""
    reason, detail = "", ""
    try:
        response = http_payload.parse(block, limit)
    except http_payload.TooLong:
        reason, detail = "too_long", f"the decoded body is over max_record_bytes = {limit}; raise that option"
    except http_payload.Undecodable as error:
        reason, detail = "content_encoding", str(error)
    except ValueError as error:
        reason, detail = "http_header", str(error)
    if reason:
        rows.lost.append(Lost(position, reason, detail, len(block), fields["url"]))
        return
    meta = {"http_status": response.status, **meta}
    if response.truncated:
        meta.setdefault("truncated", "encoding")
    media, charset = http_payload.media_type(response.headers.get("content-type"))
    rows.add(position, body=response.body, content_type=media, charset=charset, meta=_json(meta), **fields)


def _add_conversion(rows: Gathered, found: Framed, fields: dict[str, Any], meta: dict[str, Any]) -> None:
    """WET: the block is text. Where it is not valid UTF-8 it goes on as a body, for the charset rules."""
    if "warc-identified-content-language" in found.headers:
        meta["languages"] = found.headers["warc-identified-content-language"]
    media, charset = http_payload.media_type(found.headers.get("content-type"))
    try:
        text = found.block.decode()
    except UnicodeDecodeError:
        rows.add(found.position, body=found.block, content_type=media, charset=charset, meta=_json(meta), **fields)
        return
    rows.add(found.position, text=text, content_type=media, meta=_json(meta), **fields)


def _json(meta: dict[str, Any]) -> str | None:
    import orjson

    return orjson.dumps(meta).decode() if meta else None
