"""Counts of character n-grams of one very long document, in bounded memory.

Called by `repetition`, which has the readable twins, for texts of more than LONG characters; its faster ways keep
25 to 60 bytes a character. Here the n-grams are shared out by hash over several passes, each with a table of the
distinct n-grams of its share: where one occurs first, how often it occurs. Equal n-grams have equal hashes, so none
crosses a pass and the counts of the passes add up. What meets in a slot is compared character by character, so
nothing depends on the hash. An n-gram that is unique is unique at n+1, so n goes up and its position, once found
unique, is left out: one bit a position.

How many passes: a first one over a small share tells how many distinct n-grams there are, and so how many fill a
table. Hashes that clump, which a text does only on purpose, make the table grow: the counts are right then too.

Legend: a slot is two numbers, the hash and ``occurrences << 32 | first position``; 0 occurrences: an empty slot.
"""

import numpy as np
from numba import njit

LONG = 6 << 20
"""Characters of the longest text that is counted in one piece, in at most 400 MB."""
SLOTS = 4 << 20
"""Slots of a table, a power of two: 64 MB."""
_BLOCK = 1 << 12
_TALL = 1 << 16
"""Counts below it are tallied, the few from it up are listed."""
_BASE = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)
_ONCE = np.uint64(1 << 32)
_POSITION = np.uint64(0xFFFFFFFF)


@njit(cache=True, nogil=True)
def _grown(table):
    """The table with twice the slots."""
    grown = np.zeros((2 * len(table), 2), np.uint64)
    mask = len(grown) - 1
    for slot in range(len(table)):
        if table[slot, 1]:
            to = np.int64(table[slot, 0]) & mask
            while grown[to, 1]:
                to = (to + 1) & mask
            grown[to, 0], grown[to, 1] = table[slot, 0], table[slot, 1]
    return grown


@njit(cache=True, nogil=True)
def _same(codes, a, b, n):
    k = 0
    while k < n and codes[a + k] == codes[b + k]:
        k += 1
    return k == n


@njit(cache=True, nogil=True)
def _select(codes, start, stop, n, share, shares, unique, tags, positions):
    """Put hash and position of the n-grams at start..stop in one share into tags and positions; how many."""
    power, rolling = np.uint64(1), np.uint64(0)
    ahead = codes[start + n - 1 :]
    behind = codes[start:]
    for k in range(n - 1):
        power *= _BASE
        rolling = rolling * _BASE + np.uint64(behind[k])
    found = np.uint64(0)
    for j in range(np.uint64(stop - start)):
        rolling = rolling * _BASE + np.uint64(ahead[j])
        tag = (rolling ^ (rolling >> _HALF)) * np.uint64(0xD6E8FEB86659FD93)
        rolling -= np.uint64(behind[j]) * power
        tags[found] = tag
        positions[found] = j
        found += np.uint64(((tag >> _HALF) * shares) >> _HALF == share)
    kept = 0
    for j in range(np.int64(found)):
        i = start + np.int64(positions[j])
        tags[kept] = tags[j] ^ (tags[j] >> _HALF)
        positions[kept] = i
        kept += not (unique[i >> 3] >> (i & 7)) & 1
    return kept


@njit(cache=True, nogil=True)
def _insert(codes, n, tags, positions, found, table):
    """Count what `_select` found: n-grams that are new in the table."""
    mask = np.int64(len(table) - 1)
    new = 0
    for j in range(found):
        tag, i = tags[j], np.int64(positions[j])
        slot = np.int64(tag) & mask
        while table[slot, 1] and not (
            table[slot, 0] == tag and _same(codes, np.int64(table[slot, 1] & _POSITION), i, n)
        ):
            slot = (slot + 1) & mask
        if table[slot, 1]:
            table[slot, 1] += _ONCE
        else:
            table[slot, 0], table[slot, 1] = tag, _ONCE | np.uint64(i)
            new += 1
    return new


@njit(cache=True, nogil=True)
def _count_share(codes, total, n, share, shares, unique, table):
    """Count the n-grams of one share, but those marked unique: (the table, perhaps another; n-grams in it)."""
    table[:] = 0
    tags, positions = np.empty(_BLOCK + 1, np.uint64), np.empty(_BLOCK + 1, np.uint32)
    used = 0
    for start in range(0, total, _BLOCK):
        stop = min(start + _BLOCK, total)
        found = _select(codes, start, stop, n, share, shares, unique, tags, positions)
        while 4 * (used + found) > 3 * len(table):
            table = _grown(table)
        used += _insert(codes, n, tags, positions, found, table)
    return table, used


@njit(cache=True, nogil=True)
def _count_ngrams(codes, count, n, slots, unique, tally, tall):
    """(occurrences of the commonest, n-grams that occur twice or more, distinct n-grams) of codes[:count].

    unique: a bit for each position whose n-gram is known to be unique; more are set. tally: int64 [_TALL]; tally[c]
    becomes the number of n-grams that occur c times. tall: int64 [count // _TALL + 1]; begins with the counts too
    great for that, in no order, and is zero behind.
    """
    tally[:] = 0
    tall[:] = 0
    total = count - n + 1
    if total < 1:
        return 0, 0, 0
    left = 0
    for i in range(total):
        left += not (unique[i >> 3] >> (i & 7)) & 1
    tally[1] = total - left
    table = np.empty((slots, 2), np.uint64)
    shares = np.uint64(5 * left // (3 * slots) + 1)
    table, used = _count_share(codes, total, n, np.uint64(0), shares, unique, table)
    if shares > 1:
        shares = np.uint64(5 * used * np.int64(shares) // (3 * slots) + 1)
    distinct, listed = total - left, 0
    most = np.array([1, 0])  # occurrences of the commonest, n-grams repeated
    for share in range(shares):
        table, used = _count_share(codes, total, n, np.uint64(share), shares, unique, table)
        distinct += used
        for slot in range(len(table)):
            found = np.int64(table[slot, 1] >> _HALF)
            most[0] = max(most[0], found)
            most[1] += found > 1
            if found == 1:
                first = np.int64(table[slot, 1] & _POSITION)
                unique[first >> 3] |= np.uint8(1 << (first & 7))
            if found >= _TALL:
                tall[listed] = found
                listed += 1
            else:
                tally[found] += 1
    return most[0], most[1], distinct


@njit(cache=True, nogil=True)
def _frequent(repeated, types, tally, tall):
    """Occurrences of the top min(floor(sqrt(types)), repeated) n-grams."""
    left = min(int(np.sqrt(types)), repeated)
    occurrences = 0
    for found in np.sort(tall)[::-1]:
        if left > 0 and found > 0:
            occurrences += found
            left -= 1
    for found in range(_TALL - 1, 1, -1):
        taken = min(left, tally[found])
        occurrences += taken * found
        left -= taken
    return occurrences


@njit(cache=True, nogil=True)
def count_long(codes, count, top_ns, type_ns, frequent, slots, top_T, types_D2):
    """Set top_T and types_D2 (repeated, distinct) for each of their ns; HojiChar's frequent occurrences.

    frequent: the n of those, or 0 for none. Memory: the table and an eighth of a byte a character.
    """
    tally, tall = np.empty(_TALL, np.int64), np.empty(count // _TALL + 1, np.int64)
    unique = np.zeros(count // 8 + 1, np.uint8)
    occurrences = 0
    for n in np.unique(np.concatenate((top_ns, type_ns, np.array([frequent])))):
        if n == 0:
            continue
        top, repeated, types = _count_ngrams(codes, count, n, slots, unique, tally, tall)
        for j in range(len(top_ns)):
            if top_ns[j] == n:
                top_T[j] = top
        for j in range(len(type_ns)):
            if type_ns[j] == n:
                types_D2[j, 0], types_D2[j, 1] = repeated, types
        if n == frequent:
            occurrences = _frequent(repeated, types, tally, tall)
    return occurrences
