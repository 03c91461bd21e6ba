"""The most frequent pairs of neighbors in an array of symbols, and where each stands.

Places are first sorted by their left symbol, then each such group is counted by its right symbol: two passes over
memory in order, where a hash table of all pairs would miss the cache at each place. The lists of the pairs that are
kept take the memory of the groups.

Legend: P places, V symbols, R runs of words of equal weight, Q pairs kept. Pair (a, b) has the key a * 2**32 + b.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numba import njit

LEFT, RIGHT = 32, 0xFFFFFFFF


@dataclass(frozen=True)
class Pairs:
    """keys, counts, starts, sizes: int64 [Q], most frequent first, smaller key first among equals. lists: int32 [P];
    the places of pair q, in order, are ``lists[starts[q]:starts[q] + sizes[q]]``, and what follows the last list is
    free. bar: every pair with at least so many uses is there, or the first one alone."""

    keys: np.ndarray
    counts: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray
    lists: np.ndarray
    bar: int


def pairs_naive(
    sequence: Sequence[int], weights: Sequence[int], lengths: Sequence[int], max_length: int
) -> dict[tuple[int, int], tuple[int, list[int]]]:
    """(a, b) -> (uses, places) of every pair; ``weights`` is given by place: the readable twin."""
    found: dict[tuple[int, int], tuple[int, list[int]]] = defaultdict(lambda: (0, []))
    for i, (a, b) in enumerate(pairwise(sequence)):
        if a >= 0 and b >= 0 and lengths[a] + lengths[b] <= max_length:
            uses, places = found[a, b]
            found[a, b] = uses + weights[i], [*places, i]
    return dict(found)


@njit(cache=True, nogil=True)
def run_of(ends, run, place):
    """The run that holds a place, searched from ``run`` on."""
    low, high = run, len(ends) - 1
    while low < high:
        middle = (low + high) >> 1
        if ends[middle] <= place:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def _by_left(sequence, symbols, lists):
    """Write the places of all pairs to lists, grouped by left symbol, each group in order; returns where groups end."""
    ends = np.zeros(symbols + 1, np.int64)
    for i in range(len(sequence) - 1):
        if sequence[i] >= 0 and sequence[i + 1] >= 0:
            ends[sequence[i] + 1] += 1
    for a in range(symbols):
        ends[a + 1] += ends[a]
    for i in range(len(sequence) - 1):
        if sequence[i] >= 0 and sequence[i + 1] >= 0:
            lists[ends[sequence[i]]] = i
            ends[sequence[i]] += 1
    return ends[:symbols]


@njit(cache=True, nogil=True)
def _tally(sequence, ends, weights, lengths, max_length, lists, groups, min_count, step):
    """Rows (key, uses, places) of all pairs with 1 / 2**step of the uses of the first one, and some more."""
    rows = np.empty((1 << 10, 3), np.int64)
    found = 0
    uses, sizes = np.zeros(len(lengths), np.int64), np.zeros(len(lengths), np.int64)
    touched = np.empty(len(lengths), np.int32)
    floor, first = min_count, np.int64(0)
    for a in range(len(groups)):
        number, run = 0, 0
        for t in range(first, groups[a]):
            i = np.int64(lists[t])
            b = sequence[i + 1]
            if i >= ends[run]:
                run = run_of(ends, run, i)
            if sizes[b] == 0:
                touched[number] = b
                number += 1
            sizes[b] += 1
            uses[b] += weights[run]
        for t in range(number):
            b = np.int64(touched[t])
            if uses[b] >= floor and lengths[a] + lengths[b] <= max_length:
                if found == len(rows):
                    longer = np.empty((2 * found, 3), np.int64)
                    longer[:found] = rows
                    rows = longer
                rows[found, 0], rows[found, 1], rows[found, 2] = (a << LEFT) | b, uses[b], sizes[b]
                found += 1
                floor = max(floor, uses[b] >> step)
            uses[b] = 0
            sizes[b] = 0
        first = groups[a]
    return rows[:found]


@njit(cache=True, nogil=True)
def _keep(sequence, lists, groups, keys, sizes, starts):
    """Move the places of the pairs that are kept (keys rising) to the front of lists, pair by pair."""
    write, first, q, widest = np.int64(0), np.int64(0), 0, np.int64(0)
    cursors = np.full(len(groups), -1, np.int64)
    for a in range(len(groups)):
        widest = max(widest, groups[a] - (groups[a - 1] if a else 0))
    group = np.empty(widest, np.int32)
    for a in range(len(groups)):
        begin = q
        while q < len(keys) and keys[q] >> LEFT == a:
            starts[q] = write
            cursors[keys[q] & RIGHT] = write
            write += sizes[q]
            q += 1
        if q > begin:
            group[: groups[a] - first] = lists[first : groups[a]]
            for t in range(groups[a] - first):
                b = sequence[group[t] + 1]
                if cursors[b] >= 0:
                    lists[cursors[b]] = group[t]
                    cursors[b] += 1
            for k in range(begin, q):
                cursors[keys[k] & RIGHT] = -1
        first = groups[a]


def frequent_pairs(
    sequence: np.ndarray,
    ends: np.ndarray,
    weights: np.ndarray,
    lengths: np.ndarray,
    max_length: int,
    min_count: int,
    step: int,
) -> Pairs:
    """The pairs with at least ``min_count`` uses and 1 / 2**step of the uses of the first one, as many as fit.

    sequence: int32 [P], no pair where either symbol is under 0. ends, weights: int64 [R], end of each run and how
    often its places count. lengths: int32 [V]; a pair longer than max_length is none. Lists take at most half of P,
    or else the bar goes up.
    """
    lists = np.empty(len(sequence), np.int32)
    groups = _by_left(sequence, len(lengths), lists)
    rows = _tally(sequence, ends, weights, lengths, max_length, lists, groups, min_count, step)
    rows = rows[np.lexsort((rows[:, 0], -rows[:, 1]))]
    if not len(rows):
        none = np.zeros(0, np.int64)
        return Pairs(none, none, none, none, lists, min_count)
    bar = max(min_count, int(rows[0, 1]) >> step)
    kept = int(np.searchsorted(-rows[:, 1], -bar, "right"))
    fitting = int(np.searchsorted(np.cumsum(rows[:kept, 2]), len(sequence) >> 1, "right"))
    if fitting < kept:  # the bar goes over the first pair without a list; the first of all has one at any rate
        bar = int(rows[fitting, 1]) + 1
        kept = max(1, int(np.searchsorted(-rows[:, 1], -bar, "right")))
    keys, counts, sizes = (np.ascontiguousarray(rows[:kept, i]) for i in range(3))
    starts, order = np.zeros(kept, np.int64), np.argsort(keys)
    placed = np.zeros(kept, np.int64)
    _keep(sequence, lists, groups, keys[order], sizes[order], placed)
    starts[order] = placed
    return Pairs(keys, counts, starts, sizes, lists, bar)
