"""Lines and sentences of each document: how many repeat, are short, or end and begin in certain ways.

Repeats are found with a hash table of pieces per document. A piece that hits an occupied slot is compared with
it character by character, so counts are exact whatever the hashes. The definitions are those of
`jacorpus.script`.
"""

from collections import Counter
from functools import cache

import numpy as np
import pyarrow as pa
from numba import njit

from jacorpus import script
from jacorpus.kernels.buffers import text_buffers
from jacorpus.kernels.characters import decode

COUNTS = (
    "lines",
    "blank_lines",  # nothing but white space
    "short_lines",  # SHORT_LINE_CHARS characters or fewer
    "terminal_lines",  # not blank, last character in LINE_ENDS
    "bullet_lines",  # first character that is no white space in BULLETS
    "ellipsis_lines",  # … or ... right before LF
    "line_feeds",
    "line_chars",  # all lines' characters
    "dup_lines",  # sum of f - 1 over distinct lines, f times each
    "dup_line_chars",  # sum of (f - 1) x length
    "sentences",
    "sentence_chars",
    "dup_sentences",
    "dup_sentence_chars",
)
_WHITE_SPACE, _LINE_END, _BULLET, _SENTENCE_END, _LINE_FEED = 1, 2, 4, 8, 16


@cache
def marks() -> np.ndarray:
    """Bits of each code point, uint8 [0x110000]."""
    bits = np.zeros(0x110000, np.uint8)
    for bit, members in (
        (_WHITE_SPACE, script.WHITE_SPACE),
        (_LINE_END, script.LINE_ENDS),
        (_BULLET, script.BULLETS),
        (_SENTENCE_END, script.SENTENCE_ENDS),
        (_LINE_FEED, {10}),
    ):
        bits[np.fromiter(members, np.int64)] |= bit
    return bits


def line_counts_naive(text: str, split: str = "lf") -> dict[str, int]:
    """The counts of one text, straight from the definitions."""
    lines, sentences = script.lines(text, split), script.sentences(text)
    blank = [not line.strip() for line in lines]
    ends = tuple(map(chr, script.LINE_ENDS))
    bullets = tuple(map(chr, script.BULLETS))
    return {
        "lines": len(lines),
        "blank_lines": sum(blank),
        "short_lines": sum(len(line) <= script.SHORT_LINE_CHARS for line in lines),
        "terminal_lines": sum(line.endswith(ends) for line in lines),
        "bullet_lines": sum(line.lstrip().startswith(bullets) for line in lines),
        "ellipsis_lines": text.count("…\n") + text.count("...\n"),
        "line_feeds": text.count("\n"),
        "line_chars": sum(map(len, lines)),
        "dup_lines": len(lines) - len(set(lines)),
        "dup_line_chars": _repeated_chars(lines),
        "sentences": len(sentences),
        "sentence_chars": sum(map(len, sentences)),
        "dup_sentences": len(sentences) - len(set(sentences)),
        "dup_sentence_chars": _repeated_chars(sentences),
    }


def _repeated_chars(pieces: list[str]) -> int:
    return sum((times - 1) * len(piece) for piece, times in Counter(pieces).items())


@njit(cache=True, nogil=True)
def _find_breaks(bits, count, breaks):
    """Fill breaks with the places of LF and of sentence ends; their number."""
    found = 0
    for i in range(count):
        breaks[found] = i
        found += (bits[i] & (_LINE_FEED | _SENTENCE_END)) != 0
    return found


@njit(cache=True, nogil=True)
def _find_lines(bits, count, breaks, found, runs, starts, ends):
    """Fill starts and ends of the lines; their number. With ``runs``, a run of LF is one break."""
    if count == 0:
        return 0
    lines, start = 0, 0
    for j in range(found):
        i = breaks[j]
        if not bits[i] & _LINE_FEED:
            continue
        if not runs or i == 0 or not bits[i - 1] & _LINE_FEED:
            starts[lines], ends[lines] = start, i
            lines += 1
        start = i + 1
    starts[lines], ends[lines] = start, count
    return lines + 1


@njit(cache=True, nogil=True)
def _find_sentences(bits, count, breaks, found, starts, ends):
    """Fill starts and ends of the sentences; their number."""
    sentences, start = 0, 0
    for j in range(found):
        i = breaks[j]
        if i > start:
            starts[sentences], ends[sentences] = start, i + ((bits[i] & _SENTENCE_END) != 0)
            sentences += 1
        start = i + 1
    if count > start:
        starts[sentences], ends[sentences] = start, count
        sentences += 1
    return sentences


@njit(cache=True, nogil=True)
def _describe(codes, bits, starts, ends, lines, short, row):
    """Add up blank, short, terminal, bullet lines and the characters of lines."""
    for j in range(lines):
        start, end = starts[j], ends[j]
        row[7] += end - start
        row[2] += end - start <= short
        first = start
        while first < end and bits[first] & _WHITE_SPACE:
            first += 1
        if first == end:
            row[1] += 1
            continue
        row[3] += (bits[end - 1] & _LINE_END) != 0
        row[4] += (bits[first] & _BULLET) != 0


@njit(cache=True, nogil=True)
def _ellipses(codes, breaks, found):
    """(LF right after … or ..., all LF)."""
    after, feeds = 0, 0
    for j in range(found):
        i = breaks[j]
        if codes[i] == 10:
            feeds += 1
            dots = i > 2 and codes[i - 1] == 46 and codes[i - 2] == 46 and codes[i - 3] == 46
            after += dots or (i > 0 and codes[i - 1] == 0x2026)
    return after, feeds


@njit(cache=True, nogil=True)
def _equal(codes, a, b, length):
    k = 0
    while k < length and codes[a + k] == codes[b + k]:
        k += 1
    return k == length


@njit(cache=True, nogil=True)
def _duplicates(codes, starts, ends, pieces, slots):
    """(pieces that equal an earlier one, their characters). slots: zeros of a power of two, over 2 x pieces."""
    mask = np.uint64(len(slots) - 1)
    repeats, chars = 0, 0
    for j in range(pieces):
        start = starts[j]
        length = ends[j] - start
        x = np.uint64(length)
        k, end = start, start + length
        while k + 1 < end:
            both = np.uint64(codes[k]) | (np.uint64(codes[k + 1]) << np.uint64(32))
            x = (x ^ both) * np.uint64(0x9E3779B97F4A7C15)
            x ^= x >> np.uint64(32)
            k += 2
        if k < end:
            x = (x ^ np.uint64(codes[k])) * np.uint64(0x9E3779B97F4A7C15)
        slot = (x >> np.uint64(32)) & mask
        while slots[slot]:
            other = slots[slot] - 1
            if ends[other] - starts[other] == length and _equal(codes, start, starts[other], length):
                break
            slot = (slot + np.uint64(1)) & mask
        if slots[slot]:
            repeats += 1
            chars += length
        else:
            slots[slot] = j + 1
    return repeats, chars


@njit(cache=True, nogil=True)
def _slots(pieces, room):
    """Cleared room for a hash table of ``pieces``, at most half full."""
    size = 16
    while size < 2 * pieces:
        size *= 2
    room[:size] = 0
    return room[:size]


@njit(cache=True, nogil=True)
def _count(offsets, data, marks, runs, short, rows):
    """All documents; rows is int64 [N, len(COUNTS)]."""
    documents = len(offsets) - 1
    most = 0
    for d in range(documents):
        most = max(most, offsets[d + 1] - offsets[d])
    codes, bits = np.empty(most + 1, np.uint32), np.empty(most + 1, np.uint8)
    starts, ends = np.empty(most + 1, np.int64), np.empty(most + 1, np.int64)
    breaks, room = np.empty(most + 1, np.int64), np.empty(4 * most + 16, np.int32)
    for d in range(documents):
        row = rows[d]
        count = decode(data, offsets[d], offsets[d + 1], codes)
        for i in range(count):
            bits[i] = marks[codes[i]]
        found = _find_breaks(bits, count, breaks)
        lines = _find_lines(bits, count, breaks, found, runs, starts, ends)
        row[0] = lines
        _describe(codes, bits, starts, ends, lines, short, row)
        row[8], row[9] = _duplicates(codes, starts, ends, lines, _slots(lines, room))
        row[5], row[6] = _ellipses(codes, breaks, found)
        sentences = _find_sentences(bits, count, breaks, found, starts, ends)
        row[10] = sentences
        for j in range(sentences):
            row[11] += ends[j] - starts[j]
        row[12], row[13] = _duplicates(codes, starts, ends, sentences, _slots(sentences, room))


def line_counts(array: pa.Array, split: str = "lf") -> dict[str, np.ndarray]:
    """COUNTS of each text of a string array: name -> int64 [N]; ``split`` is ``lf`` or ``lf_run`` (`script.lines`).

    A null counts as an empty text.
    """
    offsets, data = text_buffers(array)
    rows = np.zeros((len(array), len(COUNTS)), np.int64)
    _count(offsets, data, marks(), split == "lf_run", script.SHORT_LINE_CHARS, rows)
    return dict(zip(COUNTS, rows.T, strict=True))
