"""Which characters a new token must hold one of, by the name of a script.

Blocks are taken whole (unassigned code points included), so that the first bytes of a character tell its script.
"""

from collections.abc import Sequence

import numpy as np

from jacorpus.errors import RecipeError, nearest

RANGES = {
    "han": "3005-3007 3021-3029 3038-303B 3400-9FFF F900-FAFF 20000-3FFFF",
    "hiragana": "3040-309F 1B000-1B16F",
    "katakana": "30A0-30FF 31F0-31FF FF65-FF9F",
    "marks": "3000-303F FE30-FE4F FF00-FFEF",
    "hangul": "1100-11FF 3130-318F A960-A97F AC00-D7FF",
    "bopomofo": "3100-312F 31A0-31BF",
}
"""Code points, ends included. ``marks`` are the CJK punctuation and the half- and full-width forms."""

JAPANESE = ("han", "hiragana", "katakana", "marks")
_LETTERS = ("han", "hiragana", "katakana", "hangul", "bopomofo")

SPACE, EAST_ASIAN, LETTER, DIGIT, MARK = range(5)
"""Classes of characters that a new token never holds two of, but for a space before it."""


def target_ranges(names: Sequence[str]) -> np.ndarray:
    """int64 [R, 2] of code points, ends included, sorted and joined; empty for no names: every character.

    Raises RecipeError for an unknown name.
    """
    spans = []
    for name in names:
        if name not in RANGES:
            raise RecipeError(f"no script is named `{name}`{nearest(name, RANGES)}")
        for span in RANGES[name].split():
            first, _, last = span.partition("-")
            spans.append([int(first, 16), int(last or first, 16)])
    joined: list[list[int]] = []
    for first_point, last_point in sorted(spans):
        if joined and first_point <= joined[-1][1] + 1:
            joined[-1][1] = max(joined[-1][1], last_point)
        else:
            joined.append([first_point, last_point])
    return np.array(joined, np.int64).reshape(-1, 2)


def holds_target(text: str, ranges: np.ndarray) -> bool:
    """Whether a character of the text lies in the ranges; always for empty ranges."""
    return not len(ranges) or any(first <= ord(c) <= last for c in text for first, last in ranges)


def class_of(char: str, join_marks: bool = False) -> int:
    """One of SPACE, EAST_ASIAN, LETTER, DIGIT, MARK. join_marks: punctuation counts as East Asian letters."""
    if char in "\u2581 ":
        return SPACE
    if any(first <= ord(char) <= last for first, last in _EAST_ASIAN):
        return EAST_ASIAN
    return DIGIT if char.isdigit() else LETTER if char.isalpha() else EAST_ASIAN if join_marks else MARK


_EAST_ASIAN = [tuple(span) for span in target_ranges(_LETTERS).tolist()]
