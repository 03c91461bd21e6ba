"""White space cleaning as a stage."""

import pytest

from jacorpus.normalize.whitespace import Whitespace
from tests.jacorpus.normalize.documents import apply_texts


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a\r\nb\rc", "a\nb\nc"),
        ("\ufeff本文\u200bです\n", "本文です\n"),
        ("行末　 \t\n　字下げ", "行末\n　字下げ"),
        ("一\n\n\n\n二\n \n　\n三", "一\n\n二\n\n三"),
        ("\n\n本文\n\n\n", "本文\n"),
        ("a\x00b\x1bc\td", "abc\td"),
        ("👨‍👩‍👧", "👨‍👩‍👧"),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_cleans(text, clean):
    assert apply_texts(Whitespace(), [text]) == [clean]


def test_blank_lines_are_an_option():
    assert apply_texts(Whitespace(blank_lines=0), ["a\n\n\nb"]) == ["a\nb"]
    assert apply_texts(Whitespace(blank_lines=2), ["a\n\n\n\n\nb"]) == ["a\n\n\nb"]
