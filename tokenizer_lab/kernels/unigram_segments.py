"""Texts as the distinct segments that Unigram training works on, each with its number of uses.

A segment is a run of characters that one piece may cover. Segments end where the caller cuts (pre-tokens), before and
after a line feed, at a character that has no code, before a space that follows no space, and before the last space
of a run if a word follows: a piece may begin with a space or be spaces, as in SentencePiece, and never has one inside.
A segment has at most LONGEST characters, so that tables stay small for a text without any line end.

Legend: N documents, S bytes of UTF-8, E cuts, U distinct segments, C codes with one 0 behind every segment.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numba import njit

from jacorpus.kernels.buffers import text_buffers

POINTS = 0x110000
MOST_CODES = 0xFFFE
LONGEST = 1 << 14
_SPACE, _LINE_FEED = 0x20, 0x0A
_FIRST_ROOM = 1 << 12


@dataclass(frozen=True)
class Segments:
    """codes: uint16 [C]. starts: int64 [U+1], segment u is ``codes[starts[u]:starts[u + 1] - 1]``. weights: int64 [U].

    characters: uses of characters that have a code. uncoded: of those that have none.
    """

    codes: np.ndarray
    starts: np.ndarray
    weights: np.ndarray
    characters: int
    uncoded: int


def character_counts_naive(texts: pa.Array) -> Counter[int]:
    """Code point -> uses."""
    return Counter(ord(character) for text in texts.to_pylist() for character in text or "")


def segments_naive(texts: pa.Array, ends: np.ndarray, code_of: np.ndarray) -> dict[tuple[int, ...], int]:
    """Segment as codes -> uses."""
    found: Counter[tuple[int, ...]] = Counter()
    offsets, _ = text_buffers(texts)
    cuts = set(ends.tolist())
    for text, place in zip(texts.to_pylist(), offsets.tolist(), strict=False):
        segment: list[int] = []
        for i, character in enumerate(text or ""):
            before, after = (text[i - 1] if i else ""), text[i + 1 : i + 2]
            full = len(segment) == LONGEST
            if full or place in cuts or "\n" in (character, before) or _word_begins(before, character, after):
                found[tuple(segment)] += 1
                segment = []
            place += len(character.encode())
            code = int(code_of[ord(character)])
            if code:
                segment.append(code)
            else:
                found[tuple(segment)] += 1
                segment = []
        found[tuple(segment)] += 1
    del found[()]
    return dict(found)


def _word_begins(before: str, character: str, after: str) -> bool:
    if character != " ":
        return False
    return before != " " or after not in ("", " ", "\n")


@njit(cache=True, nogil=True)
def _point(data, i):
    """(code point, bytes) of the character at data[i:]; the text is valid UTF-8."""
    lead = np.int64(data[i])
    if lead < 0x80:
        return lead, 1
    if lead < 0xE0:
        return (lead & 31) << 6 | (np.int64(data[i + 1]) & 63), 2
    high = (lead & 15) << 6 | (np.int64(data[i + 1]) & 63)
    if lead < 0xF0:
        return high << 6 | (np.int64(data[i + 2]) & 63), 3
    return ((high & 0x1FF) << 6 | (np.int64(data[i + 2]) & 63)) << 6 | (np.int64(data[i + 3]) & 63), 4


@njit(cache=True, nogil=True)
def _count(offsets, data, counts):
    i = np.uint64(offsets[0])
    while i < np.uint64(offsets[-1]):
        point, size = _point(data, i)
        counts[point] += 1
        i += np.uint64(size)


@njit(cache=True, nogil=True)
def _find(table, hashes, codes, starts, first, last, h):
    """Slot of the table that holds codes[first:last] or is free for it. A slot is a segment + 1, 0 if free."""
    mask = np.uint64(len(table) - 1)
    slot = (h ^ (h >> np.uint64(31))) & mask
    size = last - first
    while table[slot] != 0:
        u = table[slot] - 1
        if hashes[u] == h and starts[u + 1] - starts[u] - 1 == size:
            k = 0
            while k < size and codes[starts[u] + k] == codes[first + k]:
                k += 1
            if k == size:
                return slot
        slot = (slot + np.uint64(1)) & mask
    return slot


@njit(cache=True, nogil=True)
def _grown(table, hashes, starts, weights, count):
    """The four arrays with twice the room."""
    wide = np.zeros(2 * len(table), np.int64)
    mask = np.uint64(len(wide) - 1)
    for u in range(count):
        h = hashes[u]
        slot = (h ^ (h >> np.uint64(31))) & mask
        while wide[slot] != 0:
            slot = (slot + np.uint64(1)) & mask
        wide[slot] = u + 1
    room = len(wide) // 2
    more_hashes, more_starts = np.zeros(room, np.uint64), np.zeros(room + 1, np.int64)
    more_weights = np.zeros(room, np.int64)
    more_hashes[:count] = hashes[:count]
    more_starts[: count + 1] = starts[: count + 1]
    more_weights[:count] = weights[:count]
    return wide, more_hashes, more_starts, more_weights


@njit(cache=True, nogil=True)
def _coded(offsets, data, ends, code_of, codes):
    """Write the codes of all segments, a 0 behind each; returns (codes written, characters without a code)."""
    n, first, uncoded, e = np.uint64(0), np.uint64(0), np.int64(0), np.int64(0)
    one = np.uint64(1)
    for d in range(len(offsets) - 1):
        i, stop = offsets[d], offsets[d + 1]
        before = np.int64(_LINE_FEED)
        while i < stop:
            point, size = _point(data, np.uint64(i))
            code = code_of[point]
            while e < len(ends) and ends[e] < i:
                e += 1
            cut = code == 0 or point == _LINE_FEED or before == _LINE_FEED or (e < len(ends) and ends[e] == i)
            if point == _SPACE and not cut:
                after = np.int64(data[i + 1]) if i + 1 < stop else np.int64(_LINE_FEED)
                cut = before != _SPACE or (after != _SPACE and after != _LINE_FEED)
            if n > first and (cut or n - first == np.uint64(LONGEST)):
                codes[n] = 0
                n += one
                first = n
            if code != 0:
                codes[n] = code
                n += one
            else:
                uncoded += 1
            before = point
            i += np.int64(size)
        if n > first:
            codes[n] = 0
            n += one
            first = n
    return np.int64(n), uncoded


@njit(cache=True, nogil=True)
def _next_segment(codes, place, target):
    """Copy the segment at ``place`` with its 0 to ``target``, which is not behind it; returns (size, hash)."""
    h = np.uint64(0x9E3779B97F4A7C15)
    k = 0
    while True:
        code = codes[place + k]
        codes[target + k] = code
        if code == 0:
            return k, h
        h = (h ^ np.uint64(code)) * np.uint64(0xFF51AFD7ED558CCD)
        h ^= h >> np.uint64(29)
        k += 1


@njit(cache=True, nogil=True)
def _distinct(codes, size, room):
    """Keep the first of equal segments, in place; returns (starts, weights)."""
    table = np.zeros(2 * room, np.int64)
    hashes, starts, weights = np.zeros(room, np.uint64), np.zeros(room + 1, np.int64), np.zeros(room, np.int64)
    count, place, target = 0, 0, 0
    while place < size:
        length, h = _next_segment(codes, place, target)
        if count + 1 >= len(weights):
            table, hashes, starts, weights = _grown(table, hashes, starts, weights, count)
        slot = _find(table, hashes, codes, starts, target, target + length, h)
        if table[slot] == 0:
            table[slot] = count + 1
            hashes[count] = h
            target += length + 1
            count += 1
            starts[count] = target
        weights[table[slot] - 1] += 1
        place += length + 1
    return starts[: count + 1].copy(), weights[:count].copy()


def character_counts(texts: pa.Array) -> np.ndarray:
    """int64 [0x110000]: uses of each code point in a string array."""
    offsets, data = text_buffers(texts)
    counts = np.zeros(POINTS, np.int64)
    _count(offsets, data, counts)
    return counts


def segments(texts: pa.Array, ends: np.ndarray, code_of: np.ndarray) -> Segments:
    """The distinct segments of a string array, in the order they first come.

    ends: int64 [E], ascending byte places in the data of ``text_buffers(texts)`` where a segment ends; none is needed
    at the end of a document. code_of: uint16 [0x110000], code of a code point, 0 without.
    """
    offsets, data = text_buffers(texts)
    room = 2 * int(offsets[-1] - offsets[0]) + 2  # untouched pages of it take no memory
    codes = np.empty(room, np.uint16)
    size, uncoded = _coded(offsets, data, ends, code_of, codes)
    starts, weights = _distinct(codes, size, _FIRST_ROOM)
    characters = int(np.dot(np.diff(starts) - 1, weights))
    return Segments(codes[: starts[-1]], starts, weights, characters, uncoded)
