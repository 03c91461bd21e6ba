"""Counts of characters: classes, head, runs and sentences of each document, in one pass over its UTF-8.

Every code point has one byte in a table, its class: characters that share all their properties (hiragana and
in the hiragana block and ...) are one class, each stop word is a class of its own. The pass fills a histogram
of classes; the counts are sums over it. The definitions are those of `jacorpus.script`.

Legend: N documents, K classes, P properties.
"""

from functools import cache
from itertools import groupby
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit

from jacorpus import script
from jacorpus.kernels.buffers import text_buffers

CODE_POINTS = 0x110000
_CLASSES = 64
_SENTENCE_END, _WHITE_SPACE, _ELLIPSIS, _HEAD_KANA, _LINE_FEED = 1, 2, 4, 8, 16

PROPERTIES = {
    "hiragana_chars": script.HIRAGANA,
    "katakana_chars": script.KATAKANA,
    "kanji_chars": script.KANJI,
    "japanese_chars": script.JAPANESE,
    "hiragana_block_chars": script.HIRAGANA_BLOCK,
    "kuten_chars": script.characters("。"),
    "special_chars": script.SPECIAL,
}
"""Name of a count -> the characters it counts."""

MEASURES = (
    "chars",
    "kana_head_chars",
    "run_max_chars",
    "sentences",
    "sentence_chars",
    "sentence_max_chars",
    "ellipsis",
)
"""What the pass finds beside the classes, in the order of the kernel's columns."""


class Classes(NamedTuple):
    """class_of: class of each code point, uint8 [0x110000]. flags: bits that steer the pass, uint8 [K].

    counts_KP: 1 where the class has the property. stops: the classes of the stop words.
    """

    class_of: np.ndarray
    flags: np.ndarray
    counts_KP: np.ndarray
    stops: np.ndarray


@cache
def classes() -> Classes:
    """The table, built once a process from `jacorpus.script` (some 20 ms)."""
    # In the order of the bits of flags.
    marks = (script.SENTENCE_ENDS, script.WHITE_SPACE, script.ELLIPSIS_ENDS, script.HEAD_KANA, {10})
    sets = [*marks, *PROPERTIES.values(), *(script.characters(char) for char in script.STOP_CHARS)]
    bits = np.zeros(CODE_POINTS, np.int64)
    for bit, members in enumerate(sets):
        bits[np.fromiter(members, np.int64)] |= 1 << bit
    kinds, class_of = np.unique(bits, return_inverse=True)
    if len(kinds) > _CLASSES:
        raise ValueError(f"{len(kinds)} classes of characters, at most {_CLASSES} fit")
    has = ((kinds[:, None] >> np.arange(len(sets))) & 1).astype(np.int64)
    has = np.pad(has, ((0, _CLASSES - len(kinds)), (0, 0)))
    flags = (has[:, : len(marks)] << np.arange(len(marks))).sum(1).astype(np.uint8)
    counts_KP, stops = np.split(has[:, len(marks) :], [len(PROPERTIES)], axis=1)
    return Classes(class_of.astype(np.uint8), flags, counts_KP, stops.argmax(0))


def character_counts_naive(text: str) -> dict[str, int]:
    """The counts of one text, straight from the definitions."""
    sentences = script.sentences(text)
    counts = {name: sum(ord(char) in members for char in text) for name, members in PROPERTIES.items()}
    return counts | {
        "chars": len(text),
        "bytes": len(text.encode()),
        "kana_head_chars": sum(ord(char) in script.HEAD_KANA for char in text[: script.HEAD_CHARS]),
        "run_max_chars": max((sum(1 for _ in run) for _, run in groupby(text)), default=0),
        "sentences": len(sentences),
        "sentence_chars": sum(map(len, sentences)),
        "sentence_max_chars": max(map(len, sentences), default=0),
        "ellipsis": sum(s.strip().endswith(("・", "…")) for s in sentences),
        "stopword_types": len(set(text) & set(script.STOP_CHARS)),
    }


@njit(cache=True, nogil=True, inline="always")
def decode_at(data, i, end):
    """(code point, bytes it takes) of the UTF-8 at data[i].

    Arrow text is valid UTF-8. Should it not be, code points are wrong but never over U+10FFFF, and nothing at or
    behind ``end`` is read.
    """
    first = np.uint32(data[i])
    if first < 0x80:
        return first, 1
    if first >= 0xE0 and first < 0xF0 and i + 2 < end:
        b1, b2 = np.uint32(data[i + 1] & 63), np.uint32(data[i + 2] & 63)
        return np.uint32(np.uint32(first & 15) << np.uint32(12)) | np.uint32(b1 << np.uint32(6)) | b2, 3
    if first >= 0xC0 and first < 0xE0 and i + 1 < end:
        return np.uint32(np.uint32(first & 31) << np.uint32(6)) | np.uint32(data[i + 1] & 63), 2
    if first >= 0xF0 and i + 3 < end:
        b1, b2, b3 = np.uint32(data[i + 1] & 63), np.uint32(data[i + 2] & 63), np.uint32(data[i + 3] & 63)
        high = np.uint32(np.uint32(first & 7) << np.uint32(18)) | np.uint32(b1 << np.uint32(12))
        return min(high | np.uint32(b2 << np.uint32(6)) | b3, np.uint32(CODE_POINTS - 1)), 4
    return first, 1


@njit(cache=True, nogil=True)
def decode(data, start, end, codes):
    """Write the code points of data[start:end] to codes (uint32, at least end - start long); their number."""
    count = 0
    i = start
    while i < end:
        # Kana, kanji and ASCII come in runs: four of them at a time.
        while i + 12 <= end:
            a, b, c, d = data[i], data[i + 3], data[i + 6], data[i + 9]
            if ((a ^ 0xE0) | (b ^ 0xE0) | (c ^ 0xE0) | (d ^ 0xE0)) > 0x0F:
                break
            for k in range(4):
                j = i + 3 * k
                b0, b1, b2 = np.uint32(data[j] & 15), np.uint32(data[j + 1] & 63), np.uint32(data[j + 2] & 63)
                codes[count + k] = np.uint32(b0 << np.uint32(12)) | np.uint32(b1 << np.uint32(6)) | b2
            count += 4
            i += 12
        while i + 4 <= end and (data[i] | data[i + 1] | data[i + 2] | data[i + 3]) < 0x80:
            for k in range(4):
                codes[count + k] = data[i + k]
            count += 4
            i += 4
        if i < end:
            code, step = decode_at(data, i, end)
            codes[count] = code
            count += 1
            i += step
    return count


@njit(cache=True, nogil=True)
def _sentence_ends_in_ellipsis(kinds, flags, start, end):
    """Is the last character of kinds[start:end] that is no white space one of the ellipsis marks?"""
    for i in range(end - 1, start - 1, -1):
        flag = flags[kinds[i]]
        if not flag & _WHITE_SPACE:
            return (flag & _ELLIPSIS) != 0
    return False


@njit(cache=True, nogil=True)
def _sentences(kinds, flags, count, breaks, row):
    """Fill the sentence measures of one document: row[3:7]. An ellipsis ends a sentence only before a line end."""
    found = 0
    for i in range(count):
        breaks[found] = i
        found += (flags[kinds[i]] & (_SENTENCE_END | _LINE_FEED)) != 0
    breaks[found] = count
    start = 0
    for j in range(found + 1):
        i = breaks[j]
        length = i - start
        if length > 0:
            if i < count and flags[kinds[i]] & _SENTENCE_END:
                length += 1
            else:
                row[6] += _sentence_ends_in_ellipsis(kinds, flags, start, i)
            row[3] += 1
            row[4] += length
            row[5] = max(row[5], length)
        start = i + 1


@njit(cache=True, nogil=True)
def _longest_run(codes, count):
    """Length of the longest run of one character.

    A longer run than the best so far that begins at ``start`` or later covers codes[start + longest]: reading
    backwards from there, the first other character tells where it can begin at the earliest. So most characters
    are never read.
    """
    longest = min(count, 1)
    start = 0
    while start + longest < count:
        code = codes[start + longest]
        i = start + longest - 1
        while i >= start and codes[i] == code:
            i -= 1
        if i >= start:
            start = i + 1
            continue
        end = start + longest + 1
        while end < count and codes[end] == code:
            end += 1
        longest = end - start
        start = end
    return longest


@njit(cache=True, nogil=True)
def _count(offsets, data, class_of, flags, head_chars, hist_NK, rows):
    """Histograms and measures of all documents."""
    documents = len(offsets) - 1
    largest = 0
    for d in range(documents):
        largest = max(largest, offsets[d + 1] - offsets[d])
    codes = np.empty(largest + 1, np.uint32)
    kinds, breaks = np.empty(largest + 1, np.uint8), np.empty(largest + 1, np.int64)
    even, odd = np.zeros(_CLASSES, np.int64), np.zeros(_CLASSES, np.int64)
    for d in range(documents):
        count = decode(data, offsets[d], offsets[d + 1], codes)
        even[:] = 0
        odd[:] = 0
        for i in range(count):
            kinds[i] = class_of[codes[i]]
        # Two histograms, since neighbors are often of one class and would wait for each other.
        for i in range(0, count - 1, 2):
            even[kinds[i]] += 1
            odd[kinds[i + 1]] += 1
        if count % 2:
            even[kinds[count - 1]] += 1
        hist_NK[d] = even + odd
        rows[d, 0] = count
        for i in range(min(head_chars, count)):
            rows[d, 1] += (flags[kinds[i]] & _HEAD_KANA) != 0
        rows[d, 2] = _longest_run(codes, count)
        _sentences(kinds, flags, count, breaks, rows[d])


def character_counts(array: pa.Array) -> dict[str, np.ndarray]:
    """Counts of each text of a string array: name -> int64 [N].

    PROPERTIES and MEASURES name them; also ``bytes`` (of UTF-8) and ``stopword_types``. ``sentence_chars`` is
    the sum over sentences, ``ellipsis`` the number of sentences that end in one. A null counts as an empty text.
    """
    offsets, data = text_buffers(array)
    table = classes()
    hist_NK = np.zeros((len(array), _CLASSES), np.int64)
    rows = np.zeros((len(array), len(MEASURES)), np.int64)
    _count(offsets, data, table.class_of, table.flags, script.HEAD_CHARS, hist_NK, rows)
    counts = dict(zip(PROPERTIES, (hist_NK @ table.counts_KP).T, strict=True))
    counts |= zip(MEASURES, rows.T, strict=True)
    counts["bytes"] = np.diff(offsets)
    counts["stopword_types"] = (hist_NK[:, table.stops] > 0).sum(1)
    return counts
