"""Pseudo-words: where a text would be cut into words, told from scripts alone.

A pseudo-word is two kanji, two hiragana (one where the run ends), a run of katakana, of letters or of digits, or one
symbol. White space only separates. On hand-segmented sentences (UD_Japanese-GSD, short unit words, 1.64 characters a
word) a kanji is worth 0.69 words and a hiragana 0.60, so pairs have the right length; a pair begins where its run
begins, so that a repeated phrase is cut in the same way each time.

Classes: hiragana (U+3041-309F), kanji (々〇〻, U+3400-9FFF, F900-FAFF, U+20000-3FFFF), katakana (U+30A1-30FF without
・, half-width U+FF66-FF9F), digits (ASCII and full-width), white space, symbols (ASCII and Latin-1 punctuation and
controls, U+2010-2BFF, 2E00-2E7F, 3001-3040, ゠・, FE10-FE6F, FF01-FF65, FFE0-FFFF, 1F000-1FAFF), letters (all others).

Legend: N documents, S bytes of UTF-8, W pseudo-words in all.
"""

import re
from functools import cache
from typing import NamedTuple

import numba as nb
import numpy as np
import pyarrow as pa

from jacorpus.kernels.buffers import text_buffers
from jacorpus.kernels.characters import decode_at

SPACE, HIRAGANA, KANJI, KATAKANA, LETTER, DIGIT, SYMBOL = range(7)

_RANGES = (
    (SYMBOL, ((0x00, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0xBF), (0xD7, 0xD7), (0xF7, 0xF7), (0x2000, 0x2BFF))),
    (SYMBOL, ((0x2E00, 0x2E7F), (0x3000, 0x3040), (0x30A0, 0x30A0), (0x30FB, 0x30FB), (0xFE10, 0xFE6F))),
    (SYMBOL, ((0xFF01, 0xFF0F), (0xFF1A, 0xFF20), (0xFF3B, 0xFF40), (0xFF5B, 0xFF65), (0xFFE0, 0xFFFF))),
    (SYMBOL, ((0x1F000, 0x1FAFF),)),
    (SPACE, ((0x09, 0x0D), (0x1C, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0x2000, 0x200B), (0x2028, 0x2029))),
    (SPACE, ((0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF))),
    (HIRAGANA, ((0x3041, 0x309F),)),
    (KATAKANA, ((0x30A1, 0x30FA), (0x30FC, 0x30FF), (0xFF66, 0xFF9F))),
    (KANJI, ((0x3005, 0x3005), (0x3007, 0x3007), (0x303B, 0x303B), (0x3400, 0x9FFF), (0xF900, 0xFAFF))),
    (KANJI, ((0x20000, 0x3FFFF),)),
    (DIGIT, ((0x30, 0x39), (0xFF10, 0xFF19))),
)


class PseudoWords(NamedTuple):
    """offsets int64 [N+1]: where documents begin. Of each word: number int32 [W], the same for equal words of one
    document and counted from 0 in each; chars int32 [W]; kind uint8 [W], HIRAGANA to SYMBOL."""

    offsets: np.ndarray
    numbers: np.ndarray
    chars: np.ndarray
    kinds: np.ndarray


def _class(char: str) -> int:
    found = LETTER
    for kind, ranges in _RANGES:
        if any(first <= ord(char) <= last for first, last in ranges):
            found = kind
    return found


def pseudo_words_naive(text: str) -> list[tuple[str, int]]:
    """(word, kind) of each pseudo-word of a text, by a regular expression over the classes of its characters."""
    kinds = "".join(str(_class(char)) for char in text)
    pairs = f"{HIRAGANA}{{1,2}}|{KANJI}{{1,2}}"
    runs = f"{KATAKANA}+|{LETTER}+|{DIGIT}+|{SYMBOL}"
    return [(text[m.start() : m.end()], int(m[0][0])) for m in re.finditer(f"{pairs}|{runs}", kinds)]


@cache
def _table() -> np.ndarray:
    """Class of every code point, uint8 [0x110000]."""
    table = np.full(0x110000, LETTER, np.uint8)
    for kind, ranges in _RANGES:
        for first, last in ranges:
            table[first : last + 1] = kind
    return table


@nb.njit(cache=True, nogil=True)
def _cut(data, start, end, table, first, starts, ends, chars, kinds):
    """Write the words of data[start:end] to starts, ends, chars, kinds from place ``first`` on; the place behind."""
    word = first
    open_kind = np.int64(0)  # of the word that may go on; 0 when there is none
    at = start
    while at < end:
        code, width = decode_at(data, at, end)
        kind = np.int64(table[code])
        if kind != 0:
            if kind == open_kind and (kind >= 3 or chars[word - 1] < 2):
                chars[word - 1] += 1
            else:
                starts[word], chars[word], kinds[word] = at, 1, kind
                word += 1
            ends[word - 1] = at + width
        open_kind = kind if kind != 6 else np.int64(0)
        at += width
    return word


@nb.njit(cache=True, nogil=True)
def _number(data, first, last, starts, ends, numbers, slots):
    """Number the words first to last of one document; equal bytes get equal numbers. slots: scratch."""
    size = np.int64(16)
    while size < 2 * (last - first):
        size *= 2
    slots[:size] = -1
    distinct = np.int32(0)
    for word in range(first, last):
        mixed = np.uint64(0xCBF29CE484222325)
        for i in range(starts[word], ends[word]):
            mixed = (mixed ^ np.uint64(data[i])) * np.uint64(0x100000001B3)
        slot = np.int64((mixed * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20)) & (size - 1)
        while slots[slot] >= 0:
            other = slots[slot]
            equal = ends[other] - starts[other] == ends[word] - starts[word]
            for i in range(ends[word] - starts[word]):
                if not equal:
                    break
                equal = data[starts[other] + i] == data[starts[word] + i]
            if equal:
                break
            slot = (slot + 1) & (size - 1)
        if slots[slot] < 0:
            slots[slot] = word
            numbers[word] = distinct
            distinct += np.int32(1)
        else:
            numbers[word] = numbers[slots[slot]]


@nb.njit(cache=True, nogil=True)
def _pseudo_words(offsets, data, table, starts, ends, numbers, chars, kinds, bounds):
    longest = np.int64(8)
    for d in range(len(offsets) - 1):
        first = bounds[d]
        bounds[d + 1] = _cut(data, offsets[d], offsets[d + 1], table, first, starts, ends, chars, kinds)
        longest = max(longest, bounds[d + 1] - first)
    slots = np.empty(4 * longest, np.int64)
    for d in range(len(offsets) - 1):
        _number(data, bounds[d], bounds[d + 1], starts, ends, numbers, slots)


def pseudo_words(array: pa.Array) -> PseudoWords:
    """Pseudo-words of a string array."""
    offsets, data = text_buffers(array)
    room = int(offsets[-1] - offsets[0])
    starts, ends = np.empty(room, np.int64), np.empty(room, np.int64)
    numbers, chars, kinds = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.uint8)
    bounds = np.zeros(len(offsets), np.int64)
    _pseudo_words(offsets, data, _table(), starts, ends, numbers, chars, kinds, bounds)
    words = int(bounds[-1])
    return PseudoWords(bounds, numbers[:words], chars[:words], kinds[:words])
