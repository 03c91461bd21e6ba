"""fastwarc and resiliparse alone: each response decoded and its main content extracted, nothing written.

``archive_resiliparse.py IN.warc.gz``: the least any fast path has to do. Chunked and compressed bodies are undone
by hand, as one damaged body would end the iterator's own way.
"""

import sys
import zlib

from clock import measured, say
from fastwarc import ArchiveIterator, WarcRecordType
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import detect_encoding
from resiliparse.parse.html import HTMLTree


def plain(body: bytes, headers: dict[str, str]) -> bytes:
    """The body without transfer and content encoding."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        parts, at = [], 0
        while (end := body.find(b"\r\n", at)) >= 0 and (size := int(body[at:end].split(b";")[0] or b"0", 16)):
            parts.append(body[end + 2 : end + 2 + size])
            at = end + 4 + size
        body = b"".join(parts)
    if headers.get("content-encoding", "").lower() in ("gzip", "deflate"):
        for window in (47, -15):
            try:
                return zlib.decompressobj(window).decompress(body)
            except zlib.error:
                continue
    return body


def run(source: str, limit: int = 0) -> dict[str, int]:
    """Pages and bytes of HTML."""
    pages = size = chars = 0
    with open(source, "rb") as file:
        for record in ArchiveIterator(file, record_types=WarcRecordType.response, parse_http=True):
            if pages == limit > 0:
                break
            headers = {name.lower(): value for name, value in record.http_headers.items()}
            body = plain(record.reader.read(), headers)
            tree = HTMLTree.parse_from_bytes(body, detect_encoding(body))
            chars += len(extract_plain_text(tree, main_content=True))
            pages += 1
            size += len(body)
    return {"documents": pages, "bytes": size, "chars": chars}


if __name__ == "__main__":
    run(sys.argv[1], 20)
    cpu, wall, facts = measured(lambda: run(sys.argv[1]))
    say(["FastWARC", "Resiliparse"], cpu, wall, **facts)
