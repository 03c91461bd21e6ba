"""What an estimate of the number of words needs: characters and runs of each script in a document.

Classes: hiragana (U+3041-309F), kanji (々〇〻, U+3400-9FFF, F900-FAFF, from U+20000 on), katakana (U+30A1-30FF
without ・, half-width U+FF66-FF9F), digits (ASCII and full-width), white space, symbols (ASCII and Latin-1
punctuation, U+2000-2BFF, 2E00-2E7F, 3001-303F, ・, FE10-FE6F, FF01-FF65, 1F000-1FAFF), letters (everything else).
Legend: N documents.
"""

import re
from functools import cache

import numba as nb
import numpy as np
import pyarrow as pa

from jacorpus.kernels.buffers import text_buffers
from jacorpus.kernels.characters import decode_at

COUNTS = ("hiragana", "kanji", "katakana_runs", "letter_runs", "digit_runs", "symbols", "symbol_free_chars")
"""Columns of ``script_runs``; the last counts what is neither white space nor symbol."""

_SPACE, _HIRAGANA, _KANJI, _KATAKANA, _LETTER, _DIGIT, _SYMBOL = range(7)
_RANGES = (
    (_SYMBOL, ((0x00, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0xBF), (0xD7, 0xD7), (0xF7, 0xF7), (0x2000, 0x2BFF))),
    (_SYMBOL, ((0x2E00, 0x2E7F), (0x3000, 0x3040), (0x30A0, 0x30A0), (0x30FB, 0x30FB), (0xFE10, 0xFE6F))),
    (_SYMBOL, ((0xFF01, 0xFF0F), (0xFF1A, 0xFF20), (0xFF3B, 0xFF40), (0xFF5B, 0xFF65), (0xFFE0, 0xFFFF))),
    (_SYMBOL, ((0x1F000, 0x1FAFF),)),
    (_SPACE, ((0x09, 0x0D), (0x1C, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0x2000, 0x200B), (0x2028, 0x2029))),
    (_SPACE, ((0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF))),
    (_HIRAGANA, ((0x3041, 0x309F),)),
    (_KATAKANA, ((0x30A1, 0x30FA), (0x30FC, 0x30FF), (0xFF66, 0xFF9F))),
    (_KANJI, ((0x3005, 0x3005), (0x3007, 0x3007), (0x303B, 0x303B), (0x3400, 0x9FFF), (0xF900, 0xFAFF))),
    (_KANJI, ((0x20000, 0x3FFFF),)),
    (_DIGIT, ((0x30, 0x39), (0xFF10, 0xFF19))),
)


def _class(char: str) -> int:
    found = _LETTER
    for kind, ranges in _RANGES:
        if any(first <= ord(char) <= last for first, last in ranges):
            found = kind
    return found


def script_runs_naive(array: pa.Array) -> np.ndarray:
    """int64 [N, 7], see COUNTS, by counting characters and runs of a string of class numbers."""
    rows = []
    for text in array.to_pylist():
        kinds = "".join(str(_class(char)) for char in text or "")
        characters = [kinds.count(str(kind)) for kind in (_HIRAGANA, _KANJI)]
        runs = [len(re.findall(f"{kind}+", kinds)) for kind in (_KATAKANA, _LETTER, _DIGIT)]
        symbols = kinds.count(str(_SYMBOL))
        rows.append([*characters, *runs, symbols, len(kinds) - symbols - kinds.count(str(_SPACE))])
    return np.array(rows, np.int64).reshape(-1, len(COUNTS))


@cache
def _table() -> np.ndarray:
    """Class of every code point, uint8 [0x110000]."""
    table = np.full(0x110000, _LETTER, np.uint8)
    for kind, ranges in _RANGES:
        for first, last in ranges:
            table[first : last + 1] = kind
    return table


@nb.njit(cache=True, nogil=True)
def _script_runs(offsets, data, table, counts):
    for d in range(len(offsets) - 1):
        tally = np.zeros(7, np.int64)  # characters of each class
        runs = np.zeros(7, np.int64)
        last = np.int64(-1)
        at, end = offsets[d], offsets[d + 1]
        while at < end:
            code, width = decode_at(data, at, end)
            kind = np.int64(table[code])
            tally[kind] += 1
            runs[kind] += kind != last
            last = kind
            at += width
        counts[d, 0], counts[d, 1] = tally[1], tally[2]
        counts[d, 2], counts[d, 3], counts[d, 4] = runs[3], runs[4], runs[5]
        counts[d, 5] = tally[6]
        counts[d, 6] = tally[1] + tally[2] + tally[3] + tally[4] + tally[5]


def script_runs(array: pa.Array) -> np.ndarray:
    """int64 [N, 7] of a string array, see COUNTS."""
    offsets, data = text_buffers(array)
    counts = np.zeros((len(offsets) - 1, len(COUNTS)), np.int64)
    _script_runs(offsets, data, _table(), counts)
    return counts
