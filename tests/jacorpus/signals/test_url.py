"""Hosts out of URLs as they come, and lists that block subdomains and paths."""

from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.signals.url import Url, blocklist, split_url, top_level


def batch(urls: list[str | None]) -> pa.RecordBatch:
    return pa.record_batch({"url": pa.array(urls, pa.string())})


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("https://Ja.Wikipedia.org./wiki/A?b#c", "ja.wikipedia.org", "/wiki/A?b"),
        ("http://user:pass@example.com:8080", "example.com", ""),
        ("//example.com/x", "example.com", "/x"),
        ("example.com/x?u=http://other.jp/", "example.com", "/x?u=http://other.jp/"),
        ("example.com?u=http://other.jp/", "example.com", "?u=http://other.jp/"),
        ("https://日本語.jp/あ", "xn--wgv71a119e.jp", "/あ"),
        ("http://[2001:db8::1]:80/", "2001:db8::1", "/"),
    ],
)
def test_split(url: str, host: str, path: str) -> None:
    assert split_url(url) == (host, path)


def test_what_is_no_url() -> None:
    assert [split_url(url) for url in ("", "  ", "http://", "二 つ の語")] == [None] * 4


@given(st.from_regex(r"[a-z]{1,8}(\.[a-z0-9]{1,6}){1,3}", fullmatch=True), st.text("abc/?=&.-", max_size=12))
@settings(max_examples=100, deadline=None)
def test_equals_the_standard_library(host: str, path: str) -> None:
    url = f"https://{host}/{path}"
    assert split_url(url) == (urlsplit(url).hostname, "/" + path)


def test_top_level() -> None:
    assert [top_level(host) for host in ("a.co.jp", "localhost", "127.0.0.1", "2001:db8::1")] == [
        "jp",
        "localhost",
        None,
        None,
    ]


def test_a_host_blocks_its_subdomains_only() -> None:
    listed = blocklist(["wikipedia.org", "# comment", "www.bad.jp # why", "http://slash.jp/"])
    hosts = ("wikipedia.org", "ja.wikipedia.org", "notwikipedia.org", "org", "bad.jp", "www.bad.jp", "slash.jp")
    assert [listed.has_host(host) for host in hosts] == [True, True, False, False, True, True, True]


def test_a_path_blocks_what_lies_below_it() -> None:
    listed = blocklist(["example.com/~bad", "example.com/q?id="])
    paths = ("/~bad", "/~bad/x", "/~badger", "/", "/q?id=3", "/q?i")
    assert [listed.has_path("www.example.com", path) for path in paths] == [True, True, False, False, True, False]
    assert not listed.has_host("example.com")


def test_columns_and_missing_urls(tmp_path: Path) -> None:
    (tmp_path / "adult").mkdir()
    (tmp_path / "adult" / "domains").write_text("bad.jp\n10.0.0.1\n", "utf-8")
    (tmp_path / "adult" / "urls").write_text("good.jp/bad\n", "utf-8")
    (tmp_path / "adult" / "expressions").write_text("good.jp\n", "utf-8")
    stage = Url({"ut1": str(tmp_path)}, {"own": ("5ch.net",)})
    urls = ["http://a.bad.jp/", None, "http://good.jp/bad/1", "http://good.jp/", "x.5ch.net/t", "http://10.0.0.1/"]
    measured = stage.measure(batch(urls))
    assert list(measured) == list(stage.columns())
    assert measured["ut1_hit"].to_pylist() == [1, None, 1, 0, 0, 1]
    assert measured["own_hit"].to_pylist() == [0, None, 0, 0, 1, 0]
    assert measured["tld"].to_pylist() == ["jp", None, "jp", "jp", "net", None]
    assert measured["host"].to_pylist()[1:3] == [None, "good.jp"]
    assert measured["own_hit"].type == stage.columns()["own_hit"]


def test_errors(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("# nothing\n", "utf-8")
    with pytest.raises(ValueError, match="empty"):
        Url({"x": str(tmp_path / "empty")}).measure(batch(["a.jp"]))
    with pytest.raises(OSError, match="absent"):
        Url({"x": str(tmp_path / "absent")}).measure(batch(["a.jp"]))
    with pytest.raises(ValueError, match="rename"):
        Url({"x": "p"}, {"x": ("a.jp",)})
