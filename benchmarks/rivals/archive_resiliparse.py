"""fastwarc and resiliparse alone: each HTML response decoded and its main content extracted, nothing written.

``archive_resiliparse.py IN.warc.gz``: the least any fast path has to do.
"""

import sys

from clock import measured, say
from fastwarc import ArchiveIterator, WarcRecordType
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import detect_encoding
from resiliparse.parse.html import HTMLTree


def run(source: str, limit: int = 0) -> dict[str, int]:
    """Pages and bytes of HTML."""
    pages = size = chars = 0
    with open(source, "rb") as file:
        for record in ArchiveIterator(file, record_types=WarcRecordType.response, parse_http=True, auto_decode="all"):
            if pages == limit > 0:
                break
            try:
                body = record.reader.read()
            except Exception:
                continue
            tree = HTMLTree.parse_from_bytes(body, detect_encoding(body))
            chars += len(extract_plain_text(tree, main_content=True))
            pages += 1
            size += len(body)
    return {"documents": pages, "bytes": size, "chars": chars}


if __name__ == "__main__":
    run(sys.argv[1], 20)
    cpu, wall, facts = measured(lambda: run(sys.argv[1]))
    say(["FastWARC", "Resiliparse"], cpu, wall, **facts)
