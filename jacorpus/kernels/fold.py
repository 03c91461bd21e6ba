"""Folds text to what two copies of one sentence share: width, case, punctuation and spaces gone.

Dakuten are never dropped: marks that stand alone (combining, spacing, half-width) are joined to their kana.
Kept: letters, kana, kanji, digits. Dropped: punctuation, symbols, separators, control and format characters,
variation selectors. A character whose NFKC form is one character becomes that form (Ａ -> a, ｶ -> カ, ① -> 1).

Legend: N documents, S bytes of UTF-8, C folded code points in all.
"""

import functools
import unicodedata

import numpy as np
import pyarrow as pa
from numba import njit

from jacorpus.kernels.buffers import text_buffers

_VOICED, _SEMIVOICED = "\u3099\u309b\uff9e", "\u309a\u309c\uff9f"
_MARK, _SEMIMARK = 0x3099, 0x309A


def _fold_character(character: str) -> str:
    """The folded form of one character by itself; empty where it is dropped."""
    if character in _VOICED:
        return chr(_MARK)
    if character in _SEMIVOICED:
        return chr(_SEMIMARK)
    code = ord(character)
    if code > 0xFFFF:
        return "" if 0xE0100 <= code <= 0xE01EF else character
    if 0xFE00 <= code <= 0xFE0F:
        return ""
    form = unicodedata.normalize("NFKC", character)
    lower = (form if len(form) == 1 else character).lower()
    character = lower if len(lower) == 1 else character
    category = unicodedata.category(character)
    return "" if category[0] in "PZS" or category in ("Cc", "Cf") else character


def fold_text_naive(text: str) -> str:
    """The folded text; a mark that joins no kana before it stays."""
    out: list[str] = []
    for character in text:
        folded = _fold_character(character)
        if folded and ord(folded) in (_MARK, _SEMIMARK) and out:
            joined = unicodedata.normalize("NFC", out[-1] + folded)
            if len(joined) == 1:
                out[-1] = joined
                continue
        if folded:
            out.append(folded)
    return "".join(out)


@functools.cache
def fold_tables() -> tuple[np.ndarray, np.ndarray]:
    """(uint32 [65536] folded form of each code point, 0 = dropped; uint16 [2, 256] kana from U+3000 + mark)."""
    table = np.zeros(1 << 16, np.uint32)
    for code in range(1 << 16):
        if not 0xD800 <= code < 0xE000:
            table[code] = ord(_fold_character(chr(code)) or "\0")
    joined = np.zeros((2, 256), np.uint16)
    for row, mark in enumerate((_MARK, _SEMIMARK)):
        for code in range(256):
            form = unicodedata.normalize("NFC", chr(0x3000 + code) + chr(mark))
            joined[row, code] = ord(form) if len(form) == 1 else 0
    return table, joined


@njit(cache=True, nogil=True)
def fold_into(data, start, stop, table, joined, out):  # type: ignore[no-untyped-def]
    """Writes the folded code points of data[start:stop] to out (uint32) and returns their number."""
    count = 0
    i = start
    while i < stop:
        b = np.int64(data[i])
        if b < 0x80:
            code, i = np.int64(table[b]), i + 1
        elif b >= 0xF0 and i + 3 < stop:
            code = ((b & 0x7) << 18) | ((np.int64(data[i + 1]) & 0x3F) << 12)
            code |= ((np.int64(data[i + 2]) & 0x3F) << 6) | (np.int64(data[i + 3]) & 0x3F)
            i += 4
            if 0xE0100 <= code <= 0xE01EF:
                continue
        elif b >= 0xE0 and i + 2 < stop:
            code = ((b & 0xF) << 12) | ((np.int64(data[i + 1]) & 0x3F) << 6) | (np.int64(data[i + 2]) & 0x3F)
            code, i = np.int64(table[code]), i + 3
        elif b >= 0xC0 and i + 1 < stop:
            code, i = np.int64(table[((b & 0x1F) << 6) | (np.int64(data[i + 1]) & 0x3F)]), i + 2
        else:
            i += 1
            continue
        if code == 0:
            continue
        if (code == 0x3099 or code == 0x309A) and count > 0:
            before = np.int64(out[count - 1]) - 0x3000
            if 0 <= before < 256 and joined[code - 0x3099, before]:
                out[count - 1] = joined[code - 0x3099, before]
                continue
        out[count] = code
        count += 1
    return count


@njit(cache=True, nogil=True)
def _fold_all(offsets, data, table, joined, out_offsets, out):  # type: ignore[no-untyped-def]
    at = np.int64(0)
    for document in range(offsets.size - 1):
        out_offsets[document] = at
        at += fold_into(data, offsets[document], offsets[document + 1], table, joined, out[at:])
    out_offsets[offsets.size - 1] = at
    return at


def fold_codes(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(offsets int64 [N+1], folded code points uint32 [C]) of a string array."""
    offsets, data = text_buffers(texts)
    out = np.empty(int(offsets[-1] - offsets[0]), np.uint32)
    out_offsets = np.empty(len(offsets), np.int64)
    total = _fold_all(offsets, data, *fold_tables(), out_offsets, out)
    return out_offsets, out[:total]
