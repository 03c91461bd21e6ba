"""Repetition of character n-grams in each document: the commonest, those seen twice, characters they cover.

How it is fast and still exact: a table of hashes only preselects. The count of an n-gram's slot bounds its own
count from above, so a position whose slot was hit once can't be repeated, and one whose slot has fewer hits than
the best exact count can't be the commonest. What is left is compared character by character (`ngram_groups`) or
as exact packed words (`ngram_types`); very long texts are counted in passes (`ngram_passes`). No result depends
on a hash, so there is no probability of error.

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
from jacorpus.kernels import ngram_passes
from jacorpus.kernels.buffers import text_buffers
from jacorpus.kernels.characters import CODE_POINTS, decode
from jacorpus.kernels.ngram_groups import HOJICHAR_N, bits_for, buckets, hash_ngrams, maybe_repeated, refine
from jacorpus.kernels.ngram_passes import count_long
from jacorpus.kernels.ngram_types import DEEPEST, count_types, pack

MAX_N = 32


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


def frequent_occurrences_naive(text: str, n: int = HOJICHAR_N) -> int:
    """Occurrences of the top min(floor(sqrt(types)), repeated types) n-grams (HojiChar)."""
    counts = sorted(Counter(script.ngrams(text, n)).values(), reverse=True)
    repeated = sum(count > 1 for count in counts)
    return sum(counts[: min(int(len(counts) ** 0.5), repeated)])


@njit(cache=True, nogil=True)
def _top_count(codes, count, n, room):
    """Occurrences of the commonest n-gram, exact.

    Counts slots of hashes; counts exactly what fell into the fullest slot; then, where other slots hold more
    than that count, what fell into them.
    """
    hashes, candidates, positions, counts, _, stack, tallies, no_sizes, no_ids = room
    groups, members, largest = tallies[0], tallies[1], tallies[2]
    total = count - n + 1
    if total < 1:
        return 0
    hash_ngrams(codes, total, n, hashes)
    bits = bits_for(total)
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
    refine(codes, positions, stack, np.int64(1), n, n, groups, members, largest, no_sizes, no_ids)
    best = largest[n]
    slots[fullest] = 0
    if slots.max() <= best:
        return best
    found = 0
    for i in range(total):
        candidates[found] = i
        found += slots[hashes[i] >> shift] > best
    top = buckets(hashes, candidates, np.int64(found), counts, positions, stack)
    refine(codes, positions, stack, top, n, n, groups, members, largest, no_sizes, no_ids)
    return max(best, largest[n])


@njit(cache=True, nogil=True)
def _find_groups(codes, count, smallest, deepest, room, sizes, ids):
    """Fill room's tallies with the groups of n = smallest..deepest; sizes and ids as in `refine`."""
    hashes, candidates, positions, counts, seen, stack, tallies, _, _ = room
    total = max(count - smallest + 1, 0)
    hash_ngrams(codes, total, smallest, hashes)
    found = maybe_repeated(hashes, total, seen, candidates)
    top = buckets(hashes, candidates, np.int64(found), counts, positions, stack)
    refine(codes, positions, stack, top, smallest, deepest, tallies[0], tallies[1], tallies[2], sizes, ids)


@njit(cache=True, nogil=True)
def _general_types(codes, count, ns, room, types_D2):
    """What `count_types` does, for any n and any text."""
    tallies, no_sizes, no_ids = room[6], room[7], room[8]
    _find_groups(codes, count, ns.min(), ns.max(), room, no_sizes, no_ids)
    for j, n in enumerate(ns):
        types_D2[j, 0] = tallies[0, n]
        types_D2[j, 1] = max(count - n + 1, 0) - tallies[1, n] + tallies[0, n]


@njit(cache=True, nogil=True)
def _frequent_occurrences(codes, count, room):
    """What `frequent_occurrences_naive` counts."""
    n, tallies, no_ids = np.int64(HOJICHAR_N), room[6], room[8]  # int64: numba compiles again for a literal
    sizes = np.zeros(count + 1, np.int32)
    _find_groups(codes, count, n, n, room, sizes, no_ids)
    repeated = tallies[0, n]
    types = max(count - n + 1, 0) - tallies[1, n] + repeated
    left = min(int(np.sqrt(types)), repeated)
    occurrences = 0
    size = tallies[2, n]
    while left > 0:
        taken = min(left, sizes[size])
        occurrences += taken * size
        left -= taken
        size -= 1
    return occurrences


@njit(cache=True, nogil=True)
def _covered_chars(codes, count, ns, room, covered_C):
    """Set covered_C to what `covered_chars_naive` counts for each of ns."""
    ids = np.zeros((ns.max() + 1, count), np.int32)
    noted = np.empty(count + 1, np.uint8)
    _find_groups(codes, count, ns.min(), ns.max(), room, room[7], ids)
    for j, n in enumerate(ns):
        noted[:] = 0
        i = 0
        while i + n <= count:
            group = ids[n, i]
            if group and noted[group]:
                covered_C[j] += n
                i += n
            else:
                noted[group] = group > 0
                i += 1


@njit(cache=True, nogil=True)
def _measure(offsets, data, limits, top_ns, type_ns, cover_ns, frequent, counted):
    """All documents. limits: (characters of the longest text counted in one piece, slots of the others' tables)."""
    chars_N, top_NT, types_ND2, covered_NC, frequent_N = counted  # types_ND2 holds (repeated, distinct)
    most = 0
    for d in range(len(chars_N)):
        most = max(most, offsets[d + 1] - offsets[d])
    codes = np.empty(most + MAX_N + 1, np.uint32)
    long, slots = limits
    if len(cover_ns):  # what is covered depends on the order of the text: no share can be counted alone
        long = most
    most = min(most, long)
    packable = len(type_ns) > 0 and type_ns.max() <= DEEPEST
    packed = most if packable else 0
    hashes = np.empty(most, np.uint32)
    candidates, positions = np.empty(most + 1, np.int32), np.empty(most + 1, np.int32)
    counts, seen = np.empty(1 << bits_for(most), np.int32), np.empty(1 << bits_for(4 * most), np.uint8)
    stack, tallies = np.empty((most // 2 + 4, 3), np.int32), np.zeros((3, MAX_N + 2), np.int64)
    no_sizes, no_ids = np.empty(0, np.int32), np.empty((0, 0), np.int32)
    room = hashes, candidates, positions, counts, seen, stack, tallies, no_sizes, no_ids
    number_of, alphabet = np.zeros(CODE_POINTS, np.uint16), np.empty(packed, np.uint32)
    words = np.empty(packed + DEEPEST, np.uint64)
    one, two = np.empty(packed, np.uint64), np.empty(packed, np.uint64)
    before, behind = np.empty(packed, np.uint64), np.empty(packed, np.uint64)
    types_room = hashes, candidates, counts, seen, stack, one, two, before, behind
    for d in range(len(chars_N)):
        count = decode(data, offsets[d], offsets[d + 1], codes)
        chars_N[d] = count
        for k in range(MAX_N + 1):
            codes[count + k] = np.uint32(0x80000000 + k)
        if count > long:
            n = np.int64(HOJICHAR_N if frequent else 0)
            frequent_N[d] = count_long(codes, count, top_ns, type_ns, n, slots, top_NT[d], types_ND2[d])
            continue
        for j, n in enumerate(top_ns):
            top_NT[d, j] = _top_count(codes, count, n, room)
        if packable and pack(codes, count, number_of, alphabet, words):
            count_types(words, count, type_ns, types_room, types_ND2[d])
        elif len(type_ns):
            _general_types(codes, count, type_ns, room, types_ND2[d])
        if frequent:
            frequent_N[d] = _frequent_occurrences(codes, count, room)
        if len(cover_ns):
            _covered_chars(codes, count, cover_ns, room, covered_NC[d])


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

    A text shorter than n has zeros; a null counts as an empty text. Raises ValueError for other n. Memory: 4 bytes
    a byte of the longest text at most, and up to 300 MB; with ``cover``, 60 bytes and more a character.
    """
    wrong = [n for n in (*top, *types, *cover) if not 1 <= n <= MAX_N]
    if wrong:
        raise ValueError(f"n-grams have 1 to {MAX_N} characters, not {wrong[0]}")
    offsets, data = text_buffers(array)
    size = len(array)
    chars_N, frequent_N = np.zeros(size, np.int64), np.zeros(size, np.int64)
    top_NT, covered_NC = np.zeros((size, len(top)), np.int64), np.zeros((size, len(cover)), np.int64)
    types_ND2 = np.zeros((size, len(types), 2), np.int64)
    top_ns, type_ns, cover_ns = np.array(top, np.int64), np.array(types, np.int64), np.array(cover, np.int64)
    counts = chars_N, top_NT, types_ND2, covered_NC, frequent_N
    limits = ngram_passes.LONG, ngram_passes.SLOTS
    _measure(offsets, data, limits, top_ns, type_ns, cover_ns, bool(frequent), counts)
    return Repetition(chars_N, top_NT, types_ND2[..., 0], types_ND2[..., 1], covered_NC, frequent_N)
