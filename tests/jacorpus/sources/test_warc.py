"""Each accounting rule for web archives, on archives written here and, where present, on a real one."""

import bz2
import gzip
import io
import json
import random
import zlib
from pathlib import Path

import pytest
import zstandard
from fastwarc.stream_io import BrotliWriter

from jacorpus.sources.warc import Warc
from jacorpus.stage import InputFile, Source, Span
from tests.jacorpus.sources.reading import everything, put, read_all, read_spans


def record(kind: str, block: bytes, url: str = "https://a.example/", **more: str) -> bytes:
    headers = {"WARC-Type": kind, "WARC-Date": "2024-02-03T04:05:06Z", "WARC-Target-URI": url, **more}
    if kind == "response":
        headers.setdefault("Content-Type", "application/http; msgtype=response")
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"WARC/1.0\r\n{head}Content-Length: {len(block)}\r\n\r\n".encode() + block + b"\r\n\r\n"


def page(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", *headers])
    return f"{head}\r\n\r\n".encode() + body


def html(number: int) -> bytes:
    return f"<html><p>{number}番の頁 {random.Random(number).random()}</p></html>".encode() * (1 + number % 5)


PAGES = [record("response", page(html(i), "Content-Type: text/html"), f"https://a.example/{i}") for i in range(60)]
RECORDS = [record("warcinfo", b"software: x\r\n"), *PAGES[:30], record("request", b"GET / HTTP/1.1\r\n"), *PAGES[30:]]
BODIES = [html(i) for i in range(60)]


def packed(kind: str, records: list[bytes]) -> list[bytes]:
    if kind == "gz":
        return [gzip.compress(data, mtime=0) for data in records]
    if kind == "zst":
        return [zstandard.ZstdCompressor(write_checksum=True).compress(data) for data in records]
    return records


KINDS = ["plain", "gz", "zst"]


def test_follows_the_protocol():
    assert isinstance(Warc(), Source)


@pytest.mark.parametrize("kind", KINDS)
def test_records_positions_and_counts(tmp_path: Path, kind: str):
    members = packed(kind, RECORDS)
    chunk = read_all(Warc(), put(tmp_path, "a.warc.gz", b"".join(members)))
    assert chunk.records.column("body").to_pylist() == BODIES
    assert chunk.skipped == {"warcinfo": 1, "request": 1}
    assert not chunk.lost
    starts = [sum(map(len, members[:i])) for i, data in enumerate(RECORDS) if b"type: response" in data.lower()]
    assert chunk.records.column("position").to_pylist() == starts
    row = chunk.records.to_pylist()[3]
    assert (row["url"], row["content_type"], row["charset"]) == ("https://a.example/3", "text/html", None)
    assert row["timestamp"].isoformat() == "2024-02-03T04:05:06+00:00"
    assert json.loads(row["meta"]) == {"http_status": 200}
    assert chunk.read_bytes == sum(map(len, members))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", [1, 97, 1000, 5000])
def test_spans_hold_each_record_once(tmp_path: Path, kind: str, target: int):
    file = put(tmp_path, "a", b"".join(packed(kind, RECORDS[:10])))
    assert everything(read_spans(Warc(), file, target)) == everything(read_all(Warc(), file))


@pytest.mark.parametrize("kind", KINDS)
def test_damage_anywhere_costs_what_it_hits_and_spans_agree(tmp_path: Path, kind: str):
    members = packed(kind, RECORDS[:12])
    data = b"".join(members)
    rng = random.Random(5)
    for trial in range(40):
        at = rng.randrange(len(data))
        bad = data[:at] + bytes(rng.randrange(256) for _ in range(rng.choice([1, 3, 40]))) + data[at + 1 :]
        file = put(tmp_path, "a", bad)
        whole = read_all(Warc(), file)
        hit = next(i for i in range(12) if sum(map(len, members[: i + 1])) > at)
        bodies = whole.records.column("body").to_pylist()
        expected = [body for i, body in zip(range(1, 12), BODIES, strict=False) if i not in (hit, hit + 1, hit + 2)]
        assert [body for body in bodies if body in expected] == expected, trial
        assert everything(read_spans(Warc(), file, rng.choice([50, 300, 1000]))) == everything(whole), trial


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_a_corrupt_member_is_one_loss_with_its_range(tmp_path: Path, kind: str):
    members = packed(kind, RECORDS[:6])
    members[3] = members[3][:40] + bytes(9) + members[3][49:]
    chunk = read_all(Warc(), put(tmp_path, "a", b"".join(members)))
    assert chunk.records.column("body").to_pylist() == [*BODIES[:2], *BODIES[3:5]]
    loss = (sum(map(len, members[:3])), "corrupt", len(members[3]))
    assert [(lost.position, lost.reason, lost.bytes) for lost in chunk.lost] == [loss]


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_a_wrong_checksum_is_a_loss(tmp_path: Path, kind: str):
    members = packed(kind, RECORDS[:4])
    tail = -6 if kind == "gz" else -2
    broken = bytearray(members[2])
    broken[tail] ^= 0xFF
    members[2] = bytes(broken)
    chunk = read_all(Warc(), put(tmp_path, "a", b"".join(members)))
    assert chunk.records.column("body").to_pylist() == [BODIES[0], BODIES[2]]
    assert [lost.reason for lost in chunk.lost] == ["corrupt"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_file_gives_all_before_and_one_loss(tmp_path: Path, kind: str):
    members = packed(kind, RECORDS[:6])
    data = b"".join(members)[:-30]
    file = put(tmp_path, "a", data)
    chunk = read_all(Warc(), file)
    assert chunk.records.column("body").to_pylist() == BODIES[:4]
    assert [(lost.position, lost.reason) for lost in chunk.lost] == [(sum(map(len, members[:5])), "truncated")]
    assert everything(read_spans(Warc(), file, 100)) == everything(chunk)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_first_byte_does_not_hide_the_rest(tmp_path: Path, kind: str):
    data = b"".join(packed(kind, RECORDS[:6]))
    file = put(tmp_path, "a", b"?" + data[1:])
    chunk = read_all(Warc(), file)
    assert chunk.records.column("body").to_pylist() == BODIES[:5]
    assert [lost.position for lost in chunk.lost] == [0]
    assert everything(read_spans(Warc(), file, 100)) == everything(chunk)


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_many_records_in_one_member(tmp_path: Path, kind: str):
    file = put(tmp_path, "a", b"".join(packed(kind, [b"".join(RECORDS[:10]), b"".join(RECORDS[10:20])])))
    chunk = read_all(Warc(), file)
    assert chunk.records.column("body").to_pylist() == BODIES[:19]
    assert len(set(chunk.records.column("position").to_pylist())) == 19
    assert everything(read_spans(Warc(), file, 64)) == everything(chunk)


def test_a_dictionary_frame(tmp_path: Path):
    words = zstandard.train_dictionary(2048, [bytes(data) for data in PAGES] * 4)
    packer = zstandard.ZstdCompressor(dict_data=words)
    plain = words.as_bytes()
    for inner in (plain, zstandard.ZstdCompressor().compress(plain)):
        first = b"\x5d\x2a\x4d\x18" + len(inner).to_bytes(4, "little") + inner
        file = put(tmp_path, "a.warc.zst", first + b"".join(packer.compress(data) for data in RECORDS))
        chunk = read_all(Warc(), file)
        assert chunk.records.column("body").to_pylist() == BODIES
        assert everything(read_spans(Warc(), file, 700)) == everything(chunk)


def test_wet_is_text_and_a_resource_is_a_body(tmp_path: Path):
    data = record("conversion", "本文です。\n二行目".encode(), Content_Type="text/plain")
    data += record("conversion", "本文".encode("cp932"), Content_Type="text/plain")
    data += record("resource", "資料".encode("cp932"), Content_Type="text/plain; charset=Shift_JIS")
    chunk = read_all(Warc(), put(tmp_path, "a.wet", data))
    rows = chunk.records.to_pylist()
    assert (rows[0]["text"], rows[0]["body"]) == ("本文です。\n二行目", None)
    assert (rows[1]["text"], rows[1]["body"]) == (None, "本文".encode("cp932"))
    assert (rows[2]["body"], rows[2]["content_type"], rows[2]["charset"]) == (
        "資料".encode("cp932"),
        "text/plain",
        "Shift_JIS",
    )


def test_types_without_text_are_counted(tmp_path: Path):
    data = b"".join(record(kind, b"x") for kind in ["metadata", "revisit", "continuation", "strange"])
    data += record("response", b"x 1", "dns:a.example", Content_Type="text/dns")
    chunk = read_all(Warc(), put(tmp_path, "a", data))
    assert chunk.skipped == {"metadata": 1, "revisit": 1, "continuation": 1, "unknown": 1}
    assert chunk.records.column("content_type").to_pylist() == ["text/dns"]


BODY = "<html><body>こんにちは</body></html>".encode()
CHUNKED = b"5;x=1\r\n<html\r\n" + f"{len(BODY) - 5:X}\r\n".encode() + BODY[5:] + b"\r\n0\r\n\r\n"


def deflated(wbits: int) -> bytes:
    packer = zlib.compressobj(wbits=wbits)
    return packer.compress(BODY) + packer.flush()


def brotli() -> bytes:
    out = io.BytesIO()
    writer = BrotliWriter(out)
    writer.write(BODY)
    writer.close()
    return out.getvalue()


@pytest.mark.parametrize(
    ("headers", "sent", "expected"),
    [
        (["Content-Encoding: gzip"], gzip.compress(BODY, mtime=0), BODY),
        (["content-encoding: X-GZIP"], gzip.compress(BODY, mtime=0), BODY),
        (["Content-Encoding: deflate"], deflated(15), BODY),
        (["Content-Encoding: deflate"], deflated(-15), BODY),
        (["Content-Encoding: br"], brotli(), BODY),
        (["Content-Encoding: zstd"], zstandard.compress(BODY), BODY),
        (["Content-Encoding: deflate, gzip"], gzip.compress(deflated(15), mtime=0), BODY),
        (["Transfer-Encoding: chunked"], CHUNKED, BODY),
        (["Transfer-Encoding: chunked"], BODY, BODY),  # a lie
        (["Content-Encoding: gzip"], BODY, BODY),  # a lie
        (["Content-Encoding: br"], BODY, BODY),  # a lie
        (["Content-Encoding: nonsense"], BODY, BODY),  # a lie
        (["Content-Encoding: identity"], BODY, BODY),
        (["Content-Encoding: gzip"], b"", b""),
    ],
)
def test_encodings_are_removed(tmp_path: Path, headers: list[str], sent: bytes, expected: bytes):
    chunk = read_all(Warc(), put(tmp_path, "a", record("response", page(sent, *headers))))
    assert not chunk.lost
    assert chunk.records.column("body").to_pylist() == [expected]


def test_a_body_that_does_not_decode_and_is_no_page_is_lost(tmp_path: Path):
    data = record("response", page(b"\x00\x01\x02", "Content-Encoding: gzip")) + PAGES[0]
    chunk = read_all(Warc(), put(tmp_path, "a", data))
    assert [(lost.reason, lost.url) for lost in chunk.lost] == [("content_encoding", "https://a.example/")]
    assert chunk.records.num_rows == 1


def test_an_encoding_that_breaks_off_gives_what_came(tmp_path: Path):
    noise = b"<html>" + random.Random(1).randbytes(50_000)
    data = record("response", page(gzip.compress(noise)[:30_000], "Content-Encoding: gzip"))
    data += record("response", page(CHUNKED[:30], "Transfer-Encoding: chunked"))
    rows = read_all(Warc(), put(tmp_path, "a", data)).records.to_pylist()
    assert noise.startswith(rows[0]["body"])
    assert len(rows[0]["body"]) > 20_000
    assert BODY.startswith(rows[1]["body"])
    assert [json.loads(row["meta"])["truncated"] for row in rows] == ["encoding", "encoding"]


def test_a_bomb_and_a_long_record_are_lost(tmp_path: Path):
    bomb = record("response", page(gzip.compress(bytes(3_000_000)), "Content-Encoding: gzip"))
    long = record("response", page(bytes(2_000_000)))
    file = put(tmp_path, "a", b"".join(packed("gz", [bomb, PAGES[0], long, PAGES[1]])))
    chunk = read_all(Warc(max_record_bytes=1_000_000), file)
    assert [lost.reason for lost in chunk.lost] == ["too_long", "too_long"]
    assert chunk.records.column("body").to_pylist() == BODIES[:2]


def test_other_statuses_and_charsets_are_passed_on(tmp_path: Path):
    data = record("response", page(b"gone", 'Content-Type: Text/HTML; Charset="EUC-JP"', status="404 Not Found"))
    data += record("response", b"no http at all") + record("response", page(b"a"), "<https://b.example/>")
    chunk = read_all(Warc(), put(tmp_path, "a", data))
    rows = chunk.records.to_pylist()
    assert (json.loads(rows[0]["meta"])["http_status"], rows[0]["content_type"], rows[0]["charset"]) == (
        404,
        "text/html",
        "EUC-JP",
    )
    assert rows[1]["url"] == "https://b.example/"
    assert [lost.reason for lost in chunk.lost] == ["http_header"]


def test_real_archive_equals_fastwarc(real_data: Path):
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    path = real_data / "warc" / "dev-00000.warc.gz"
    oracle = [
        (found.stream_pos, found.headers["WARC-Target-URI"])
        for found in ArchiveIterator(str(path), record_types=WarcRecordType.response, parse_http=False)
    ]
    file = InputFile(str(path), path.name, path.stat().st_size)
    seen = []
    for span in [Span(0, 9_999_999), Span(9_999_999, 10_000_000), Span(10_000_000, file.size)]:
        for chunk in Warc().read(file, span):
            positions, urls = chunk.records.column("position").to_pylist(), chunk.records.column("url").to_pylist()
            seen += [*zip(positions, urls, strict=True), *[(lost.position, lost.url) for lost in chunk.lost]]
    assert sorted(seen) == oracle


def test_an_archive_in_another_compression_is_one_loss(tmp_path: Path):
    file = put(tmp_path, "a.warc.gz", bz2.compress(b"".join(RECORDS)))
    chunk = read_spans(Warc(), file, 100)
    assert [(lost.position, lost.reason, lost.bytes) for lost in chunk.lost] == [(0, "compression", file.size)]
