"""Passages as people see them: nothing that a tokenizer does to a text is hidden."""

import doctest

from tests.tokenizer_lab.words_tokenizer import Words, texts_of, units_of
from tokenizer_lab.comparison import segmentations as module
from tokenizer_lab.comparison.segmentations import passages, segmentations


def _shown(passage: str, tokenizer: Words) -> list[tuple[str, bool]]:
    block = segmentations("t", passage, {"w": tokenizer})
    return [(segment.text, segment.strange) for segment in block.rows[0].segments]


def test_whole_characters_bytes_and_prefix() -> None:
    assert _shown("日a", Words("日", prefix=True)) == [("▁", True), ("日", False), ("a", True)]
    assert _shown("本", Words("日")) == [("⟨E6⟩", True), ("⟨9C⟩", True), ("⟨AC⟩", True)]
    assert _shown("鷗外", Words("日", fallback=False)) == [("鷗外", True)]


def test_text_that_no_token_stands_for_is_shown() -> None:
    class Dropping(Words):
        def _cut(self, data: bytes) -> list[tuple[int, int, int]]:
            return [found for found in super()._cut(data) if data[found[1]] != 0x20]

    assert _shown("a b ", Dropping("a", "b")) == [("a", False), ("␣", True), ("b", False), ("␣", True)]


def test_gold_stands_on_top() -> None:
    block = segmentations("t", "日本語", {"w": Words("日本語")}, ("word", [0, 6, 9]))
    assert [(row.name, [s.text for s in row.segments]) for row in block.rows] == [
        ("gold: word", ["日本", "語"]),
        ("w", ["日本語"]),
    ]


def test_passages_are_readable_lines() -> None:
    line = "これは見本としてちょうどよい長さの一行であり、句点で終わるので選ばれる。そして続く"
    corpus = texts_of(f"短い\n{line}\n{'1' * 50}")
    gold = texts_of("短", "犬" * 40, name="g", units={"word": units_of(["短"], ["犬" * 10, "犬" * 30])})
    found = passages([corpus], [gold])
    assert found[0][:2] == ("t", line)
    assert found[1] == ("g", "犬" * 40, ("word", [0, 30, 120]))
    assert found[2][0] == "a passage of hard places"


def test_doctests() -> None:
    assert doctest.testmod(module).failed == 0
