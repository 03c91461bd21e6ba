"""Count the kinds of characters of a text, fine enough to tell Japanese, Chinese and Korean apart.

A kind is a script; for kanji it says which national character sets hold the character and at what level. Those
sets were drawn up by how common characters are in each country, so membership alone carries the evidence: 込
and 働 are in JIS X 0208 only, 们 in GB 2312 only, 個 in JIS and Big5 but not in GB 2312. The sets are asked of
Python's codecs when the table is first needed (0.2 s); no word list, no training.

Legend: N documents, K kinds. Level 1 holds the common characters of a set, level 2 the rare ones, 0 = absent.
"""

from functools import cache

import numpy as np
import pyarrow as pa
from numba import njit, uint64

from jacorpus.kernels.buffers import text_buffers

OTHER, LATIN, HIRAGANA, KATAKANA, HANGUL, SCRIPT, ITERATION, FULL_COMMA, IDEOGRAPHIC_COMMA, QUOTE = range(10)
"""Kinds: no letter; Latin; kana (half-width too); hangul; another script; 々〆ヶ; ，; 、; Chinese quotes “”."""
HAN = 10
"""HAN + 18*JIS level + 6*GB level + 2*Big5 level + KS membership: kinds of ideographs."""
KINDS = HAN + 54

_HAN_SPANS = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF))
_LATIN_SPANS = ((0x41, 0x5A), (0x61, 0x7A), (0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x24F), (0x1E00, 0x1EFF),
                (0xFF21, 0xFF3A), (0xFF41, 0xFF5A))  # fmt: skip
_HIRAGANA_SPANS = ((0x3041, 0x3096),)
_KATAKANA_SPANS = ((0x30A1, 0x30FA), (0x31F0, 0x31FF), (0xFF66, 0xFF6F), (0xFF71, 0xFF9D))
_HANGUL_SPANS = (
    (0x1100, 0x11FF),
    (0x3131, 0x318E),
    (0xA960, 0xA97C),
    (0xAC00, 0xD7A3),
    (0xD7B0, 0xD7FB),
    (0xFFA1, 0xFFDC),
)


def _lead_byte(char: str, codec: str) -> int:
    """First byte of a two-byte character of the codec; 0 where the codec lacks it."""
    try:
        coded = char.encode(codec)
    except UnicodeEncodeError:
        return 0
    return coded[0] if len(coded) == 2 else 0


def han_kind(char: str) -> int:
    """The kind of an ideograph.

    JIS X 0208: rows 16-47 are level 1 (EUC B0-CF), 48-84 level 2; GB 2312: rows 16-55 (B0-D7), 56-87; Big5:
    A4-C6 and C9-F9; KS X 1001 holds its hanja without levels (CA-FD).
    """
    jis, gb, big5, ks = (_lead_byte(char, codec) for codec in ("euc_jp", "gb2312", "big5", "euc_kr"))
    jis_level = 0 if jis < 0xB0 else 1 if jis <= 0xCF else 2
    gb_level = 0 if gb < 0xB0 else 1 if gb <= 0xD7 else 2
    big5_level = 0 if big5 < 0xA4 else 1 if big5 <= 0xC6 else 2
    return HAN + 18 * jis_level + 6 * gb_level + 2 * big5_level + (0xCA <= ks <= 0xFD)


def char_kind(char: str) -> int:
    """The kind of any character."""
    point = ord(char)

    def within(spans):
        return any(first <= point <= last for first, last in spans)

    if within(_HAN_SPANS):
        return han_kind(char)
    special = {"々": ITERATION, "〆": ITERATION, "ヶ": ITERATION, "，": FULL_COMMA, "、": IDEOGRAPHIC_COMMA}
    special |= {"“": QUOTE, "”": QUOTE}
    if char in special:
        return special[char]
    for kind, spans in (
        (LATIN, _LATIN_SPANS),
        (HIRAGANA, _HIRAGANA_SPANS),
        (KATAKANA, _KATAKANA_SPANS),
        (HANGUL, _HANGUL_SPANS),
    ):
        if within(spans):
            return kind
    return SCRIPT if char.isalpha() and not 0x2E80 <= point <= 0x33FF else OTHER


@cache
def _kind_table() -> np.ndarray:
    """uint8 [0x110000]: the kind of each code point."""
    table = np.zeros(0x110000, np.uint8)
    table[0x20000 : 0x323AF + 1] = HAN  # no national set holds supplementary ideographs
    for first, last in _HANGUL_SPANS:
        table[first : last + 1] = HANGUL
    for start, stop in ((0, 0xAC00), (0xD7A4, 0xD800), (0xE000, 0x20000)):
        table[start:stop] = [char_kind(chr(point)) for point in range(start, stop)]
    return table


def script_counts_naive(text: str) -> list[int]:
    """Characters of each kind in one text."""
    counts = [0] * KINDS
    for char in text:
        counts[char_kind(char)] += 1
    return counts


@njit(cache=True, nogil=True)
def _count(offsets, data, table, counts):
    """Add to counts int64 [N, K]. Unsigned positions spare the test for negative indices."""
    for row in range(len(offsets) - 1):
        at, stop = uint64(offsets[row]), uint64(offsets[row + 1])
        here = counts[row]
        latin, ascii_chars = 0, 0
        while at < stop:
            lead = uint64(data[at])
            if lead < uint64(0x80):
                latin += ((lead | uint64(32)) - uint64(97)) < uint64(26)
                ascii_chars += 1
                at += uint64(1)
                continue
            point = uint64(data[at + uint64(1)]) & uint64(63)
            if lead < uint64(0xE0):
                point |= (lead & uint64(31)) << uint64(6)
                at += uint64(2)
            elif lead < uint64(0xF0):
                point = (lead & uint64(15)) << uint64(12) | point << uint64(6)
                point |= uint64(data[at + uint64(2)]) & uint64(63)
                at += uint64(3)
            else:
                point = (lead & uint64(7)) << uint64(18) | point << uint64(12)
                point |= (uint64(data[at + uint64(2)]) & uint64(63)) << uint64(6)
                point |= uint64(data[at + uint64(3)]) & uint64(63)
                at += uint64(4)
            here[uint64(table[point])] += 1
        here[LATIN] += latin
        here[OTHER] += ascii_chars - latin


def script_counts(array: pa.Array) -> np.ndarray:
    """int64 [N, K]: characters of each kind in each text of a string array [N]; a null counts as empty."""
    offsets, data = text_buffers(array)
    counts = np.zeros((len(offsets) - 1, KINDS), np.int64)
    _count(offsets, data, _kind_table(), counts)
    return counts
