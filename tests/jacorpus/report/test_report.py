"""The tree renders to JSON, Markdown and HTML, and says the same in each."""

import doctest
import json

import pytest

from jacorpus.report import numbers, svg
from jacorpus.report.numbers import Interval
from jacorpus.report.report import (
    Bar,
    Bars,
    Column,
    Curve,
    Excerpt,
    Excerpts,
    Fact,
    Facts,
    Histogram,
    Line,
    Paragraph,
    Piece,
    Point,
    Report,
    Scatter,
    Section,
    Segment,
    Segmentations,
    Segmented,
    Series,
    Step,
    Table,
    Threshold,
    Views,
    Waterfall,
    show,
)

TREE = Report(
    "題 <b>",
    "one & two",
    (
        Section(
            "all",
            "All blocks",
            (
                Paragraph("A < B"),
                Facts((Fact("kept", 12, "count", "most"),)),
                Table("表", (Column("name"), Column("size", "bytes")), (("a|b", 1500), ("c", None)), "a note"),
                Bars("bars", "count", (Series("x"), Series("y")), (Bar("one", (1.0, 2.0)),)),
                Bars(
                    "stacked", "count", (Series("x", "kept"), Series("y", "dropped")), (Bar("one", (1.0, 3.0)),), True
                ),
                Views(
                    (("documents", Waterfall("fall", "count", (Step("read", 10, "plain", True), Step("short", 4)))),)
                ),
                Histogram("chars", (0.0, 1.0, 2.0), (3, 4), (Threshold(1.0, "min", "keep ≥ 1"),), failing=3, unknown=2),
                Scatter("points", "ids", "characters", (Point("甲", 100.0, 1.0), Point("乙", 1e5, 2.0)), log_x=True),
                Segmentations("cut", (Segmented("t", (Segment("日本"), Segment("⟨E8⟩", "id 1", True))),)),
                Table("", (Column("n"), Column("v", "share")), (("with", Interval(0.5, 0.25, 0.75)),)),
                Curve("curve", "s", "p", (Line("l", ((0.0, 0.1), (1.0, 0.9))),), ((0.7, "threshold"),)),
                Excerpts(
                    "web", (Excerpt("url", (("id", "00"),), (Piece("前"), Piece("印", "hit"), Piece("", "gap"))),), 5
                ),
            ),
        ),
    ),
)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "count", ""),
        (True, "text", "yes"),
        (0, "share", "0 %"),
        (1.0, "share", "100 %"),
        (0.99999, "share", "100.00 %"),
        (0.0000001, "share", "< 0.001 %"),
        (999, "bytes", "999 B"),
        (5.25e6, "bytes", "5.25 MB"),
        (3.2e15, "bytes", "3,200 TB"),
        (1.5e8, "bytes/s", "150 MB/s"),
        (0.034, "s", "0.034 s"),
        (7265, "s", "2 h 01 min"),
        (20000.0, "number", "20,000"),
        (12345.67, "number", "12,345.7"),
        ("already text", "count", "already text"),
        (-0.0345, "share", "−3.5 %"),
        (Interval(1.25, 1.2, 1.3), "number", "1.250 [1.200, 1.300]"),
        (Interval(1.0, 1.0, 1.0), "share", "100 %"),
    ],
)
def test_numbers_are_shown_as_people_write_them(value, unit, text):
    assert show(value, unit) == text


def test_json_holds_raw_numbers_and_kinds():
    blocks = json.loads(TREE.to_json())["sections"][0]["blocks"]
    assert [block["kind"] for block in blocks] == [
        "paragraph",
        "facts",
        "table",
        "bars",
        "bars",
        "views",
        "histogram",
        "scatter",
        "segmentations",
        "table",
        "curve",
        "excerpts",
    ]
    assert blocks[2]["rows"] == [["a|b", 1500], ["c", None]]
    assert blocks[5]["views"][0][1]["kind"] == "waterfall"


def test_html_escapes_text_and_asks_for_nothing():
    html = TREE.to_html()
    assert "<h1>題 &lt;b&gt;</h1>" in html
    assert "A &lt; B" in html
    assert "<mark>印</mark>" in html
    assert html.count("<svg") == 6
    assert '<span class="t1 strange" title="id 1">⟨E8⟩</span>' in html
    assert "50.0 %<small>[25.0, 75.0]</small>" in html
    for request in ("http://", "https://", "src=", "@import", "url("):
        assert request not in html


def test_markdown_has_every_block():
    text = TREE.to_markdown()
    assert "| a\\|b | 1.5 kB |" in text
    assert "| short | -4 |" in text
    assert "| keep ≥ 1 | 7 | 3 | 2 |" in text
    assert "前**印**…" in text
    assert "| 乙 | 100,000 | 2 |" in text
    assert "| t | 2 | 日本¦⟨E8⟩ |" in text
    assert "| with | 50.0 % [25.0, 75.0] |" in text


def test_rendering_is_the_same_twice():
    assert TREE.to_html() == TREE.to_html()


@pytest.mark.parametrize("module", [numbers, svg])
def test_doctests(module):
    assert doctest.testmod(module) == doctest.TestResults(0, 1)
