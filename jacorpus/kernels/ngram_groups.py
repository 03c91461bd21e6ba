"""Groups of equal n-grams of characters in one document, for several n at once: the general way.

Called by `repetition`, which has the readable twins. A group is the set of positions that share one n-gram, two
or more; L is the number of characters; `codes` are code points, after which come characters that equal nothing.

An n-gram that is unique is unique at n+1. Positions whose smallest n-gram may be repeated are put into buckets by
hash, and each bucket is split like a multikey quicksort (Bentley and Sedgewick 1997): how far all its members
agree is found once, and counts for all those n; then it splits at the first character that differs. Characters
themselves are compared, so nothing depends on the hash.
"""

import numpy as np
from numba import njit

HOJICHAR_N = 5
"""The n whose group sizes are noted (HojiChar's repetition ratio)."""


@njit(cache=True, nogil=True)
def hash_ngrams(codes, total, n, hashes):
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
def bits_for(size):
    """The least number of bits, 8 to 26, that count to ``size``."""
    bits = 8
    while bits < 26 and (1 << bits) < size:
        bits += 1
    return bits


@njit(cache=True, nogil=True)
def maybe_repeated(hashes, total, seen, positions):
    """Positions whose slot was hit at least twice, in order; their number. Holds every repeated n-gram."""
    bits = bits_for(4 * total)
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
def buckets(hashes, candidates, found, counts, positions, stack):
    """Sort candidates into buckets by hash (positions); push those of two or more on the stack; their number."""
    bits = bits_for(found)
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
def refine(codes, positions, stack, top, smallest, deepest, groups, members, largest, sizes, ids):
    """Find all groups for n = smallest..deepest in the ``top`` segments (lo, hi, depth) of positions on the stack.

    The members of a segment share their first ``depth`` characters. Sets groups[n] and members[n] to the number
    of groups and of their positions, largest[n] to the size of the largest. sizes[size] counts the groups of
    HOJICHAR_N unless sizes is empty; ids[n, position] becomes the number of its group (from 1) unless empty.
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
            if len(sizes) and fewest <= HOJICHAR_N <= shared:
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
