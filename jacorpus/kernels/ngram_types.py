"""How many n-grams of characters of one document are distinct, and how many are repeated, for several n <= 10.

Called by `repetition`, which has the readable twins. Each character gets the number of its first appearance in
the document; where there are fewer than 4096, five fit into 60 bits and two words hold the ten characters
that begin at a position. The words of positions that may be repeated are put into buckets by a hash of the
smallest n-gram, so that one bucket lies together in memory, and compared there.

The distance of two positions falls as the prefix they share grows: word 2's bits that differ, or, where word 1
differs, 2^60 + word 1's. With E the distance to the nearest position before (in the order of the bucket) and F
to the nearest behind, a position repeats an earlier n-gram where E is below the limit of n; it is an n-gram's
last occurrence but not its only one where E is, but F is not. So, over all positions,

    distinct n-grams = n-grams - #(E < limit)         repeated ones = #(E < limit) - #(E < limit and F < limit)

Words are compared whole, so nothing depends on the hash. Texts of more different characters, or greater n, take
the general way (`ngram_groups`).
"""

import numpy as np
from numba import njit

from jacorpus.kernels.ngram_groups import bits_for, maybe_repeated

DEEPEST = 10
_WORD = 5  # characters in a word
_BITS = 12
_MOST = (1 << _BITS) - 1 - DEEPEST
_FULL = (1 << (_WORD * _BITS)) - 1
_NEVER = np.uint64(0xFFFFFFFFFFFFFFFF)
_PAIRWISE = 24
"""Buckets up to this size are compared pair by pair; larger ones are sorted first."""


@njit(cache=True, nogil=True)
def pack(codes, count, number_of, alphabet, words):
    """Set words[i] to the five characters that end at i; False if the text has too many different ones.

    number_of: zeros, uint16 [0x110000], left as zeros. After the text come DEEPEST characters that equal nothing.
    """
    used = 0
    word = np.uint64(0)
    for i in range(count):
        code = codes[i]
        number = number_of[code]
        if number == 0 and used < _MOST:
            alphabet[used] = code
            used += 1
            number = np.uint16(used)
            number_of[code] = number
        elif number == 0:
            used += 1
            break
        word = ((word << np.uint64(_BITS)) | np.uint64(number)) & np.uint64(_FULL)
        words[i] = word
    for j in range(min(used, _MOST)):
        number_of[alphabet[j]] = 0
    if used > _MOST:
        return False
    for k in range(DEEPEST):
        word = ((word << np.uint64(_BITS)) | np.uint64(used + 1 + k)) & np.uint64(_FULL)
        words[count + k] = word
    return True


@njit(cache=True, nogil=True)
def _hash_words(words, total, n, hashes):
    """32-bit hash of the n-gram at each of ``total`` positions."""
    first = np.uint64(_FULL) << np.uint64(_BITS * max(_WORD - n, 0))
    second = np.uint64(_FULL) << np.uint64(_BITS * min(2 * _WORD - n, _WORD))
    for i in range(total):
        x = (words[i + _WORD - 1] & first) * np.uint64(0x9E3779B97F4A7C15)
        x += (words[i + 2 * _WORD - 1] & second & np.uint64(_FULL)) * np.uint64(0xC2B2AE3D27D4EB4F)
        hashes[i] = np.uint32((x ^ (x >> np.uint64(29))) >> np.uint64(20))


@njit(cache=True, nogil=True)
def _scatter(words, hashes, candidates, found, counts, one, two):
    """Put both words of each candidate into its bucket; counts[b] becomes the end of bucket b. Number of buckets."""
    bits = bits_for(np.int64(found))
    shift = np.uint32(32 - bits)
    buckets = 1 << bits
    counts[:buckets] = 0
    for j in range(found):
        counts[hashes[candidates[j]] >> shift] += 1
    start = 0
    for b in range(buckets):
        size = counts[b]
        counts[b] = start
        start += size
    for j in range(found):
        i = np.int64(candidates[j])
        slot = hashes[i] >> shift
        to = counts[slot]
        counts[slot] = to + 1
        one[to] = words[i + _WORD - 1]
        two[to] = words[i + 2 * _WORD - 1]
    return buckets


@njit(cache=True, nogil=True, inline="always")
def _distance(one_a, two_a, one_b, two_b):
    return (two_a ^ two_b) if one_a == one_b else (one_a ^ one_b) | np.uint64(_FULL + 1)


@njit(cache=True, nogil=True)
def _compare_pairs(one, two, before, behind, lo, hi):
    """Least distances among positions lo..hi, whatever their order."""
    for i in range(lo, hi - 1):
        one_i, two_i, least = one[i], two[i], _NEVER
        for j in range(i + 1, hi):
            distance = _distance(one_i, two_i, one[j], two[j])
            before[j] = min(before[j], distance)
            least = min(least, distance)
        behind[i] = least


@njit(cache=True, nogil=True)
def _insertion_sort(one, two, lo, hi):
    for i in range(lo + 1, hi):
        a, b = one[i], two[i]
        j = i
        while j > lo and (one[j - 1] > a or (one[j - 1] == a and two[j - 1] > b)):
            one[j], two[j] = one[j - 1], two[j - 1]
            j -= 1
        one[j], two[j] = a, b


@njit(cache=True, nogil=True)
def _sort(one, two, lo, hi, stack):
    """Order by (one, two): quicksort into less, equal, greater; the equal ones go on with the second word."""
    stack[0, 0], stack[0, 1], stack[0, 2] = lo, hi, 0
    top = 1
    while top:
        top -= 1
        lo, hi, word = np.int64(stack[top, 0]), np.int64(stack[top, 1]), stack[top, 2]
        if hi - lo <= 12:
            _insertion_sort(one, two, lo, hi)
            continue
        key = two if word else one
        a, b, c = key[lo], key[(lo + hi) // 2], key[hi - 1]
        pivot = max(min(a, b), min(max(a, b), c))
        less, i, greater = lo, lo, hi
        while i < greater:
            value = key[i]
            if value < pivot:
                one[i], one[less] = one[less], one[i]
                two[i], two[less] = two[less], two[i]
                less += 1
                i += 1
            elif value > pivot:
                greater -= 1
                one[i], one[greater] = one[greater], one[i]
                two[i], two[greater] = two[greater], two[i]
            else:
                i += 1
        for start, end in ((lo, less), (greater, hi)):
            stack[top, 0], stack[top, 1], stack[top, 2] = start, end, word
            top += end - start > 1
        if not word:
            stack[top, 0], stack[top, 1], stack[top, 2] = less, greater, 1
            top += greater - less > 1


@njit(cache=True, nogil=True)
def _compare_buckets(counts, buckets, one, two, before, behind, stack):
    """Fill the distances of all candidates: before (E) and behind (F)."""
    start = np.int64(0)
    for b in range(buckets):
        end = np.int64(counts[b])
        size = end - start
        if size == 2:
            distance = _distance(one[start], two[start], one[start + 1], two[start + 1])
            before[start + 1], behind[start] = distance, distance
        elif size > _PAIRWISE:
            _sort(one, two, start, end, stack)
            for j in range(start + 1, end):
                distance = _distance(one[j - 1], two[j - 1], one[j], two[j])
                before[j], behind[j - 1] = distance, distance
        elif size > 2:
            _compare_pairs(one, two, before, behind, start, end)
        start = end


@njit(cache=True, nogil=True)
def count_types(words, count, ns, room, types_D2):
    """Set types_D2 (int64 [D, 2]) to (repeated, distinct) n-grams for each of ns; words come from `pack`.

    room: (hashes, candidates, counts, seen, stack, one, two, before, behind); int32 for 1, 2, 4, uint64 at the end.
    """
    hashes, candidates, counts, seen, stack, one, two, before, behind = room
    smallest = ns.min()
    total = count - smallest + 1
    if total < 1:
        return
    _hash_words(words, total, smallest, hashes)
    found = maybe_repeated(hashes, total, seen, candidates)
    buckets = _scatter(words, hashes, candidates, found, counts, one, two)
    before[:found] = _NEVER
    behind[:found] = _NEVER
    _compare_buckets(counts, buckets, one, two, before, behind, stack)
    for j, n in enumerate(ns):
        bits = np.uint64(_BITS * (_WORD - n if n <= _WORD else 2 * _WORD - n))
        limit = np.uint64(1) << bits
        if n <= _WORD:
            limit += np.uint64(_FULL + 1)
        earlier, both = 0, 0
        for i in range(found):
            earlier += before[i] < limit
            both += (before[i] < limit) & (behind[i] < limit)
        types_D2[j, 0] = earlier - both
        types_D2[j, 1] = max(count - n + 1 - earlier, 0)
