"""One address, many spellings."""

from pathlib import Path

import pytest

from jacorpus.dedup.url import Url, normalize_url
from tests.jacorpus.dedup.texts import all_edges, documents, signed


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("https://example.jp", "example.jp"),
        ("http://WWW.Example.JP:80/", "example.jp"),
        ("https://user:pw@example.jp:443/a/#top", "example.jp/a"),
        ("http://example.jp:8080/a", "example.jp:8080/a"),
        ("http://example.jp/a/index.html", "example.jp/a"),
        ("http://example.jp/a?b=2&a=1&utm_source=x&fbclid=9", "example.jp/a?a=1&b=2"),
        ("http://example.jp/%e6%97%a5/%7eu", "example.jp/%E6%97%A5/~u"),
        ("http://example.jp/日/~u", "example.jp/%E6%97%A5/~u"),
        ("http://example.jp/a%2Fb", "example.jp/a%2Fb"),
        ("http://日本語.jp/", "xn--wgv71a119e.jp"),
        ("example.jp/a", "example.jp/a"),
        ("http:///nothing", ""),
        ("http://[broken", ""),
        ("http://example.jp:port/", ""),
        ("", ""),
    ],
)
def test_normal_form(url: str, form: str) -> None:
    assert normalize_url(url) == form


def test_normal_form_is_its_own_normal_form() -> None:
    for url in ("http://example.jp/%2f%25?q=%26&x=a+b", "http://例え.jp/道?語=値", "http://a.jp/?x=%zz"):
        assert normalize_url(normalize_url(url)) == normalize_url(url)


def test_documents_without_url_join_nothing(tmp_path: Path) -> None:
    urls = ["http://a.jp/x", None, "https://www.a.jp/x/", "", None, "http://a.jp/y", "http://[broken", "http://[broken"]
    stage = Url()
    parts = signed(stage, documents([str(i) for i in range(8)], urls), tmp_path, (3,))
    for partitions in (1, 4):
        assert all_edges(stage, parts, partitions) == {(0, 2): 1.0}
