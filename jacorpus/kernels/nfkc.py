"""Unicode normal forms NFKC and NFC as a table kernel, equal to ``unicodedata.normalize`` byte for byte.

A character has a *boundary before it* when its full decomposition starts with a starter (combining class 0)
that never composes with what stands before (UAX #15, section 9). Text can be cut at such characters and its
pieces normalized one by one. So a character with a boundary becomes its own normal form, out of the table;
one without (combining marks, half-width dakuten, vowel and final jamo) goes to unicodedata together with the
character before it. The table is built from unicodedata once a process (0.4 s), so it always has the version
of the interpreter, ``unicodedata.unidata_version``; reading a stored one would not be faster.
"""

import sys
import unicodedata
from functools import cache, partial
from typing import Literal

import pyarrow as pa

from jacorpus.kernels.charmap import CharMap, char_map, map_chars

Form = Literal["NFC", "NFKC"]


def normal_form_naive(text: str, form: Form) -> str:
    """The same for one text."""
    return unicodedata.normalize(form, text)


def _may_change(char: str) -> bool:
    """Whether a character has a decomposition, is a mark, or is hangul (whose decompositions are computed)."""
    hangul = "\u1100" <= char <= "\u11ff" or "가" <= char <= "힣"
    return hangul or bool(unicodedata.decomposition(char)) or bool(unicodedata.combining(char))


def _second_of_pairs(chars: list[str]) -> set[str]:
    """Characters that can compose with the one before them."""
    seconds = {chr(point) for span in (range(0x1161, 0x1176), range(0x11A8, 0x11C3)) for point in span}
    for char in chars:
        parts = unicodedata.decomposition(char).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            seconds.add(chr(int(parts[1], 16)))
    return seconds


@cache
def normal_form_table(form: Form) -> CharMap:
    """The table of a form for all of Unicode."""
    chars = [chr(point) for point in range(0x80, sys.maxunicode + 1) if not 0xD800 <= point < 0xE000]
    live = [char for char in chars if _may_change(char)]
    seconds = _second_of_pairs(live)
    full: Literal["NFD", "NFKD"] = "NFKD" if form == "NFKC" else "NFD"
    replacements, joining = {}, []
    for char in live:
        first = unicodedata.normalize(full, char)[0]
        if unicodedata.combining(first) or first in seconds:
            joining.append(char)
        elif (normal := unicodedata.normalize(form, char)) != char:
            replacements[char] = normal
    # A joining character may have neither decomposition nor class: jamo are hangul, all others are in `live`.
    return char_map(replacements, sorted(seconds.union(joining)), partial(unicodedata.normalize, form))


def normal_form(array: pa.Array, form: Form = "NFKC") -> pa.Array:
    """Normalize each text of a string array [N]; large_string [N], the same array when nothing changes."""
    return map_chars(array, normal_form_table(form))
