"""Byte-pair training that goes on from a vocabulary: the most frequent neighbors are joined, again and again.

The text comes as symbols that an existing tokenizer gave. Only neighbors whose joined bytes are wanted are ever
counted: at most so many characters, starting with a whole character, and holding a character of the target ranges
(a broken character at the end is let through, alone or behind one space, where it can only become one of the targets:
such a token is a step on the way to whole characters). So the cost is that of the new language's text alone.

Places are linked in both directions, and all places of one pair are chained, so a merge touches its own places and
their neighbors and nothing else. A merge that is no longer as frequent as the heap believed goes back with its true
count. Ties: higher count, then smaller (left, right). Neighbors like ``aaa`` are joined from the left.

Legend: P places, S symbols at the start, M merges made, R ranges.
"""

import heapq
from collections import Counter
from itertools import pairwise

import numba as nb
import numpy as np

BARRIER = -1
"""A place that no pair reaches across."""


def _wanted_naive(joined: bytes, ranges: np.ndarray, max_chars: int) -> bool:
    """Whether a token of these bytes may be made; see the module's docstring."""
    if not joined or 0x80 <= joined[0] < 0xC0:
        return False
    at, chars, targets = 0, 0, 0
    while at < len(joined):
        lead = joined[at]
        size = 1 if lead < 0xC0 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
        low = lead if size == 1 else lead & (0x7F >> size)
        high = low
        for i in range(1, size):
            byte = joined[at + i] & 63 if at + i < len(joined) else -1
            low, high = low << 6 | max(byte, 0), high << 6 | (63 if byte < 0 else byte)
        inside = not len(ranges) or any(first <= low and high <= last for first, last in ranges)
        if at + size > len(joined):
            return (chars == 0 or (chars == 1 and joined[0] == 0x20)) and inside and len(ranges) > 0
        chars, targets = chars + 1, targets + inside
        at += size
    return chars <= max_chars and targets > 0


def continue_merges_naive(
    symbols: np.ndarray,
    starts: np.ndarray,
    data: np.ndarray,
    ranges: np.ndarray,
    max_chars: int,
    merges: int,
    min_count: int = 2,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``continue_merges``, every pair counted anew for each merge."""
    raw = data.tobytes()
    table = [raw[starts[i] : starts[i + 1]] for i in range(len(starts) - 1)]
    text = symbols.tolist()
    made: list[tuple[int, int, int]] = []
    for _ in range(merges):
        counts: Counter[tuple[int, int]] = Counter()
        for pair in pairwise(text):
            if min(pair) >= 0 and _wanted_naive(table[pair[0]] + table[pair[1]], ranges, max_chars):
                counts[pair] += 1
        if not counts:
            break
        (left, right), count = min(counts.items(), key=lambda item: (-item[1], item[0]))
        if count < min_count:
            break
        made.append((left, right, count))
        table.append(table[left] + table[right])
        joined: list[int] = []
        at = 0
        while at < len(text):
            both = text[at : at + 2] == [left, right]
            joined.append(len(table) - 1 if both else text[at])
            at += 2 if both else 1
        text = joined
    pairs = np.array([m[:2] for m in made], np.int32).reshape(-1, 2)
    return pairs, np.array([m[2] for m in made], np.int64), np.array(text, np.int32)


@nb.njit(cache=True, nogil=True)
def _wanted(data, left, left_end, right, right_end, ranges, max_chars):
    """``_wanted_naive`` of the bytes [left, left_end) and [right, right_end) of data."""
    first = left_end - left
    length = first + right_end - right
    at, chars, targets = np.int64(0), np.int64(0), np.int64(0)
    while at < length:
        lead = np.int64(data[left + at] if at < first else data[right + at - first])
        if at == 0 and lead >= 0x80 and lead < 0xC0:
            return False
        size = 1 if lead < 0xC0 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
        low = lead if size == 1 else lead & (0x7F >> size)
        high = low
        for i in range(at + 1, at + size):
            if i < length:
                byte = np.int64(data[left + i] if i < first else data[right + i - first]) & 63
                low, high = low << 6 | byte, high << 6 | byte
            else:
                low, high = low << 6, high << 6 | 63
        inside = len(ranges) == 0
        for k in range(len(ranges)):
            if ranges[k, 0] <= low and high <= ranges[k, 1]:
                inside = True
        if at + size > length:
            lone = chars == 0 or (chars == 1 and data[left] == 0x20)
            return lone and inside and len(ranges) > 0
        chars += 1
        targets += inside
        at += size
    return length > 0 and chars <= max_chars and targets > 0


@nb.njit(cache=True, nogil=True)
def _slot(keys, key):
    """Where key stands in the table, or the empty place (-1) where it would."""
    mask = np.uint64(len(keys) - 1)
    at = (np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20) & mask
    while keys[at] != key and keys[at] != -1:
        at = (at + np.uint64(1)) & mask
    return np.int64(at)


@nb.njit(cache=True, nogil=True)
def _unchain(place, slot, heads, counts, after, before):
    """Takes a place out of the chain of its pair."""
    if after[place] >= 0:
        before[after[place]] = before[place]
    if before[place] >= 0:
        after[before[place]] = after[place]
    else:
        heads[slot] = after[place]
    counts[slot] -= 1


@nb.njit(cache=True, nogil=True)
def _chain(place, slot, heads, counts, after, before):
    """Puts a place at the head of the chain of its pair."""
    after[place], before[place] = heads[slot], -1
    if heads[slot] >= 0:
        before[heads[slot]] = place
    heads[slot] = place
    counts[slot] += 1


@nb.njit(cache=True, nogil=True)
def _grown(keys, heads, counts):
    """The table, twice as large."""
    wider = np.full(2 * len(keys), -1, np.int64)
    wider_heads, wider_counts = np.full(len(wider), -1, np.int32), np.zeros(len(wider), np.int64)
    for i in range(len(keys)):
        if keys[i] != -1:
            at = _slot(wider, keys[i])
            wider[at], wider_heads[at], wider_counts[at] = keys[i], heads[i], counts[i]
    return wider, wider_heads, wider_counts


@nb.njit(cache=True, nogil=True)
def _key(symbols, right_of, place):
    """The pair that begins at a place, as one number."""
    return np.int64(symbols[place]) << 32 | np.int64(symbols[right_of[place]])


@nb.njit(cache=True, nogil=True)
def _count(fresh, symbols, right_of, table, begins, arena, ranges, max_chars, after, before):
    """Chains the pairs that begin at the places ``fresh``. (the table, pairs not met before)."""
    keys, heads, counts, used = table
    found, number = np.empty(len(fresh), np.int64), 0
    for p in fresh:
        if symbols[p] < 0 or right_of[p] < 0:
            continue
        key = _key(symbols, right_of, p)
        slot = _slot(keys, key)
        if keys[slot] == -1:
            left, right = key >> 32, key & 0xFFFFFFFF
            keys[slot], used = key, used + 1
            fits = _wanted(arena, begins[left], begins[left + 1], begins[right], begins[right + 1], ranges, max_chars)
            counts[slot] = 0 if fits else -1  # -1: never counted
            if fits:
                found[number], number = key, number + 1
        if counts[slot] >= 0:
            _chain(p, slot, heads, counts, after, before)
        if 2 * used > len(keys):
            keys, heads, counts = _grown(keys, heads, counts)
    return (keys, heads, counts, used), found[:number]


@nb.njit(cache=True, nogil=True)
def _join(slot, key, new, symbols, left_of, right_of, table, after, before):
    """Joins all places of a pair, from the left; the places whose pairs are new now."""
    keys, heads, counts, _ = table
    ordered, p = np.empty(counts[slot], np.int64), heads[slot]
    for i in range(len(ordered)):
        ordered[i], p = p, after[p]
    ordered.sort()
    fresh, touched = np.empty(2 * len(ordered), np.int64), 0
    for p in ordered:
        q = right_of[p]
        if symbols[p] < 0 or q < 0 or _key(symbols, right_of, p) != key:
            continue  # the place before took the symbol: aaa
        outer, beyond = left_of[p], right_of[q]
        for place in (np.int64(outer), p, np.int64(q)):
            if place >= 0 and right_of[place] >= 0:
                old = _slot(keys, _key(symbols, right_of, place))
                if counts[old] > 0 and (before[place] >= 0 or heads[old] == place):
                    _unchain(place, old, heads, counts, after, before)
                    before[place] = -1
        symbols[p], symbols[q], right_of[p] = new, -2, beyond
        if beyond >= 0:
            left_of[beyond] = p
        if outer >= 0 and (touched == 0 or fresh[touched - 1] != outer):
            fresh[touched], touched = outer, touched + 1
        fresh[touched], touched = p, touched + 1
    return fresh[:touched]


@nb.njit(cache=True, nogil=True)
def _best(heap, table, min_count):
    """(pair, its slot) of the true highest count, taken off the heap; -1 where none is left."""
    keys, _, counts, _ = table
    while len(heap):
        believed, key = heapq.heappop(heap)
        slot = _slot(keys, key)
        if counts[slot] == -believed:
            return key, slot
        if counts[slot] >= min_count:
            heapq.heappush(heap, (-counts[slot], key))
    return np.int64(-1), np.int64(-1)


@nb.njit(cache=True, nogil=True)
def _continue(symbols, starts, data, ranges, max_chars, merges, min_count):
    places, first_new = len(symbols), len(starts) - 1
    arena = np.empty(len(data) + merges * 4 * (max_chars + 2), np.uint8)
    arena[: len(data)] = data
    begins = np.empty(first_new + merges + 1, np.int64)
    begins[: first_new + 1] = starts
    right_of, left_of = np.full(places, -1, np.int32), np.full(places, -1, np.int32)
    for p in range(1, places):
        if symbols[p] >= 0 and symbols[p - 1] >= 0:
            left_of[p], right_of[p - 1] = p - 1, p
    after, before = np.full(places, -1, np.int32), np.full(places, -1, np.int32)
    table = (np.full(1 << 16, -1, np.int64), np.full(1 << 16, -1, np.int32), np.zeros(1 << 16, np.int64), 0)
    made, pairs, pair_counts = 0, np.empty((merges, 2), np.int32), np.empty(merges, np.int64)
    heap = [(np.int64(0), np.int64(0))]
    heap.clear()
    fresh = np.arange(places)
    while made < merges:
        table, found = _count(fresh, symbols, right_of, table, begins, arena, ranges, max_chars, after, before)
        for key in found:
            count = table[2][_slot(table[0], key)]
            if count >= min_count:
                heapq.heappush(heap, (-count, key))
        key, slot = _best(heap, table, min_count)
        if key < 0:
            break
        left, right, new = key >> 32, key & 0xFFFFFFFF, first_new + made
        pairs[made, 0], pairs[made, 1], pair_counts[made] = left, right, table[2][slot]
        end = begins[new]
        for part in (left, right):
            size = begins[part + 1] - begins[part]
            arena[end : end + size] = arena[begins[part] : begins[part + 1]]
            end += size
        begins[new + 1], made = end, made + 1
        fresh = _join(slot, key, np.int32(new), symbols, left_of, right_of, table, after, before)
    return pairs[:made].copy(), pair_counts[:made].copy(), symbols[symbols != -2]


def continue_merges(
    symbols: np.ndarray,
    starts: np.ndarray,
    data: np.ndarray,
    ranges: np.ndarray,
    max_chars: int,
    merges: int,
    min_count: int = 2,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(pairs int32 [M, 2] in merge order, counts int64 [M] when merged, the text afterwards int32).

    symbols: int32 [P], -1 where no pair may reach across. starts int64 [S+1], data uint8: bytes of the symbols; merge
    m makes symbol S + m. ranges: int64 [R, 2] of code points, ends included; empty wants every character.
    max_chars: longest token made. merges: at most so many; fewer where no pair is left that comes ``min_count`` times.
    """
    return _continue(
        np.array(symbols, np.int32),
        np.ascontiguousarray(starts, np.int64),
        np.ascontiguousarray(data, np.uint8),
        np.ascontiguousarray(ranges, np.int64).reshape(-1, 2),
        max_chars,
        merges,
        min_count,
    )
