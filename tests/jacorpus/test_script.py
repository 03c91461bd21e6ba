import doctest

import pytest

from jacorpus import script


def test_docstrings_hold():
    result = doctest.testmod(script)
    assert result.attempted >= 4
    assert result.failed == 0


def test_white_space_is_what_strip_takes_away():
    assert {code for code in range(0x110000) if not chr(code).strip()} == script.WHITE_SPACE


@pytest.mark.parametrize(
    ("char", "members"),
    [
        ("ゖ", script.HIRAGANA),
        ("ヶ", script.KATAKANA),
        ("々", script.KANJI),
        ("𠮷", script.KANJI),
        ("！", script.JAPANESE),
        ("゛", script.HIRAGANA_BLOCK),
        ("♥", script.SPECIAL),
        ("😀", script.SPECIAL),
        ("\n", script.SPECIAL),
    ],
)
def test_members(char, members):
    assert ord(char) in members


@pytest.mark.parametrize("char", "ーｱa1!　")
def test_these_are_not_japanese_characters(char):
    assert ord(char) not in script.JAPANESE


def test_digits_and_letters_are_not_special():
    assert not script.SPECIAL & script.characters("0123456789azAZあア漢")
