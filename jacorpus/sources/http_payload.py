"""The body of an HTTP response as the server meant it: transfer and content encodings removed.

The headers of the web lie, so a body that does not decode is taken as it is where it looks like a page.
"""

import io
import re
import zlib
from dataclasses import dataclass, field

from jacorpus.sources import compression

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")
_PAGE = re.compile(rb"<\s*(?:!doctype|html|head|body|title|meta|div|p|table|\?xml|!--)\b|<!--|<\?xml", re.I)
_FOLDED = re.compile(r"\r?\n[ \t]+")
_STEP = 1 << 16


class Undecodable(ValueError):
    """The body can't be decoded and is no page as it stands; ``str`` says why."""


class TooLong(ValueError):
    """The decoded body is over the limit."""


@dataclass
class Response:
    """status: of the status line. body: decoded. truncated: the encoding broke off, the body is what came before."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    truncated: bool = False


def parse(block: bytes, limit: int) -> Response:
    """The response in a WARC block. Raises ValueError where no HTTP status line begins it, Undecodable, TooLong."""
    end = _HEAD_END.search(block)
    head, body = (block[: end.start()], block[end.end() :]) if end else (block, b"")
    status = head[:64].split(None, 2)
    if len(status) < 2 or not status[0].startswith(b"HTTP/") or not status[1][:3].isdigit():
        raise ValueError("the block does not begin with an HTTP status line")
    response = Response(int(status[1][:3]), header_fields(head), body)
    if "chunked" in response.headers.get("transfer-encoding", "").lower():
        response.body, response.truncated = dechunk(body)
    codings = [name.strip().lower() for name in response.headers.get("content-encoding", "").split(",")]
    for coding in reversed(codings):
        if coding and coding not in ("identity", "none", "utf-8") and response.body:
            _remove(coding, response, limit)
    return response


def header_fields(head: bytes) -> dict[str, str]:
    """Names in lower case -> values (the first of a repeated name) after the first line; UTF-8, else Latin-1."""
    text = _text(head)
    if "\n " in text or "\n\t" in text:  # an old way to go on with a value in the next line
        text = _FOLDED.sub(" ", text)
    fields: dict[str, str] = {}
    for line in text.split("\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    return fields


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def media_type(value: str | None) -> tuple[str | None, str | None]:
    """(media type in lower case, charset label as found) of a Content-Type value."""
    if not value:
        return None, None
    kind, _, parameters = value.partition(";")
    label = re.search(r"charset\s*=\s*[\"']?\s*([^\s\"';,]+)", parameters, re.I)
    return kind.strip().lower() or None, label.group(1) if label else None


def dechunk(body: bytes) -> tuple[bytes, bool]:
    """(the joined chunks, whether they broke off); the body itself where it is not chunked after all."""
    parts: list[bytes] = []
    at = 0
    while match := _CHUNK_SIZE.match(body, at):
        size, begin = int(match.group(1), 16), match.end()
        if size == 0:
            return b"".join(parts), False
        parts.append(body[begin : begin + size])
        at = begin + size
        if at >= len(body):
            return b"".join(parts), True
        at += 2 if body[at : at + 2] == b"\r\n" else body[at : at + 1] == b"\n"
    return (b"".join(parts), True) if parts else (body, False)


def _remove(coding: str, response: Response, limit: int) -> None:
    """Undo one content encoding, or leave the body where it is a page already."""
    try:
        body, broken = decode(coding, response.body, limit)
    except Undecodable as error:
        if _PAGE.search(response.body[:1024]) is None:
            raise Undecodable(f"Content-Encoding {coding!r} does not fit the body: {error}") from error
        return
    response.body = body
    response.truncated |= broken


def decode(coding: str, body: bytes, limit: int) -> tuple[bytes, bool]:
    """(decoded body, whether it broke off) for one content encoding.

    A stream that breaks after some output gives that output. Raises Undecodable for an unknown coding or a
    stream without output, TooLong over ``limit`` bytes.
    """
    if coding in ("gzip", "x-gzip"):
        return _inflate(body, (31,), limit)
    if coding == "deflate":  # sent with and without the zlib wrapper
        return _inflate(body, (15, -15), limit)
    if coding == "br":
        from fastwarc.stream_io import BrotliReader

        return _drain(BrotliReader(io.BytesIO(body)), limit)
    if coding == "zstd":
        import zstandard

        return _drain(zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(body), limit)
    raise Undecodable(f"unknown coding {coding!r}")


def _inflate(body: bytes, widths: tuple[int, ...], limit: int) -> tuple[bytes, bool]:
    for wbits in widths:
        parts: list[bytes] = []
        decoder, left, total, broken = zlib.decompressobj(wbits), body, 0, False
        while left and not decoder.eof:
            try:
                parts.append(decoder.decompress(left, _STEP))
            except zlib.error:
                broken = True
                break
            left = decoder.unconsumed_tail
            total += len(parts[-1])
            if total > limit:
                raise TooLong
        if total or decoder.eof:
            return b"".join(parts), broken or not decoder.eof
    raise Undecodable("not a deflate stream")


def _drain(reader: object, limit: int) -> tuple[bytes, bool]:
    parts: list[bytes] = []
    total = 0
    while True:
        try:
            part = reader.read(_STEP)  # type: ignore[attr-defined]
        except compression.errors() as error:
            if total:
                return b"".join(parts), True
            raise Undecodable(str(error)) from error
        if not part:
            break
        parts.append(part)
        total += len(part)
        if total > limit:
            raise TooLong
    if not total:
        raise Undecodable("the stream is empty")
    return b"".join(parts), False
