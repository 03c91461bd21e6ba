"""Repetition of word n-grams: Gopher's two covers and BigScience's share of repeated n-grams.

For a document of words and each n:
- top: characters of the commonest n-gram joined with spaces, times its occurrences; the first of equals counts.
  (datatrove a649de79, gopher_repetition_filter.py; the spaces make Japanese ratios larger than the characters
  warrant, and the published thresholds were set that way.)
- dup: going from left to right, an n-gram met before adds its characters and is stepped over whole; a new one is
  remembered and the next word is tried (same file).
- repeated: occurrences of n-grams that occur twice or more (HojiChar 3ca1d27, WordRepetitionRatioFilter).
Words are compared one by one; datatrove compares joined strings, so that (ab, c) and (a, bc) are equal there.

The fast path numbers n-grams by a pair: number of the (n-1)-gram, last word. Numbers are exact, there is no
collision to fear; those that are unique are not looked at again for a larger n.
Legend: N documents, W words in all, K the largest n.
"""

from collections import Counter

import numba as nb
import numpy as np


def word_repetition_naive(
    words: list[list[str]], max_n: int
) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
    """top, dup, repeated of each document, for n = 0 ... max_n (0 for n < 2)."""
    tops, dups, repeats = [], [], []
    for document in words:
        top, dup, repeated = [0, 0], [0, 0], [0, 0]
        for n in range(2, max_n + 1):
            grams = [tuple(document[i : i + n]) for i in range(len(document) - n + 1)]
            counts = Counter(grams)
            gram, count = max(counts.items(), key=lambda item: item[1], default=((), 0))
            top.append(len(" ".join(gram)) * count)
            repeated.append(sum(count for count in counts.values() if count > 1))
            seen: set[tuple[str, ...]] = set()
            chars = at = 0
            while at < len(grams):
                if grams[at] in seen:
                    chars += len("".join(grams[at]))
                    at += n
                else:
                    seen.add(grams[at])
                    at += 1
            dup.append(chars)
        tops.append(top)
        dups.append(dup)
        repeats.append(repeated)
    return tops, dups, repeats


@nb.njit(cache=True, nogil=True)
def _number_pairs(current, words, start, n, grams, keys, numbers, firsts, counts):
    """Turn current[0:grams] from numbers of (n-1)-grams into numbers of n-grams, in order of appearance; -1 = unique.

    Returns how many were numbered; firsts and counts get the first place and the occurrences of each. An n-gram is
    unique when one of its two (n-1)-grams is, so only the others are looked up.
    """
    candidates = np.int64(0)
    for i in range(grams):
        if n > 2 and (current[i] < 0 or current[i + 1] < 0):
            current[i] = -1
        else:
            candidates += 1
    size = np.int64(16)
    while size < 2 * candidates:
        size *= 2
    keys[:size] = -1
    distinct = np.int64(0)
    for i in range(grams):
        if current[i] < 0:
            continue
        key = (current[i] << 32) | np.int64(words[start + i + n - 1])
        mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
        slot = np.int64(mixed >> np.uint64(20)) & (size - 1)
        while keys[slot] != -1 and keys[slot] != key:
            slot = (slot + 1) & (size - 1)
        if keys[slot] == -1:
            keys[slot] = key
            numbers[slot] = distinct
            firsts[distinct] = i
            counts[distinct] = 0
            distinct += 1
        current[i] = numbers[slot]
        counts[current[i]] += 1
    for i in range(grams):
        if current[i] >= 0 and counts[current[i]] == 1:
            current[i] = -1
    return distinct


@nb.njit(cache=True, nogil=True)
def _covered(current, grams, n, before, seen):
    """Characters in n-grams met before, stepping over each; seen: scratch, False for each number."""
    chars = np.int64(0)
    at = np.int64(0)
    while at < grams:
        number = current[at]
        if number >= 0 and seen[number]:
            chars += before[at + n] - before[at]
            at += n
        else:
            if number >= 0:
                seen[number] = True
            at += 1
    return chars


@nb.njit(cache=True, nogil=True)
def _word_repetition(offsets, words, chars, max_n):
    documents = len(offsets) - 1
    top = np.zeros((documents, max_n + 1), np.int64)
    dup = np.zeros((documents, max_n + 1), np.int64)
    repeated = np.zeros((documents, max_n + 1), np.int64)
    longest = np.int64(0)
    for d in range(documents):
        longest = max(longest, offsets[d + 1] - offsets[d])
    table = np.int64(16)
    while table < 2 * longest:
        table *= 2
    keys, numbers = np.empty(table, np.int64), np.empty(table, np.int64)
    current, firsts, counts = np.empty(longest, np.int64), np.empty(longest, np.int64), np.empty(longest, np.int64)
    before = np.zeros(longest + 1, np.int64)  # characters of the words before each one
    seen = np.empty(longest, np.bool_)
    for d in range(documents):
        start, length = offsets[d], offsets[d + 1] - offsets[d]
        for i in range(length):
            current[i] = words[start + i]
            before[i + 1] = before[i] + chars[start + i]
        for n in range(2, max_n + 1):
            grams = length - n + 1
            if grams <= 0:
                break
            distinct = _number_pairs(current, words, start, n, grams, keys, numbers, firsts, counts)
            first, most = np.int64(0), np.int64(1)  # of unique ones, the first counts
            for g in range(distinct):
                if counts[g] > most:
                    first, most = firsts[g], counts[g]
                if counts[g] > 1:
                    repeated[d, n] += counts[g]
            top[d, n] = (before[first + n] - before[first] + n - 1) * most
            seen[:distinct] = False
            dup[d, n] = _covered(current, grams, n, before, seen)
    return top, dup, repeated


def word_repetition(
    offsets: np.ndarray, words: np.ndarray, chars: np.ndarray, max_n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """top, dup, repeated, each int64 [N, K+1], indexed by n; columns 0 and 1 are zero.

    offsets int64 [N+1]: where documents start in words, int64 [W]: numbers of words, 0 <= number < 2^31, that
    mean the same within a document. chars int64 [W]: characters of each.
    """
    return _word_repetition(
        np.ascontiguousarray(offsets, np.int64),
        np.ascontiguousarray(words, np.int64),
        np.ascontiguousarray(chars, np.int64),
        max_n,
    )
