"""ARC archives: equal to warcio on sound ones, and each damage costs what it hits."""

import gzip
import io
import json
from pathlib import Path

import pytest
from warcio.archiveiterator import ArchiveIterator

from jacorpus.sources.arc import Arc
from jacorpus.stage import Source
from tests.jacorpus.sources.reading import everything, put, read_all, read_spans

PAGES = [f"<html><p>{i}番の頁</p></html>".encode() * (i + 1) for i in range(12)]


def document(url: str, block: bytes, kind: str = "text/html", more: str = "") -> bytes:
    return f"{url} 192.0.2.7 20080430204825 {kind} {more}{len(block)}\n".encode() + block + b"\n"


DESCRIPTION = document(
    "filedesc://a.arc.gz", b"1 0 Someone\nURL IP-address Archive-date Content-type Archive-length\n", "text/plain"
)
HEADER = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=Shift_JIS\r\n\r\n"
DOCUMENTS = [
    document(f"http://a.example/{'of/many/folders/' * (i % 4) ** 4}{i}", HEADER + page) for i, page in enumerate(PAGES)
]


def packed(kind: str) -> list[bytes]:
    return [gzip.compress(data, mtime=0) if kind == "gz" else data for data in [DESCRIPTION, *DOCUMENTS]]


@pytest.mark.parametrize("kind", ["plain", "gz"])
def test_equals_warcio(tmp_path: Path, kind: str):
    assert isinstance(Arc(), Source)
    data = b"".join(packed(kind))
    chunk = read_all(Arc(), put(tmp_path, "a.arc.gz", data))
    oracle = [
        (found.rec_headers.get_header("uri"), found.content_stream().read())
        for found in ArchiveIterator(io.BytesIO(data))
        if found.rec_type == "response"
    ]
    rows = chunk.records.to_pylist()
    assert [(row["url"], row["body"]) for row in rows] == oracle
    assert chunk.skipped == {"filedesc": 1}
    assert rows[0]["timestamp"].isoformat() == "2008-04-30T20:48:25+00:00"
    assert (rows[0]["charset"], rows[0]["content_type"]) == ("Shift_JIS", "text/html")
    assert json.loads(rows[0]["meta"]) == {"http_status": 200}
    for target in (1, 150, 1000):
        assert everything(read_spans(Arc(), put(tmp_path, "a", data), target)) == everything(chunk)


@pytest.mark.parametrize("kind", ["plain", "gz"])
def test_damage_costs_one_record(tmp_path: Path, kind: str):
    members = packed(kind)
    middle = len(members[5]) // 2
    if kind == "gz":
        members[5] = members[5][:middle] + bytes(8) + members[5][middle + 8 :]
    else:
        members[5] = b"?" + members[5][1:]
    file = put(tmp_path, "a", b"".join(members))
    chunk = read_all(Arc(), file)
    bodies = chunk.records.column("body").to_pylist()
    assert [page for page in PAGES if page not in bodies] in ([PAGES[4]], [PAGES[3], PAGES[4]])
    assert chunk.lost
    assert everything(read_spans(Arc(), file, 200)) == everything(chunk)


def test_version_two_and_other_schemes(tmp_path: Path):
    data = document("http://a.example/", b"HTTP/1.0 404 No\r\n\r\nx", more="404 - - 17 a.arc ")
    data += document("dns:a.example", b"20080430 192.0.2.7", "text/dns")
    rows = read_all(Arc(), put(tmp_path, "a", data)).records.to_pylist()
    assert [(row["url"], row["body"]) for row in rows] == [
        ("http://a.example/", b"x"),
        ("dns:a.example", b"20080430 192.0.2.7"),
    ]
    assert rows[1]["content_type"] == "text/dns"
