"""The second count: the same number as the source where a file is sound, a lower bound where it is not."""

import bz2
import gzip
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from jacorpus.output.recount import recount

LINES = b'{"text": "a"}\n\n  \n{"text": "b"}\n{"text": "c"}'


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, zstandard.compress])
def test_lines(tmp_path: Path, pack) -> None:
    path = tmp_path / "x"
    path.write_bytes(pack(LINES))
    assert recount("sources.jsonl", path, {}) == (3, True)


def test_a_truncated_stream_is_a_lower_bound(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(LINES * 1000)[:-20])
    count, sound = recount("sources.jsonl", path, {})
    assert not sound
    assert count <= 3000


@pytest.mark.parametrize("zipped", [True, False])
def test_warc(tmp_path: Path, zipped: bool) -> None:
    stream = io.BytesIO()
    writer = WARCWriter(stream, gzip=zipped)
    headers = StatusAndHeaders("200 OK", [("Content-Type", "text/html")], protocol="HTTP/1.1")
    for i in range(3):
        payload = io.BytesIO(b"WARC/1.0\r\nWARC-Type: response\r\n\r\n")
        writer.write_record(writer.create_warc_record(f"https://x/{i}", "response", payload, http_headers=headers))
        writer.write_record(writer.create_warc_record(f"https://x/{i}", "metadata", payload=io.BytesIO(b"x")))
    path = tmp_path / "x.warc"
    path.write_bytes(stream.getvalue())
    assert recount("sources.warc", path, {}) == (3, True)


def test_tables(tmp_path: Path) -> None:
    table = pa.table({"text": ["a", "b"]})
    pq.write_table(table, tmp_path / "x.parquet")
    with pa.ipc.new_stream(tmp_path / "s.arrow", table.schema) as writer:
        writer.write_table(table)
    with pa.ipc.new_file(tmp_path / "f.arrow", table.schema) as writer:
        writer.write_table(table)
    assert recount("sources.parquet", tmp_path / "x.parquet", {}) == (2, True)
    assert recount("sources.huggingface", tmp_path / "x.parquet", {}) == (2, True)
    assert recount("sources.arrow", tmp_path / "s.arrow", {}) == (2, True)
    assert recount("sources.arrow", tmp_path / "f.arrow", {}) == (2, True)


def test_wikipedia(tmp_path: Path) -> None:
    page = "<page><title>t</title><ns>{}</ns>{}<revision><text>x</text></revision></page>"
    pages = page.format(0, "") + page.format(0, '<redirect title="y"/>') + page.format(1, "")
    path = tmp_path / "x.bz2"
    path.write_bytes(bz2.compress(f'<mediawiki xmlns="http://m/">{pages}</mediawiki>'.encode()))
    assert recount("sources.wikipedia", path, {}) == (1, True)


def test_a_source_of_the_users_own_has_no_second_reader(tmp_path: Path) -> None:
    assert recount("mine:Source", tmp_path, {}) is None
