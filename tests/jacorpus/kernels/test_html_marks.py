"""Marks from the kernel are the marks of the readable twin."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.extract.marks import deepen_lists, mark_lines, mark_links, strip_marks
from jacorpus.kernels.html_marks import mark_html
from tests.strategies import japanese_text

PARTS = (
    *(
        "<a ",
        "<a\n",
        "<A href=x>",
        "<a\u3000",
        "<a>",
        "</a>",
        "</A>",
        "<ul>",
        "<ul ",
        "<UL\n",
        "</ul>",
        "</ul >",
        "<li>",
    ),
    *("<p>", "</p>", "</P>", "<p", "<pre>", "</dl>", "<h2>", "</h7>", "</blockquote>", "</bloc\u212aquote>", "<h1x>"),
    *(
        ">",
        "<",
        "\n",
        "\r\n",
        "\r",
        " ",
        "\t",
        "\u3000",
        "\xa0",
        "\u2003",
        "\x1f",
        "港",
        "海",
        "é",
        "가",
        "ꛗ",
        "𠮷",
        "x",
        " " * 47,
    ),
)
MARKS = ("\x01", "\x02", "\ua6f2", "\ua6f7")
html_text = st.lists(st.one_of(st.sampled_from(PARTS), japanese_text), max_size=25).map("".join)


def twin(html: str, links: bool) -> str:
    html = mark_lines(strip_marks(html))
    return deepen_lists(mark_links(html) if links else html)


@settings(max_examples=1500, deadline=None)
@given(html_text, st.booleans())
def test_same_as_the_twin(html: str, links: bool) -> None:
    found = mark_html(html, links)
    assert found is None or found == twin(html, links)


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.sampled_from(PARTS), max_size=30).map("".join), st.booleans())
def test_same_as_the_twin_on_markup(html: str, links: bool) -> None:
    found = mark_html(html, links)
    assert found is None or found == twin(html, links)


@pytest.mark.parametrize("mark", MARKS)
def test_marks_are_left_to_the_twin(mark: str) -> None:
    assert mark_html(f"<p>港{mark}</p>", True) is None


@pytest.mark.parametrize(
    ("html", "want"),
    [
        ("", ""),
        ("港\n町", "港\ua6f3\n町"),
        ("<rt>字</rt>", "<rt>字\ua6f2</rt>"),
        ("<a x>y</a>", "<a x>\x01y\x02</a>"),
        ("y</a>", "y</a>"),
        ("<p>x</p><ul><li></ul>", "<p>x</p><div><div><div><ul><li></ul></div></div></div>"),
        ("<div><ul></ul></div>", "<div><ul></ul></div>"),
        ("\ud800", None),
    ],
)
def test_marks(html: str, want: str | None) -> None:
    assert mark_html(html, True) == want


def test_real_pages(real_data: Path) -> None:
    with gzip.open(real_data / "warc" / "dev-00000.warc.gz", "rb") as file:
        text = file.read(24_000_000).decode("utf-8", "replace")
    for page in text.split("\r\nWARC-Type: response")[1:]:
        found = mark_html(page, True)
        assert found is None or found == twin(page, True)
