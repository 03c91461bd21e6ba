"""Wikipedia dumps: which pages are records, what becomes of wikitext, and what damage costs."""

import bz2
import gzip
import json
from pathlib import Path

import pytest

from jacorpus.sources.wikipedia import Wikipedia
from jacorpus.stage import InputFile, Source
from tests.jacorpus.sources.reading import everything, put, read_all, read_spans

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="ja">
  <siteinfo><base>https://ja.wiki.example/wiki/Top</base>
  <namespaces><namespace key="0" case="first-letter" /><namespace key="6">ファイル</namespace>
  <namespace key="14">カテゴリ</namespace></namespaces></siteinfo>
"""


def page(number: int, text: str, title: str = "", ns: int = 0, more: str = "", model: str = "wikitext") -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    return (
        f"  <page>\n<title>{title or f'項目 {number}'}</title>\n<ns>{ns}</ns>\n<id>{number}</id>\n{more}"
        f"<revision><id>{number + 5000}</id><timestamp>2024-04-01T01:02:03Z</timestamp><model>{model}</model>"
        f'<format>text/x-wiki</format><text bytes="1" xml:space="preserve">{escaped}</text></revision>\n  </page>\n'
    )


PAGES = [page(i, f"'''項目{i}'''は、[[例]]である。" * (1 + i % 4)) for i in range(1, 41)]
PAGES[7] = page(8, "#REDIRECT [[項目 1]]", more='<redirect title="項目 1" />')
PAGES[9] = page(10, "利用者の頁", title="利用者:ためし", ns=2)
PAGES[11] = page(12, "body { }", model="css")
TEXTS = [f"項目{i}は、例である。" * (1 + i % 4) for i in range(1, 41) if i not in (8, 10, 12)]


def dump(kind: str, per_stream: int = 5) -> bytes:
    tail = "</mediawiki>\n"
    if kind != "multistream":
        whole = (HEAD + "".join(PAGES) + tail).encode()
        return {"plain": bytes, "bz2": bz2.compress, "gz": gzip.compress}[kind](whole)
    parts = ["".join(PAGES[i : i + per_stream]) for i in range(0, len(PAGES), per_stream)]
    return b"".join(bz2.compress(part.encode()) for part in [HEAD, *parts, tail])


@pytest.mark.parametrize("kind", ["plain", "bz2", "gz", "multistream"])
def test_pages_and_counts(tmp_path: Path, kind: str):
    assert isinstance(Wikipedia(), Source)
    file = put(tmp_path, "dump", dump(kind))
    chunk = read_all(Wikipedia(), file)
    assert chunk.records.column("text").to_pylist() == TEXTS
    assert chunk.records.column("position").to_pylist() == [i for i in range(1, 41) if i not in (8, 10, 12)]
    assert chunk.skipped == {"redirect": 1, "namespace": 1, "model": 1}
    assert not chunk.lost
    row = chunk.records.to_pylist()[0]
    assert row["url"] == "https://ja.wiki.example/wiki/%E9%A0%85%E7%9B%AE_1"
    assert row["timestamp"].isoformat() == "2024-04-01T01:02:03+00:00"
    assert json.loads(row["meta"]) == {"title": "項目 1"}
    for target in (1, 33, 200, 1000):
        assert everything(read_spans(Wikipedia(), file, target)) == everything(chunk), target


def test_streams_cut_in_the_middle_of_pages(tmp_path: Path):
    whole = dump("plain")
    data = b"".join(bz2.compress(whole[i : i + 37]) for i in range(0, len(whole), 37))
    file = put(tmp_path, "dump.bz2", data)
    chunk = read_all(Wikipedia(), file)
    assert chunk.records.column("text").to_pylist() == TEXTS
    assert everything(read_spans(Wikipedia(), file, 170)) == everything(chunk)


def test_a_page_that_is_no_xml_is_lost_alone(tmp_path: Path):
    data = dump("plain").replace(b"<id>5</id>", b"<id>5</id><open>")
    chunk = read_all(Wikipedia(), put(tmp_path, "dump", data))
    assert chunk.records.column("text").to_pylist() == [*TEXTS[:4], *TEXTS[5:]]
    assert [(lost.position, lost.reason) for lost in chunk.lost] == [(5, "xml")]


def test_a_damaged_stream_costs_that_stream(tmp_path: Path):
    data = dump("multistream")
    starts = [i for i in range(len(data)) if data.startswith(b"BZh91AY&SY", i)]
    bad = data[: starts[2] + 60] + bytes(20) + data[starts[2] + 80 :]
    file = put(tmp_path, "dump", bad)
    chunk = read_all(Wikipedia(), file)
    assert set(TEXTS[:5] + TEXTS[9:]) <= set(chunk.records.column("text").to_pylist())
    assert [(lost.position, lost.reason, lost.bytes) for lost in chunk.lost][-1] == (
        -1 - starts[2],
        "corrupt",
        starts[3] - starts[2],
    )
    for target in (1, 150, 500):
        assert everything(read_spans(Wikipedia(), file, target)) == everything(chunk)


@pytest.mark.parametrize("kind", ["plain", "bz2", "gz", "multistream"])
def test_a_truncated_dump_gives_what_came_before(tmp_path: Path, kind: str):
    data = dump(kind)
    file = put(tmp_path, "dump", data[: len(data) * 2 // 3])
    chunk = read_all(Wikipedia(), file)
    texts = chunk.records.column("text").to_pylist()
    assert texts == TEXTS[: len(texts)]
    assert chunk.lost[-1].reason == "truncated"
    assert everything(read_spans(Wikipedia(), file, 300)) == everything(chunk)


def test_a_page_over_the_limit_is_lost(tmp_path: Path):
    pages = [page(1, "短い"), page(2, "長" * 3_000_000), page(3, "短い")]
    file = put(tmp_path, "dump", (HEAD + "".join(pages)).encode())
    chunk = read_all(Wikipedia(max_record_bytes=1_000_000), file)
    assert chunk.records.column("position").to_pylist() == [1, 3]
    assert [(lost.position, lost.reason, lost.bytes > 9_000_000) for lost in chunk.lost] == [(2, "too_long", True)]


def test_the_dump_may_lack_a_head(tmp_path: Path):
    chunk = read_all(Wikipedia(), InputFile(*_file(tmp_path, page(3, "本文[[File:a.png]]"))))
    assert chunk.records.to_pylist()[0]["text"] == "本文"
    assert chunk.records.to_pylist()[0]["url"] is None


def _file(folder: Path, text: str) -> tuple[str, str, int]:
    file = put(folder, "dump", text.encode())
    return file.uri, file.name, file.size


def test_a_page_too_deeply_nested_costs_that_page(tmp_path: Path):
    deep = "[[a|" * 3000 + "]]" * 3000
    chunk = read_all(Wikipedia(), put(tmp_path, "dump", (page(1, "前") + page(2, deep) + page(3, "後")).encode()))
    texts = dict(
        zip(chunk.records.column("position").to_pylist(), chunk.records.column("text").to_pylist(), strict=True)
    )
    assert (texts[1], texts[3]) == ("前", "後")
    assert 2 in texts or [(lost.position, lost.reason) for lost in chunk.lost] == [(2, "wikitext")]
