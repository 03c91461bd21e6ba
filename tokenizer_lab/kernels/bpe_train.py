"""Learning BPE merges: which two neighbors to join, again and again, the most frequent pair first.

The text lies as one array of symbols, a barrier before, between and after words. It is worked on in rounds. A round
counts all pairs once, keeps those at least a sixteenth as frequent as the first, and lists the places of each. A
merge then walks one list, writes the new symbol over its two parts, and lists the new pairs; what it takes from old
pairs is summed by neighbor and taken off at once. Pairs under the bar of the round need neither count nor list,
for a pair never becomes more frequent after the merge that made its younger half. When no pair over the bar is
left, the gaps are squeezed out and the next round begins: five or six of them for 32,000 merges.

Nothing links places to each other: a symbol of width w (in places of this round) is written to its first and its last
place, so that its neighbors are found from there, and an entry of a list that is no longer true is told by the symbol
it finds. This costs four bytes a place for the symbols and at most four for the lists. (The linked form with two
pointers and two chains a place, as in published trainers, takes 24, and three more cache misses a merge.)

Legend: P places, R runs of words of equal weight, V symbols, M merges, Q pairs over the bar of a round. Pair (a, b) of
symbols has the key a * 2**32 + b. Ties: higher count, then smaller (a, b). Counts are int64.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numba import njit

from tokenizer_lab.kernels.bpe_pairs import LEFT, RIGHT, frequent_pairs, run_of
from tokenizer_lab.kernels.pair_heap import pop, push

BARRIER = -2
"""Between words, and in place of what takes part in no merge."""

_HOLE = -1
_1 = np.uint64(1)
_EMPTY = -1
_STEP = 4
"""A round ends at 1/16 of the count that it began with."""

_CHUNK = 256
"""Merges between two looks at the clock (and at Ctrl-C)."""

_DONE, _EXHAUSTED, _GROW = range(3)
_SYMBOLS, _MERGES, _USED, _HEAP, _ROOM, _BAR, _MOST = range(7)
"""Rows of the state: symbols at first, merges made, pairs in the table, in the heap, places listed, the bar of the
round, most length of a symbol."""


@dataclass(frozen=True)
class Merges:
    """left, right: int32 [M], the parts; merge m makes symbol ``first + m``. counts: int64 [M], uses in the text."""

    left: np.ndarray
    right: np.ndarray
    counts: np.ndarray


def train_merges_naive(
    words: Sequence[tuple[Sequence[int], int]],
    lengths: Sequence[int],
    wanted: int,
    max_length: int = 1 << 30,
    min_count: int = 2,
) -> list[tuple[int, int, int]]:
    """(left, right, count) of each merge, counted anew every time: the readable twin."""
    texts = [(list(symbols), weight) for symbols, weight in words]
    sizes = list(lengths)
    merges: list[tuple[int, int, int]] = []
    while len(merges) < wanted:
        counts: Counter[tuple[int, int]] = Counter()
        for symbols, weight in texts:
            for a, b in pairwise(symbols):
                if a >= 0 and b >= 0 and sizes[a] + sizes[b] <= max_length:
                    counts[a, b] += weight
        if not counts:
            break
        (a, b), count = min(counts.items(), key=lambda item: (-item[1], item[0]))
        if count < min_count:
            break
        for symbols, _ in texts:
            i = 0
            while i + 1 < len(symbols):
                if symbols[i] == a and symbols[i + 1] == b:
                    symbols[i : i + 2] = [len(sizes)]
                i += 1
        merges.append((a, b, count))
        sizes.append(sizes[a] + sizes[b])
    return merges


@njit(cache=True, nogil=True)
def _slot(keys, key):
    """Where the key is or would be, in a table of 2**k slots."""
    mask = np.uint64(len(keys) - 1)
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    slot = (mixed ^ (mixed >> np.uint64(32))) & mask
    while keys[slot] != key and keys[slot] != _EMPTY:
        slot = (slot + np.uint64(1)) & mask
    return np.int64(slot)


@njit(cache=True, nogil=True)
def _squeeze(sequence, ends, width):
    """Close the gaps, in place; words of one symbol go, for they hold no pair. Returns the places left."""
    read, write, run = np.int64(1), np.int64(1), 0
    while read < len(sequence):
        while read >= ends[run]:
            ends[run] = write
            run += 1
        symbol = sequence[read]
        if symbol >= 0:
            sequence[write] = symbol
            write += 1
            read += width[symbol]
        else:
            read += 1
            if sequence[write - 1] >= 0:
                if sequence[write - 2] >= 0:
                    sequence[write] = BARRIER
                    write += 1
                else:
                    write -= 1
    ends[run:] = write
    return write


@njit(cache=True, nogil=True)
def _insert(keys, rows, new_keys, new_rows):
    """Put keys with their rows (count, start, size) into an empty table."""
    for i in range(len(new_keys)):
        slot = _slot(keys, new_keys[i])
        keys[slot] = new_keys[i]
        rows[slot] = new_rows[i]


@njit(cache=True, nogil=True)
def _add(sums, touched, number, symbol, weight):
    """Add to the row (weight, places) of a neighbor; returns how many neighbors have one."""
    symbol = np.uint64(symbol)
    if sums[symbol, 1] == 0:
        touched[number] = symbol
        number += _1
    sums[symbol, 0] += weight
    sums[symbol, 1] += 1
    return number


@njit(cache=True, nogil=True)
def _take_off(table, sums, touched, number, fixed, fixed_left):
    """Take sums off the counts of the pairs of a fixed symbol and its neighbors; clears the sums."""
    keys, rows = table[0], table[1]
    for t in range(number):
        neighbor = np.int64(touched[t])
        key = (fixed << LEFT) | neighbor if fixed_left else (neighbor << LEFT) | fixed
        slot = _slot(keys, key)
        if keys[slot] != _EMPTY:
            rows[slot, 0] -= sums[neighbor, 0]
        sums[neighbor, 0] = 0
        sums[neighbor, 1] = 0


@njit(cache=True, nogil=True)
def _replace(text, table, near, pair, new):
    """Write the new symbol over its parts and keep the places in the list; returns (first, number) of these."""
    sequence, ends, weights, width, _ = text
    keys, rows, _, lists = table
    left_sums, right_sums, left_touched, right_touched = near  # views made in a loop cost more than the loop
    slot = _slot(keys, pair)
    a, b = pair >> LEFT, pair & RIGHT
    first, size = np.uint64(rows[slot, 1]), rows[slot, 2]
    wide_a, wide_b = np.uint64(width[a]), np.uint64(width[b])
    kept, lefts, rights, run = np.uint64(0), np.uint64(0), np.uint64(0), 0
    end, weight = np.uint64(ends[0]), weights[0]
    for t in range(first, first + np.uint64(size)):
        i = np.uint64(lists[t])
        j = i + wide_a
        if sequence[i] != a or sequence[j] != b:
            continue
        if i >= end:
            run = run_of(ends, run, lists[t])
            end, weight = np.uint64(ends[run]), weights[run]
        sequence[i] = new
        if wide_b > 1:
            sequence[j] = _HOLE
        sequence[j + wide_b - _1] = new
        lists[first + kept] = i
        kept += _1
        before, after = sequence[i - _1], sequence[j + wide_b]
        if before >= 0 and before != new:  # after a merge just made, the pair between went with that one
            lefts = _add(left_sums, left_touched, lefts, before, weight)
        if after >= 0:
            rights = _add(right_sums, right_touched, rights, after, weight)
    _take_off(table, left_sums, left_touched, lefts, a, False)
    _take_off(table, right_sums, right_touched, rights, b, True)
    rows[slot, 0] = 0
    width[new] = width[a] + width[b]
    return first, kept


@njit(cache=True, nogil=True)
def _enter(table, state, sums, touched, number, new, new_left):
    """List each new pair over the bar; a neighbor's sums become (place in the lists or -1, 0). True where full."""
    keys, rows, heap, lists = table
    full = False
    for t in range(number):
        neighbor = np.int64(touched[t])
        count, size = sums[neighbor, 0], sums[neighbor, 1]
        sums[neighbor, 0] = -1
        sums[neighbor, 1] = 0
        if count < state[_BAR]:
            continue
        if state[_ROOM] + size > len(lists):
            full = True
            continue
        key = (new << LEFT) | neighbor if new_left else (neighbor << LEFT) | new
        slot = _slot(keys, key)
        keys[slot] = key
        rows[slot, 0], rows[slot, 1], rows[slot, 2] = count, state[_ROOM], size
        sums[neighbor, 0] = state[_ROOM]
        push(heap, state[_HEAP], count, key)
        state[_USED] += 1
        state[_HEAP] += 1
        state[_ROOM] += size
    return full


@njit(cache=True, nogil=True)
def _list_new(text, table, near, state, new, first, kept):
    """Count the pairs of a new symbol with its neighbors and list those over the bar. True where lists are full."""
    sequence, ends, weights, width, lengths = text
    lists = table[3]
    left_sums, right_sums, left_touched, right_touched = near  # views made in a loop cost more than the loop
    wide, room = np.uint64(width[new]), state[_MOST] - lengths[new]
    lefts, rights, run = np.uint64(0), np.uint64(0), 0
    end, weight = np.uint64(ends[0]), weights[0]
    for t in range(first, first + kept):
        i = np.uint64(lists[t])
        if i >= end:
            run = run_of(ends, run, lists[t])
            end, weight = np.uint64(ends[run]), weights[run]
        before, after = sequence[i - _1], sequence[i + wide]
        if before >= 0 and lengths[np.uint64(before)] <= room:
            lefts = _add(left_sums, left_touched, lefts, before, weight)
        if after >= 0 and after != new and lengths[np.uint64(after)] <= room:
            rights = _add(right_sums, right_touched, rights, after, weight)
    full = _enter(table, state, left_sums, left_touched, lefts, new, False)
    full = _enter(table, state, right_sums, right_touched, rights, new, True) or full
    for t in range(first, first + kept):
        i = np.uint64(lists[t])
        before, after = sequence[i - _1], sequence[i + wide]
        if before >= 0:
            symbol = np.uint64(before)
            if lengths[symbol] <= room and left_sums[symbol, 0] >= 0:
                lists[np.uint64(left_sums[symbol, 0])] = i - np.uint64(width[symbol])
                left_sums[symbol, 0] += 1
        if after >= 0 and after != new:
            symbol = np.uint64(after)
            if lengths[symbol] <= room and right_sums[symbol, 0] >= 0:
                lists[np.uint64(right_sums[symbol, 0])] = i
                right_sums[symbol, 0] += 1
    for t in range(lefts):
        left_sums[left_touched[t], 0] = 0
    for t in range(rights):
        right_sums[right_touched[t], 0] = 0
    return full


@njit(cache=True, nogil=True)
def _merge(text, table, near, state, merges, wanted):
    """Merge until ``wanted`` merges are made, or the round is over, or a table must grow: says which."""
    lengths = text[4]
    keys, rows, heap = table[0], table[1], table[2]
    while state[_MERGES] < wanted:
        if state[_HEAP] == 0:
            return _EXHAUSTED
        count, pair = heap[0, 0], heap[0, 1]
        slot = _slot(keys, pair)
        now, size = rows[slot, 0], rows[slot, 2]
        new = state[_SYMBOLS] + state[_MERGES]
        room = 2 * min(size, new)
        if now == count and (2 * (state[_USED] + room) > len(keys) or state[_HEAP] + room > len(heap)):
            return _GROW
        pop(heap, state[_HEAP])
        state[_HEAP] -= 1
        if now != count:  # it became less frequent since it was entered
            if now >= state[_BAR]:
                push(heap, state[_HEAP], now, pair)
                state[_HEAP] += 1
            continue
        a, b = pair >> LEFT, pair & RIGHT
        m = state[_MERGES]
        merges[0, m], merges[1, m], merges[2, m] = a, b, count
        state[_MERGES] += 1
        lengths[new] = lengths[a] + lengths[b]
        first, kept = _replace(text, table, near, pair, new)
        if _list_new(text, table, near, state, new, first, kept):
            return _EXHAUSTED
    return _DONE


def _table(keys: np.ndarray, rows: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
    """A hash table of pairs with space for ``room`` in all."""
    slots = 1 << max(4, int(2 * room).bit_length())
    table_keys, table_rows = np.full(slots, _EMPTY, np.int64), np.zeros((slots, 3), np.int64)
    _insert(table_keys, table_rows, keys, rows)
    return table_keys, table_rows


def _wider(table: tuple[np.ndarray, ...], state: np.ndarray) -> tuple[np.ndarray, ...]:
    """The same table and heap with twice the room."""
    keys, rows, heap, lists = table
    filled = keys != _EMPTY
    keys, rows = _table(keys[filled], rows[filled], len(keys))
    taller = np.zeros((2 * len(heap), 2), np.int64)
    taller[: state[_HEAP]] = heap[: state[_HEAP]]
    return keys, rows, taller, lists


def _round(text: tuple[np.ndarray, ...], state: np.ndarray, min_count: int) -> tuple[np.ndarray, ...] | None:
    """List the frequent pairs, as a table and a heap; None where none is left to merge."""
    sequence, ends, weights, _, lengths = text
    symbols = int(state[_SYMBOLS] + state[_MERGES])
    pairs = frequent_pairs(sequence, ends, weights, lengths[:symbols], int(state[_MOST]), min_count, _STEP)
    number = len(pairs.keys)
    if not number:
        return None
    keys, rows = _table(pairs.keys, np.column_stack([pairs.counts, pairs.starts, pairs.sizes]), 4 * number)
    heap = np.zeros((4 * number, 2), np.int64)
    heap[:number, 0], heap[:number, 1] = pairs.counts, pairs.keys
    state[_USED], state[_HEAP], state[_ROOM], state[_BAR] = number, number, pairs.sizes.sum(), pairs.bar
    return keys, rows, heap, pairs.lists


def train_merges(
    sequence: np.ndarray,
    ends: np.ndarray,
    weights: np.ndarray,
    lengths: np.ndarray,
    wanted: int,
    max_length: int = 1 << 30,
    min_count: int = 2,
    progress: Callable[[int], None] | None = None,
) -> Merges:
    """Learn up to ``wanted`` merges; fewer where no pair is left with ``min_count`` uses.

    sequence: int32 [P], changed in place: symbols 0..V-1, a BARRIER first, last and between words; it must be shorter
    than 2**31. ends: int64 [R], the end (past its last barrier) of each run of words that count ``weights`` int64 [R]
    times; the last is P. lengths: int32 [V], of each symbol, say in characters; no merge makes a symbol longer than
    ``max_length``. progress: called with merges made since its last call.
    The merges depend on the words and their counts alone, not on their order.
    """
    first = len(lengths)
    state = np.zeros(7, np.int64)
    state[_SYMBOLS], state[_MOST] = first, max_length
    merges = np.zeros((3, wanted), np.int64)
    all_lengths = np.concatenate([lengths, np.zeros(wanted, np.int32)]).astype(np.int32)
    sums, touched = np.zeros((2, first + wanted, 2), np.int64), np.zeros((2, first + wanted), np.int32)
    near = (sums[0], sums[1], touched[0], touched[1])
    width = np.ones(first + wanted, np.int32)
    ends = ends.copy()
    while state[_MERGES] < wanted:
        sequence = sequence[: _squeeze(sequence, ends, width)]
        width[:] = 1
        text = (sequence, ends, weights, width, all_lengths)
        table = _round(text, state, min_count)
        if table is None:
            break
        status = _DONE
        while status in (_DONE, _GROW) and state[_MERGES] < wanted:
            before = int(state[_MERGES])
            status = _merge(text, table, near, state, merges, min(wanted, before + _CHUNK))
            if status == _GROW:
                table = _wider(table, state)
            if progress:
                progress(int(state[_MERGES]) - before)
    made = merges[:, : state[_MERGES]]
    return Merges(made[0].astype(np.int32), made[1].astype(np.int32), made[2].copy())
