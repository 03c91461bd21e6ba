"""Marks leave no trace but what they are for."""

from hypothesis import given, settings

from jacorpus.extract.marks import CLOSE, LINE, OPEN, mark_lines, mark_links, read_marks, strip_marks
from tests.strategies import japanese_text


@settings(max_examples=200, deadline=None)
@given(japanese_text)
def test_no_mark_is_left(text: str) -> None:
    marked = mark_links(mark_lines(strip_marks(text)))
    found, _ = read_marks(marked)
    assert not set(found) & {OPEN, CLOSE, LINE}


def test_line_break_in_japanese_is_no_space() -> None:
    marked = mark_lines("港の町を\r\n歩いた after\nall")
    assert read_marks(marked.replace("\n", " "))[0] == "港の町を歩いた after all"


def test_line_break_stays_where_it_is_shown() -> None:
    assert read_marks(mark_lines("港の\n  町"))[0] == "港の\n  町"


def test_link_characters() -> None:
    marked = mark_links('<p>町の<a href="x">案内</a>と<A HREF=y>map</A></p>')
    assert read_marks(marked) == ('<p>町の<a href="x">案内</a>と<A HREF=y>map</A></p>', 5)


def test_lines_of_nothing_but_marks_are_gone() -> None:
    assert read_marks(f"上\n\n{OPEN}{CLOSE}\n\n  • {OPEN}¶{CLOSE}\n下")[0] == "上\n\n下"


def test_soft_hyphens_are_layout() -> None:
    assert read_marks("Ha\u00adfen")[0] == "Hafen"
