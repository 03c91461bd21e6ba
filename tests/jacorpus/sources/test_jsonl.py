"""Each accounting rule for JSON Lines: one bad line costs that line, a broken stream gives what came before."""

import bz2
import gzip
import json
import lzma
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.schema import RECORD
from jacorpus.sources.jsonl import Jsonl
from jacorpus.stage import InputFile, Source, Span
from tests.jacorpus.sources.reading import everything, put, read_all, read_spans

COMPRESS = {
    "plain": bytes,
    "gz": lambda data: gzip.compress(data, mtime=0),
    "zst": lambda data: zstandard.ZstdCompressor().compress(data),
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


def lines(*values: object) -> bytes:
    return b"".join(json.dumps(value, ensure_ascii=False).encode() + b"\n" for value in values)


def test_follows_the_protocol():
    assert isinstance(Jsonl(), Source)


def test_fields_and_meta(tmp_path: Path):
    data = lines({"text": "東京", "url": "https://a.example/", "timestamp": "2024-05-01T00:00:00Z", "n": 1, "k": [""]})
    chunk = read_all(Jsonl(), put(tmp_path, "a.jsonl", data))
    row = chunk.records.to_pylist()[0]
    assert chunk.records.schema == RECORD
    assert row["text"] == "東京"
    assert row["url"] == "https://a.example/"
    assert row["timestamp"].isoformat() == "2024-05-01T00:00:00+00:00"
    assert json.loads(row["meta"]) == {"n": 1, "k": [""]}
    assert row["body"] is None


def test_other_keys_by_option(tmp_path: Path):
    data = lines({"content": "本文", "link": "u", "date": "2024-05-01", "text": "別"})
    chunk = read_all(Jsonl(column="content", url="link", timestamp="date"), put(tmp_path, "a.jsonl", data))
    row = chunk.records.to_pylist()[0]
    assert (row["text"], row["url"], row["timestamp"].year) == ("本文", "u", 2024)
    assert json.loads(row["meta"]) == {"text": "別"}


def test_a_date_that_is_none_stays_in_meta(tmp_path: Path):
    chunk = read_all(Jsonl(), put(tmp_path, "a.jsonl", lines({"text": "x", "timestamp": "昨日", "url": 5})))
    row = chunk.records.to_pylist()[0]
    assert row["timestamp"] is None
    assert json.loads(row["meta"]) == {"timestamp": "昨日", "url": 5}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"text": "abc"', "json"),
        (b'{"text": "\xff"}', "json"),
        (b'{"text": "\\ud800"}', "json"),
        (b'{"text": "\\ude00\\ud800"}', "json"),
        (b'{"text": "a\tb"}', "json"),
        (b'{"text": "a\\x"}', "json"),
        (b'{"text": "a", "n": 01}', "json"),
        (b'{"text": "a",, "n": 1}', "json"),
        (b'{"text": "a", "n": [1}}', "json"),
        (b'{"text": "a"} {}', "json"),
        (b'{"text": "a" "n": 1}', "json"),
        (b"[1]", "not_object"),
        (b'"text"', "not_object"),
        (b"{}", "missing_text"),
        (b'{"body": "a"}', "missing_text"),
        (b'{"text": null}', "text_type"),
        (b'{"text": 5}', "text_type"),
        (b'{"text": {"text": "a"}}', "text_type"),
        (b'{"text": "a", "n": ' + b"[" * 300 + b"]" * 300 + b"}", "meta"),
        (b'{"text": "a", "n": ' + b"[" * 9000 + b"]" * 9000 + b"}", "json"),
    ],
)
def test_one_bad_line_costs_that_line(tmp_path: Path, bad: bytes, reason: str):
    before, after = lines({"text": "前"}), lines({"text": "後"})
    chunk = read_all(Jsonl(), put(tmp_path, "a.jsonl", before + bad + b"\n" + after))
    assert chunk.records.column("text").to_pylist() == ["前", "後"]
    assert [(lost.position, lost.reason, lost.bytes) for lost in chunk.lost] == [(len(before), reason, len(bad))]


def test_blank_lines_carriage_returns_and_a_byte_order_mark(tmp_path: Path):
    data = b'\xef\xbb\xbf{"text": "a"}\r\n\r\n  \n{"text": "b"}'
    chunk = read_all(Jsonl(), put(tmp_path, "a.jsonl", data))
    assert chunk.records.column("text").to_pylist() == ["a", "b"]
    assert chunk.skipped == {"blank": 2}
    assert not chunk.lost


@pytest.mark.parametrize("kind", COMPRESS)
def test_an_empty_file_holds_nothing(tmp_path: Path, kind: str):
    chunk = read_all(Jsonl(), put(tmp_path, f"a.{kind}", COMPRESS[kind](b"")))
    assert chunk.records.num_rows == 0
    assert not chunk.lost


@pytest.mark.parametrize("kind", COMPRESS)
def test_the_ending_of_the_name_is_not_trusted(tmp_path: Path, kind: str):
    file = put(tmp_path, "a.jsonl.gz", COMPRESS[kind](lines({"text": "文"}, {"text": "章"})))
    assert read_all(Jsonl(), file).records.column("text").to_pylist() == ["文", "章"]


@pytest.mark.parametrize("kind", COMPRESS)
@pytest.mark.parametrize("limit", [7, 40, 1 << 20])
def test_spans_hold_each_line_once(tmp_path: Path, kind: str, limit: int):
    rows = [{"text": f"{i}番の文" * (i % 7), "n": i} for i in range(300)]
    data = lines(*rows[:200]) + b'\n{"bad\n' + lines(*rows[200:])
    file = put(tmp_path, "a", COMPRESS[kind](data))
    whole = read_all(Jsonl(), file)
    assert whole.records.column("text").to_pylist() == [row["text"] for row in rows]
    starts = [0, *[i + 1 for i, byte in enumerate(data) if byte == 10][:-1]]
    positions = [start for start in starts if data[start : start + 1] != b"\n" and not data.startswith(b'{"bad', start)]
    assert whole.records.column("position").to_pylist() == positions
    assert everything(read_spans(Jsonl(), file, limit)) == everything(whole)


@pytest.mark.parametrize("kind", ["gz", "zst", "bz2", "xz"])
def test_any_cut_of_the_decompressed_bytes_is_right(tmp_path: Path, kind: str):
    data = lines(*[{"text": "あ" * (i % 5)} for i in range(40)])
    file = put(tmp_path, "a", COMPRESS[kind](data))
    whole = everything(read_all(Jsonl(), file))
    for cut in range(0, len(data) + 3, 7):
        parts = [Span(0, cut), Span(cut, cut + 1), Span(cut + 1, 1 << 62)]
        assert everything(read_spans(Jsonl(), file, 0, parts)) == whole


@pytest.mark.parametrize("kind", ["gz", "zst", "bz2", "xz"])
def test_a_truncated_stream_gives_all_before_and_one_loss(tmp_path: Path, kind: str):
    rows = [{"text": f"{i} {json.dumps(i * 7919 % 1000003)} 本文"} for i in range(20000)]
    packed = COMPRESS[kind](lines(*rows))
    file = put(tmp_path, "a", packed[: len(packed) * 2 // 3])
    chunk = read_all(Jsonl(), file)
    texts = chunk.records.column("text").to_pylist()
    assert texts == [row["text"] for row in rows[: len(texts)]]
    assert [lost.reason for lost in chunk.lost] == ["truncated"]
    assert chunk.lost[0].position == len(lines(*rows[: len(texts)]))
    assert kind in ("bz2", "xz", "zst") or texts  # bzip2, xz and zstd blocks may be larger than this file
    spans = [Span(0, 1000), Span(1000, 50_000), Span(50_000, 900_000), Span(900_000, 1 << 62)]
    assert everything(read_spans(Jsonl(), file, 0, spans)) == everything(chunk)


@pytest.mark.parametrize("kind", ["gz", "zst", "bz2", "xz"])
def test_a_corrupt_stream_gives_all_before_and_one_loss(tmp_path: Path, kind: str):
    first, second = lines({"text": "一"}, {"text": "二"}), lines(*[{"text": str(i * i)} for i in range(500)])
    packed = COMPRESS[kind](first)
    damaged = bytearray(COMPRESS[kind](second))
    damaged[len(damaged) // 2 : len(damaged) // 2 + 8] = b"\x99" * 8
    chunk = read_all(Jsonl(), put(tmp_path, "a", packed + bytes(damaged) + COMPRESS[kind](first)))
    assert chunk.records.column("text").to_pylist()[:2] == ["一", "二"]
    assert chunk.lost[-1].reason == "corrupt"
    assert {lost.reason for lost in chunk.lost[:-1]} <= {"json"}  # xz hands out damaged bytes before its checksum


def test_a_member_that_follows_another_is_read_and_zero_padding_is_no_damage(tmp_path: Path):
    data = COMPRESS["gz"](lines({"text": "一"})) + COMPRESS["gz"](lines({"text": "二"})) + bytes(700)
    chunk = read_all(Jsonl(), put(tmp_path, "a.gz", data))
    assert chunk.records.column("text").to_pylist() == ["一", "二"]
    assert not chunk.lost


@pytest.mark.parametrize("kind", ["plain", "zst"])
def test_a_line_over_the_limit_is_lost_and_the_next_is_read(tmp_path: Path, kind: str):
    data = lines({"text": "前"}, {"text": "長" * 5_000_000}, {"text": "後"}, {"text": "い" * 400}, {"text": "末"})
    file = put(tmp_path, "a", COMPRESS[kind](data))
    source = Jsonl(max_record_bytes=1000)
    chunk = read_all(source, file)
    assert chunk.records.column("text").to_pylist() == ["前", "後", "末"]
    assert [(lost.reason, lost.bytes) for lost in chunk.lost] == [("too_long", 15_000_012), ("too_long", 1212)]
    assert everything(read_spans(source, file, 2_000_000)) == everything(chunk)


def test_a_line_of_fifty_megabytes_works(tmp_path: Path):
    data = lines({"text": "a"}, {"text": "x" * 50_000_000}, {"text": "b"})
    chunk = read_all(Jsonl(), put(tmp_path, "a.jsonl", data))
    assert [len(text) for text in chunk.records.column("text").to_pylist()] == [1, 50_000_000, 1]


def test_chunks_are_bounded(tmp_path: Path):
    file = put(tmp_path, "a.jsonl", lines(*[{"text": "x" * 100} for _ in range(5000)]))
    sizes = [chunk.records.num_rows for chunk in Jsonl().read(file, Span(0, 1 << 62))]
    assert sum(sizes) == 5000
    assert max(sizes) <= 1000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
records = st.fixed_dictionaries({"text": st.text(max_size=60)}, optional={"url": st.text(), "a": json_values})


@settings(max_examples=60, deadline=None)
@given(st.lists(records, max_size=8), st.booleans(), st.integers(1, 400))
def test_what_json_writes_is_read_back(tmp_path_factory, rows, ascii_only, target):
    data = b"".join(json.dumps(row, ensure_ascii=ascii_only).encode() + b"\n" for row in rows)
    file = put(tmp_path_factory.mktemp("jsonl"), "a.jsonl", data)
    chunk = read_all(Jsonl(), file)
    assert chunk.records.column("text").to_pylist() == [row["text"] for row in rows]
    for row, meta in zip(rows, chunk.records.column("meta").to_pylist(), strict=True):
        assert json.loads(meta or "{}") == {key: row[key] for key in row if key not in ("text", "url")}
    assert everything(read_spans(Jsonl(), file, target)) == everything(chunk)


def test_real_data_equals_a_plain_reader(real_data: Path):
    path = real_data / "lid" / "lid.jsonl.zst"
    plain = zstandard.ZstdDecompressor().stream_reader(path.open("rb")).read()
    expected = [json.loads(line) for line in plain.splitlines()]
    file = InputFile(str(path), path.name, path.stat().st_size)
    chunk = read_all(Jsonl(), file)
    assert chunk.records.column("text").to_pylist() == [row.pop("text") for row in expected]
    assert [json.loads(meta) for meta in chunk.records.column("meta").to_pylist()] == [
        {key: value for key, value in row.items() if key not in ("url", "timestamp")} for row in expected
    ]
    assert everything(read_spans(Jsonl(), file, 400_000)) == everything(chunk)
