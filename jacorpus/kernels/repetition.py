"""Repetition of character n-grams in each document: the commonest, those seen twice, characters they cover.

How it is fast and still exact:

- A table of hashes only preselects. The count of an n-gram's slot bounds its own count from above, so a
  position whose slot was hit once can't be repeated, and one whose slot has fewer hits than the best exact count
  can't be the commonest. Every count that is reported comes from comparing the characters themselves; no result
  depends on a hash, so there is no probability of error.
- An n-gram that is unique is unique at n+1. Positions that pass the preselection of the smallest n are put into
  buckets by hash, and each bucket is split like a multikey quicksort (Bentley and Sedgewick 1997): how far all
  its members agree is found once, and counts for all those n; then it splits at the first character that differs.

Legend: N documents, L characters of a document; a group is the set of positions that share one n-gram, two or
more; `codes` are code points, after which come characters that equal nothing (each is another).
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit

from jacorpus import script
from jacorpus.kernels.buffers import text_buffers
from jacorpus.kernels.characters import decode

MAX_N = 32
_HOJICHAR_N = 5


def top_count_naive(text: str, n: int) -> int:
    """Occurrences of the commonest n-gram; 0 for a text shorter than n."""
    return max(Counter(script.ngrams(text, n)).values(), default=0)


def duplicated_types_naive(text: str, n: int) -> tuple[int, int]:
    """(n-grams that occur twice or more, distinct n-grams)."""
    counts = Counter(script.ngrams(text, n)).values()
    return sum(count > 1 for count in counts), len(counts)


def covered_chars_naive(text: str, n: int) -> int:
    """Characters in repeats (Gopher): at an n-gram seen before, count n and step n; else note it and step 1."""
    seen, covered, i = set(), 0, 0
    while i + n <= len(text):
        if text[i : i + n] in seen:
            covered += n
            i += n
        else:
            seen.add(text[i : i + n])
            i += 1
    return covered


def frequent_occurrences_naive(text: str, n: int = _HOJICHAR_N) -> int:
    """Occurrences of the top min(floor(sqrt(types)), repeated types) n-grams (HojiChar)."""
    counts = sorted(Counter(script.ngrams(text, n)).values(), reverse=True)
    repeated = sum(count > 1 for count in counts)
    return sum(counts[: min(int(len(counts) ** 0.5), repeated)])


@njit(cache=True, nogil=True)
def _hash(codes, total, n, hashes):
    """32-bit hash of each of ``total`` n-grams, term by term so that the compiler vectorizes it."""
    for i in range(total):
        hashes[i] = 0
    weight = np.uint32(0x9E3779B1)
    for k in range(n):
        for i in range(total):
            hashes[i] += np.uint32(codes[i + k] * weight)
        weight = np.uint32(weight * np.uint32(0x85EBCA6B))
    for i in range(total):
        x = hashes[i]
        hashes[i] = np.uint32((x ^ np.uint32(x >> np.uint32(15))) * np.uint32(0x2C1B3C6D))


@njit(cache=True, nogil=True)
def _agreement(codes, positions, lo, hi, depth, deepest):
    """How many characters, from ``depth`` to at most ``deepest``, all of positions[lo:hi] share."""
    first = np.int64(positions[lo])
    for j in range(lo + 1, hi):
        other = np.int64(positions[j])
        k = depth
        while k < deepest and codes[first + k] == codes[other + k]:
            k += 1
        if k == depth:
            return depth
        deepest = k
    return deepest


@njit(cache=True, nogil=True)
def _split(codes, positions, lo, hi, depth):
    """Order positions[lo:hi] by their character at ``depth`` against a pivot: (end of less, start of greater)."""
    pivot = codes[positions[(lo + hi) // 2] + depth]
    less, i, greater = lo, lo, hi
    while i < greater:
        position = positions[i]
        code = codes[position + depth]
        if code < pivot:
            positions[i] = positions[less]
            positions[less] = position
            less += 1
            i += 1
        elif code > pivot:
            greater -= 1
            positions[i] = positions[greater]
            positions[greater] = position
        else:
            i += 1
    return less, greater


@njit(cache=True, nogil=True)
def _refine(codes, positions, stack, top, smallest, deepest, groups, members, largest, sizes, ids):
    """Find all groups for n = smallest..deepest in the ``top`` segments (lo, hi, depth) of positions on the stack.

    The members of a segment share their first ``depth`` characters. Sets groups[n] and members[n] to the number
    of groups and of their positions, largest[n] to the size of the largest. sizes[size] counts the groups of
    _HOJICHAR_N unless sizes is empty; ids[n, position] becomes the number of its group (from 1) unless empty.
    """
    groups[:] = 0
    members[:] = 0
    largest[:] = 1
    group = 0
    while top:
        top -= 1
        lo, hi, depth = np.int64(stack[top, 0]), np.int64(stack[top, 1]), np.int64(stack[top, 2])
        size = hi - lo
        shared = _agreement(codes, positions, lo, hi, depth, deepest)
        fewest = max(depth + 1, smallest)
        if fewest <= shared:
            # One group for each n from fewest to shared, noted as steps up and down that are summed at the end.
            groups[fewest] += 1
            groups[shared + 1] -= 1
            members[fewest] += size
            members[shared + 1] -= size
            largest[shared] = max(largest[shared], size)
            if len(sizes) and fewest <= _HOJICHAR_N <= shared:
                sizes[size] += 1
            if len(ids):
                group += 1
                for j in range(lo, hi):
                    for n in range(fewest, shared + 1):
                        ids[n, positions[j]] = group
        if shared == deepest or size == 2:
            continue
        less, greater = _split(codes, positions, lo, hi, shared)
        for a, b in ((lo, less), (less, greater), (greater, hi)):
            if b - a > 1:
                stack[top, 0], stack[top, 1], stack[top, 2] = a, b, shared
                top += 1
    for n in range(1, len(groups)):
        groups[n] += groups[n - 1]
        members[n] += members[n - 1]
    for n in range(len(groups) - 2, -1, -1):
        largest[n] = max(largest[n], largest[n + 1])


@njit(cache=True, nogil=True)
def _bits_for(size):
    """The least number of bits, 8 to 26, that count to ``size``."""
    bits = 8
    while bits < 26 and (1 << bits) < size:
        bits += 1
    return bits


@njit(cache=True, nogil=True)
def _maybe_repeated(hashes, total, seen, positions):
    """Positions whose slot was hit at least twice, in order; their number. Holds every repeated n-gram."""
    bits = _bits_for(4 * total)
    shift = np.uint32(32 - bits)
    seen[: 1 << bits] = 0
    for i in range(total):
        slot = hashes[i] >> shift
        seen[slot] = ((seen[slot] << 1) | 1) & 3
    found = 0
    for i in range(total):
        positions[found] = i
        found += seen[hashes[i] >> shift] == 3
    return found


@njit(cache=True, nogil=True)
def _buckets(hashes, candidates, found, counts, positions, stack):
    """Sort candidates into buckets by hash (positions); push those of two or more on the stack; their number."""
    bits = _bits_for(found)
    shift = np.uint32(32 - bits)
    buckets = 1 << bits
    counts[:buckets] = 0
    for j in range(found):
        counts[hashes[candidates[j]] >> shift] += 1
    top, start = 0, 0
    for b in range(buckets):
        size = counts[b]
        counts[b] = start
        stack[top, 0], stack[top, 1], stack[top, 2] = start, start + size, 0
        top += size > 1
        start += size
    for j in range(found):
        i = candidates[j]
        slot = hashes[i] >> shift
        positions[counts[slot]] = i
        counts[slot] += 1
    return top


@njit(cache=True, nogil=True)
def _top_count(codes, total, n, room):
    """Occurrences of the commonest n-gram, exact.

    Counts slots of hashes; counts exactly what fell into the fullest slot; then, where other slots hold more
    than that count, what fell into them.
    """
    hashes, candidates, positions, counts, _, stack, tallies, no_sizes, no_ids = room
    bits = _bits_for(total)
    shift = np.uint32(32 - bits)
    slots = counts[: 1 << bits]
    slots[:] = 0
    for i in range(total):
        slots[hashes[i] >> shift] += 1
    fullest = np.uint32(np.argmax(slots))
    if slots[fullest] == 1:
        return 1
    found = 0
    for i in range(total):
        positions[found] = i
        found += (hashes[i] >> shift) == fullest
    stack[0, 0], stack[0, 1], stack[0, 2] = 0, found, 0
    _refine(codes, positions, stack, 1, n, n, tallies[0], tallies[1], tallies[2], no_sizes, no_ids)
    best = tallies[2, n]
    slots[fullest] = 0
    if slots.max() <= best:
        return best
    found = 0
    for i in range(total):
        candidates[found] = i
        found += slots[hashes[i] >> shift] > best
    top = _buckets(hashes, candidates, found, counts, positions, stack)
    _refine(codes, positions, stack, top, n, n, tallies[0], tallies[1], tallies[2], no_sizes, no_ids)
    return max(best, tallies[2, n])


@njit(cache=True, nogil=True)
def _frequent(sizes, types, repeated, longest):
    """Sum of the min(floor(sqrt(types)), repeated) largest groups, given how many there are of each size."""
    left = min(int(np.sqrt(types)), repeated)
    occurrences = 0
    size = longest
    while left > 0:
        taken = min(left, sizes[size])
        occurrences += taken * size
        left -= taken
        size -= 1
    return occurrences


@njit(cache=True, nogil=True)
def _covered(ids_L, total, n, noted):
    """Characters in repeats, stepping n after each; ids_L names the group of each position, 0 for none."""
    noted[:] = 0
    covered, i = 0, 0
    while i < total:
        group = ids_L[i]
        if group and noted[group]:
            covered += n
            i += n
        else:
            noted[group] = group > 0
            i += 1
    return covered


@njit(cache=True, nogil=True)
def _measure(offsets, data, top_ns, smallest, deepest, cover_ns, frequent, chars_N, tops_NT, types, covered_NC, top5_N):
    """All documents; types is int64 [N, MAX_N + 2, 2]: groups and distinct n-grams for smallest..deepest."""
    documents = len(offsets) - 1
    most = 0
    for d in range(documents):
        most = max(most, offsets[d + 1] - offsets[d])
    codes = np.empty(most + MAX_N + 1, np.uint32)
    hashes = np.empty(most, np.uint32)
    candidates, positions = np.empty(most + 1, np.int32), np.empty(most + 1, np.int32)
    counts, seen = np.empty(1 << _bits_for(most), np.int32), np.empty(1 << _bits_for(4 * most), np.uint8)
    stack = np.empty((most // 2 + 4, 3), np.int32)
    tallies = np.zeros((3, MAX_N + 2), np.int64)
    no_sizes, no_ids = np.empty(0, np.int32), np.empty((0, 0), np.int32)
    room = (hashes, candidates, positions, counts, seen, stack, tallies, no_sizes, no_ids)
    noted = np.empty(most + 1 if len(cover_ns) else 0, np.uint8)
    for d in range(documents):
        count = decode(data, offsets[d], offsets[d + 1], codes)
        chars_N[d] = count
        for k in range(MAX_N + 1):
            codes[count + k] = np.uint32(0x80000000 + k)
        for j, n in enumerate(top_ns):
            if count >= n:
                _hash(codes, count - n + 1, n, hashes)
                tops_NT[d, j] = _top_count(codes, count - n + 1, n, room)
        if deepest == 0 or count < smallest:
            continue
        _hash(codes, count - smallest + 1, smallest, hashes)
        found = _maybe_repeated(hashes, count - smallest + 1, seen, candidates)
        segments = _buckets(hashes, candidates, found, counts, positions, stack)
        sizes = np.zeros(count + 1 if frequent else 0, np.int32)
        ids = np.zeros((deepest + 1, count) if len(cover_ns) else (0, 0), np.int32)
        groups, members, largest = tallies[0], tallies[1], tallies[2]
        _refine(codes, positions, stack, segments, smallest, deepest, groups, members, largest, sizes, ids)
        for n in range(smallest, min(deepest, count) + 1):
            types[d, n, 0] = groups[n]
            types[d, n, 1] = count - n + 1 - members[n] + groups[n]
        if frequent and count >= _HOJICHAR_N:
            repeated, distinct = types[d, _HOJICHAR_N, 0], types[d, _HOJICHAR_N, 1]
            top5_N[d] = _frequent(sizes, distinct, repeated, largest[_HOJICHAR_N])
        for j, n in enumerate(cover_ns):
            covered_NC[d, j] = _covered(ids[n], count - n + 1, n, noted)


class Repetition(NamedTuple):
    """What `repetition` counts; T, D, C are the numbers of n asked for.

    chars_N: characters. top_NT: occurrences of the commonest n-gram. repeated_ND, types_ND: n-grams that occur
    twice or more, distinct n-grams. covered_NC: characters in repeats (Gopher). frequent_N: occurrences of
    HojiChar's frequent 5-grams, zeros unless asked for. All int64.
    """

    chars_N: np.ndarray
    top_NT: np.ndarray
    repeated_ND: np.ndarray
    types_ND: np.ndarray
    covered_NC: np.ndarray
    frequent_N: np.ndarray


def repetition(
    array: pa.Array,
    top: Sequence[int] = (),
    types: Sequence[int] = (),
    cover: Sequence[int] = (),
    frequent: bool = False,
) -> Repetition:
    """Count repeated character n-grams of each text of a string array, exactly; each n is 1 to MAX_N.

    A text shorter than n has zeros; a null counts as an empty text. Raises ValueError for other n.
    """
    wrong = [n for n in (*top, *types, *cover) if not 1 <= n <= MAX_N]
    if wrong:
        raise ValueError(f"n-grams have 1 to {MAX_N} characters, not {wrong[0]}")
    offsets, data = text_buffers(array)
    ns = [*types, *cover, *([_HOJICHAR_N] if frequent else [])]
    smallest, deepest = min(ns, default=0), max(ns, default=0)
    top_ns, cover_ns = np.array(top, np.int64), np.array(cover, np.int64)
    chars_N, frequent_N = np.zeros(len(array), np.int64), np.zeros(len(array), np.int64)
    top_NT, covered_NC = (np.zeros((len(array), len(ns)), np.int64) for ns in (top, cover))
    tallies = np.zeros((len(array), MAX_N + 2, 2), np.int64)
    _measure(
        offsets, data, top_ns, smallest, deepest, cover_ns, frequent, chars_N, top_NT, tallies, covered_NC, frequent_N
    )
    picked = tallies[:, np.array(types, np.int64)]
    return Repetition(chars_N, top_NT, picked[..., 0], picked[..., 1], covered_NC, frequent_N)
