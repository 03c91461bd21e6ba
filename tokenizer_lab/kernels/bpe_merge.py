"""Merge neighbors in order of rank, leftmost first among equals: the definition of byte-level BPE.

Symbols are numbered from inside: 0-255 are the bytes, then every symbol that a merge makes. ``merge_naive`` is the
readable twin. ``merge_short`` looks for the lowest rank again after each merge, which is fastest for a dozen bytes;
``merge_long`` keeps the pairs in a heap with late correction, n log n steps for n bytes whatever the text.

Pairs lie in one table of 64-bit words, left 21 bits, right 21 bits, rank 22 bits, at the first free place behind
their hash; EMPTY where there is none.

Legend: n bytes, M merges.
"""

from itertools import pairwise

import numpy as np
from numba import njit

EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
NO_RANK = 1 << 22
MOST_SYMBOLS = 1 << 21
_MIX = np.uint64(0x9E3779B97F4A7C15)
_18, _20, _21, _22, _43, _1 = np.array([18, 20, 21, 22, 43, 1], np.uint64)
_RANK = np.uint64(NO_RANK - 1)


def merge_naive(symbols: list[int], ranks: dict[tuple[int, int], int], results: list[int]) -> list[int]:
    """Merge until no pair of neighbors is in ``ranks``; merge m makes the symbol ``results[m]``."""
    symbols = list(symbols)
    while True:
        found = [(ranks[pair], i) for i, pair in enumerate(pairwise(symbols)) if pair in ranks]
        if not found:
            return symbols
        rank, i = min(found)
        symbols[i : i + 2] = [results[rank]]


@njit(cache=True, nogil=True)
def pair_table(lefts, rights, ranks, slots):
    """The table (uint64 [slots], a power of two) over M pairs. lefts, rights, ranks: int64 [M]."""
    table = np.full(slots, EMPTY, np.uint64)
    mask = np.uint64(slots - 1)
    for m in range(len(lefts)):
        key = (np.uint64(lefts[m]) << _21) | np.uint64(rights[m])
        slot = ((key * _MIX) >> _20) & mask
        while table[slot] != EMPTY:
            slot = (slot + _1) & mask
        table[slot] = (key << _22) | np.uint64(ranks[m])
    return table


@njit(cache=True, nogil=True, forceinline=True)
def rank_of(left, right, table, mask):
    """Rank of a pair, NO_RANK where it does not merge. mask: places of the table less one, uint64."""
    key = (np.uint64(left) << _21) | np.uint64(right)
    slot = ((key * _MIX) >> _20) & mask
    while True:
        word = table[slot]
        if word == EMPTY:
            return np.int64(NO_RANK)
        if word >> _22 == key:
            return np.int64(word & _RANK)
        slot = (slot + _1) & mask


@njit(cache=True, nogil=True)
def merge_short(symbols, ranks, n, table, mask, results, least):
    """Merge symbols[:n] in place until ``least`` are left or no pair merges; returns how many are left.

    symbols, ranks: int64, room for n; ranks is work space.
    """
    for i in range(n - 1):
        ranks[i] = rank_of(symbols[i], symbols[i + 1], table, mask)
    while n > least:
        best, at = np.int64(NO_RANK), -1
        for i in range(n - 1):
            if ranks[i] < best:
                best, at = ranks[i], i
        if at < 0:
            break
        symbols[at] = results[best]
        n -= 1
        for i in range(at + 1, n):
            symbols[i] = symbols[i + 1]
            ranks[i] = ranks[i + 1]
        if at > 0:
            ranks[at - 1] = rank_of(symbols[at - 1], symbols[at], table, mask)
        if at < n - 1:
            ranks[at] = rank_of(symbols[at], symbols[at + 1], table, mask)
    return n


@njit(cache=True, nogil=True)
def _push(heap, used, entry):
    at = used
    while at > 0 and heap[(at - 1) >> 1] > entry:
        heap[at] = heap[(at - 1) >> 1]
        at = (at - 1) >> 1
    heap[at] = entry
    return used + 1


@njit(cache=True, nogil=True)
def _pop(heap, used):
    """Remove the lowest entry, heap[0] before the call; returns how many are left."""
    used -= 1
    entry, at = heap[used], 0
    while True:
        child = 2 * at + 1
        if child >= used:
            break
        if child + 1 < used and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= entry:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = entry
    return used


@njit(cache=True, nogil=True)
def merge_long(symbols, n, table, mask, results):
    """``merge_short`` for any n. An entry of the heap is rank * 2**32 + place; it is out of date where the pair at
    its place has another rank by now."""
    before, behind = np.empty(n, np.int64), np.empty(n, np.int64)
    heap, used = np.empty(3 * n, np.int64), 0
    for i in range(n):
        before[i], behind[i] = i - 1, i + 1
        if i + 1 < n:
            rank = rank_of(symbols[i], symbols[i + 1], table, mask)
            if rank < NO_RANK:
                used = _push(heap, used, (rank << 32) | i)
    while used:
        entry = heap[0]
        used = _pop(heap, used)
        at, rank = entry & 0xFFFFFFFF, entry >> 32
        right = behind[at]
        if symbols[at] < 0 or right >= n or rank_of(symbols[at], symbols[right], table, mask) != rank:
            continue
        symbols[at], symbols[right] = results[rank], -1
        right = behind[at] = behind[right]
        if right < n:
            before[right] = at
            rank = rank_of(symbols[at], symbols[right], table, mask)
            if rank < NO_RANK:
                used = _push(heap, used, (rank << 32) | at)
        left = before[at]
        if left >= 0:
            rank = rank_of(symbols[left], symbols[at], table, mask)
            if rank < NO_RANK:
                used = _push(heap, used, (rank << 32) | left)
    left = 0
    for i in range(n):
        if symbols[i] >= 0:
            symbols[left] = symbols[i]
            left += 1
    return left
