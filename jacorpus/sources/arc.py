"""ARC archives, what the Internet Archive and Common Crawl wrote before WARC (version 1 and 2), plain or gzip.

A record is a document of any status; its position is as in sources.warc. The file's own description
(``filedesc:``) is skipped. FastWARC reads no ARC; headers are read here, with warcio as the oracle in the
tests, so that damage costs what it costs in a WARC.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jacorpus.sources import framing
from jacorpus.sources.framing import Format, Framed, Headers
from jacorpus.sources.records import Gathered, parse_timestamp
from jacorpus.sources.warc import add_response, read_archive
from jacorpus.stage import Chunk, InputFile, Span

_START = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]{1,20}:[^\s]+ [0-9A-Fa-f.:]{3,45} \d{8,14} ")


def _head(data: bytes) -> tuple[Headers, int] | None:
    """``URL IP date type length``, or ten fields in version 2: always the length last."""
    if not _START.match(data):
        raise ValueError("it does not begin with URL, IP and date")
    end = data.find(b"\n")
    if end < 0:
        return None
    fields = data[:end].decode("latin-1").rstrip("\r").split(" ")
    if len(fields) < 5 or not fields[-1].isdecimal():
        raise ValueError("it does not end in a length")
    return {"url": fields[0], "date": fields[2], "type": fields[3], "content-length": fields[-1]}, end + 1


ARC = Format(_START, _head)


@dataclass(frozen=True)
class Arc:
    """Reads ARC. max_record_bytes and the reasons of losses are as in sources.warc."""

    max_record_bytes: int = 64 << 20

    def cut(self, file: InputFile, target_bytes: int) -> list[Span]:
        """Ranges of bytes on disk; a span owns the members that start in it."""
        return framing.cut(file, target_bytes)

    def read(self, file: InputFile, span: Span) -> Iterator[Chunk]:
        """Records whose members start inside the span."""
        yield from read_archive(file, span, ARC, self.max_record_bytes, _add_record)


def _add_record(rows: Gathered, found: Framed, limit: int) -> None:
    url = found.headers["url"]
    if url.startswith("filedesc:"):
        rows.skip("filedesc")
        return
    fields: dict[str, Any] = {"url": url, "timestamp": parse_timestamp(_iso(found.headers["date"]))}
    if url.startswith("http"):
        add_response(rows, found.position, found.block, fields, {}, limit)
    else:
        rows.add(found.position, body=found.block, content_type=found.headers["type"].lower(), **fields)


def _iso(digits: str) -> str:
    """20080430204825 -> 2008-04-30T20:48:25."""
    full = digits.ljust(14, "0")
    return f"{full[:4]}-{full[4:6]}-{full[6:8]}T{full[8:10]}:{full[10:12]}:{full[12:14]}"
