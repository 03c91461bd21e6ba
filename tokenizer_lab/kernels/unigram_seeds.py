"""The frequent substrings of segments, level by level, and the longest one that begins at each place.

A string of n characters can only be frequent if both strings of n - 1 inside it are, so level n looks at places where
the level before left two such strings side by side. A first pass adds the weights into a small table of bytes by hash,
where strings share cells: what stays under the bar there is surely rare. A second pass counts the few others exactly.
The nodes form a trie: a node's parent is the string without its last character. No suffix array: text, nodes and
tables take about 8 bytes a character.

Legend: C codes (0 ends a segment), U segments, P nodes. Node ids 1..K are the characters, 0 is none.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numba import njit

MOST_LENGTH = 255
_CODE_BITS = 16
_MOST_SKETCH = 1 << 26
_FIRST_ROOM = 1 << 16
_MULTIPLIER = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Seeds:
    """longest: uint32 [C], node of the longest frequent string that begins there, 0 at the end of a segment.

    parent: uint32 [P], smaller than the node itself (0 for a character). last: uint16 [P], code of its last character.
    length: uint8 [P], characters. count: int64 [P], uses (they may overlap). Entry 0 is none.
    """

    longest: np.ndarray
    parent: np.ndarray
    last: np.ndarray
    length: np.ndarray
    count: np.ndarray


def frequent_naive(
    segments: Iterable[tuple[tuple[int, ...], int]], least: int, most_length: int
) -> dict[tuple[int, ...], int]:
    """String of codes -> uses, of every string with at least ``least`` uses, and of all characters."""
    counts: Counter[tuple[int, ...]] = Counter()
    for segment, weight in segments:
        for i in range(len(segment)):
            for stop in range(i + 1, min(i + most_length, len(segment)) + 1):
                counts[segment[i:stop]] += weight
    return {string: count for string, count in counts.items() if count >= least or len(string) == 1}


@njit(cache=True, nogil=True)
def _mixed(key):
    h = key * np.uint64(_MULTIPLIER)
    h ^= h >> np.uint64(32)
    h *= np.uint64(0xD6E8FEB86659FD93)
    return h ^ (h >> np.uint64(29))


@njit(cache=True, nogil=True)
def _characters(codes, starts, weights, counts):
    for u in range(len(weights)):
        for i in range(starts[u], starts[u + 1] - 1):
            counts[codes[i]] += weights[u]


@njit(cache=True, nogil=True)
def _sketch(codes, starts, weights, node, low, level, cells):
    """Add the weight of every candidate of a level to its cell, up to 255."""
    mask = np.uint64(len(cells) - 1)
    behind = np.uint64(level - 1)
    one = np.uint64(1)
    for u in range(len(weights)):
        weight = weights[u]
        for j in range(starts[u], starts[u + 1] - level):
            i = np.uint64(j)
            if node[i] >= low and node[i + one] >= low:
                key = np.uint64(node[i]) << np.uint64(_CODE_BITS) | np.uint64(codes[i + behind])
                cell = _mixed(key) & mask
                cells[cell] = min(np.int64(255), np.int64(cells[cell]) + weight)


@njit(cache=True, nogil=True)
def _count(codes, starts, weights, node, low, level, cells, bar, table, found, state):
    """Count the candidates whose cell is over the bar; node becomes base + entry. Stops early when ``found`` is full.

    found: uint64 [2 entries]: key, weight. state: segment to go on with, entries, base.
    """
    mask, slots = np.uint64(len(cells) - 1), np.uint64(len(table) - 1)
    behind, entries, base = np.uint64(level - 1), np.uint64(state[1]), np.uint64(state[2])
    one, code_bits = np.uint64(1), np.uint64(_CODE_BITS)
    low_half = np.uint64(0xFFFFFFFF)
    room = np.uint64(len(found) // 2)
    for u in range(state[0], len(weights)):
        if entries + np.uint64(max(0, starts[u + 1] - level - starts[u])) > room:
            state[0], state[1] = u, np.int64(entries)
            return False
        weight = np.uint64(weights[u])
        for j in range(starts[u], starts[u + 1] - level):
            i = np.uint64(j)
            if node[i] < low or node[i + one] < low:
                continue
            key = np.uint64(node[i]) << code_bits | np.uint64(codes[i + behind])
            h = _mixed(key)
            if cells[h & mask] < bar:
                continue
            mark = h & ~low_half
            slot = (h >> np.uint64(8)) & slots
            entry = entries
            while table[slot] != 0:
                if table[slot] & ~low_half == mark:
                    entry = (table[slot] & low_half) - one
                    if found[entry << one] == key:
                        break
                slot = (slot + one) & slots
                entry = entries
            if entry == entries:
                table[slot] = mark | (entries + one)
                found[entry << one] = key
                found[(entry << one) + one] = 0
                entries += one
            found[(entry << one) + one] += weight
            node[i] = base + entry
    state[0], state[1] = len(weights), np.int64(entries)
    return True


@njit(cache=True, nogil=True)
def _rehashed(table, found, entries):
    slots = np.uint64(len(table) - 1)
    one = np.uint64(1)
    for entry in range(entries):
        h = _mixed(found[2 * entry])
        slot = (h >> np.uint64(8)) & slots
        while table[slot] != 0:
            slot = (slot + one) & slots
        table[slot] = (h & ~np.uint64(0xFFFFFFFF)) | np.uint64(entry + 1)


@njit(cache=True, nogil=True)
def _replace(node, base, new):
    for j in range(len(node)):
        i = np.uint64(j)
        if node[i] >= base:
            node[i] = new[node[i] - base]


def _level(
    codes: np.ndarray,
    starts: np.ndarray,
    weights: np.ndarray,
    node: np.ndarray,
    low: int,
    base: int,
    level: int,
    least: int,
) -> tuple[np.ndarray, np.ndarray]:
    """(keys, counts) of the frequent strings of a level; ``node`` is brought to it in place."""
    size = 1 << min(len(codes).bit_length(), _MOST_SKETCH.bit_length() - 1)
    cells = np.zeros(size, np.uint8)
    _sketch(codes, starts, weights, node, np.uint32(low), level, cells)
    longest = int(np.diff(starts).max())
    state = np.array([0, 0, base], np.int64)
    room = max(_FIRST_ROOM, 1 << (2 * longest).bit_length())
    table, found = np.zeros(2 * room, np.uint64), np.empty(2 * room, np.uint64)
    bar = np.uint8(min(least, 255))
    while not _count(codes, starts, weights, node, np.uint32(low), level, cells, bar, table, found, state):
        room *= 2
        table, found = np.zeros(2 * room, np.uint64), np.concatenate([found, np.empty(room, np.uint64)])
        _rehashed(table, found, int(state[1]))
    keys, counts = found[: 2 * state[1] : 2], found[1 : 2 * state[1] : 2].astype(np.int64)
    frequent = counts >= least
    new = (keys >> np.uint64(_CODE_BITS)).astype(np.uint32)  # the parent, where the string itself is rare
    new[frequent] = base + np.arange(int(frequent.sum()), dtype=np.uint32)
    _replace(node, np.uint32(base), new)
    return keys[frequent], counts[frequent]


def frequent_substrings(
    codes: np.ndarray, starts: np.ndarray, weights: np.ndarray, characters: int, least: int, most_length: int
) -> Seeds:
    """All substrings of segments with at least ``least`` (>= 1) weighted uses and at most ``most_length`` characters
    (and MOST_LENGTH).

    codes: uint16 [C], 1..characters, 0 behind each segment. starts: int64 [U+1]. weights: int64 [U].
    Characters are nodes whatever their count. Ids above them depend on the order of the segments, what they stand for
    does not.
    """
    longest = codes.astype(np.uint32)
    per_code = np.zeros(characters + 1, np.int64)
    _characters(codes, starts, weights, per_code)
    parents, lasts = [np.zeros(characters + 1, np.uint32)], [np.arange(characters + 1, dtype=np.uint16)]
    counts, lengths = [per_code], [np.ones(characters + 1, np.uint8)]
    lengths[0][0] = 0
    low, base = 1, characters + 1
    for level in range(2, (min(most_length, MOST_LENGTH) if len(weights) else 1) + 1):
        keys, found = _level(codes, starts, weights, longest, low, base, level, least)
        if not len(keys):
            break
        parents.append((keys >> np.uint64(_CODE_BITS)).astype(np.uint32))
        lasts.append((keys & np.uint64((1 << _CODE_BITS) - 1)).astype(np.uint16))
        counts.append(found)
        lengths.append(np.full(len(keys), level, np.uint8))
        low, base = base, base + len(keys)
    return Seeds(longest, *(np.concatenate(each) for each in (parents, lasts, lengths, counts)))
