"""What a Unigram kernel keeps of stretches it has solved: the tokens, and up to which running sum they hold.

A stretch is a run of up to 12 characters that no cut is forced in. Its best way does not depend on what stands before
it, but for rounding: sums are float32, and a stretch deep in a document starts at a large one. So its way is found in
float64, with the margin by which each piece on it beats the next best one that ends at the same place. A sum of n
float32 numbers, none over M, is off by at most n M / 2^24. As long as twice that is under the margin, float32 chooses
the same way; where it is not (a tie never is), the stretch is solved in float32 from the sum that is there.

An entry is 64 bytes: 24 of key (the codes of the characters), the limit of the running sum as float32, the shape (3
bits of number of tokens, then 4 bits of characters each), 4 ids, 4 scores. One place a key: a newer stretch takes it.

``pairs`` is a table of bits: whether two characters stand side by side in some piece. It is asked by a hash, so a few
pairs that do not are taken for some that do; they only make stretches longer.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit

from tokenizer_lab.kernels.pointers import eight_bytes

MOST = 12  # characters of a stretch that is kept
TOKENS = 4  # and its tokens
SLACK = 2 * TOKENS  # ids that may be written beyond the last one
_ENTRIES_LOG2 = 16
_PAIRS_LOG2 = 19
_WORDS = 8  # uint64 of an entry
_ROUNDING = 2.0 * (MOST + 2) / 2**24
_NEVER = np.float32(-1)


def memory() -> np.ndarray:
    """uint64 [8 x entries]: knows nothing. No key is zero."""
    return np.zeros(_WORDS << _ENTRIES_LOG2, np.uint64)


def pairs_inside(pieces: Sequence[str], codes: np.ndarray) -> np.ndarray:
    """uint8: the bits of all pairs of characters that stand side by side in a piece. codes: as in a trie."""
    points = np.frombuffer("".join(pieces).encode("utf-32-le"), np.uint32)
    ends = np.cumsum(np.fromiter(map(len, pieces), np.int64, len(pieces)))
    coded = codes[points].astype(np.uint64)
    inside = np.ones(max(0, len(coded) - 1), bool)
    inside[ends[:-1] - 1] = False
    with np.errstate(over="ignore"):
        both = (coded[:-1] << np.uint64(16) | coded[1:])[inside] * np.uint64(0x9E3779B97F4A7C15)
    table = np.zeros(1 << _PAIRS_LOG2, bool)
    table[both >> np.uint64(64 - _PAIRS_LOG2)] = True
    return np.packbits(table, bitorder="little")


@njit(cache=True, nogil=True, forceinline=True)
def bit_of(left, right):
    """Number of the bit of two codes."""
    both = np.uint64(left) << np.uint64(16) | np.uint64(right)
    return (both * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - _PAIRS_LOG2)


@njit(cache=True, nogil=True, forceinline=True)
def _key(code8, start, size):
    """The codes of a stretch as three numbers, zeros behind the last."""
    at = np.int64(2 * start)
    one, two, three = eight_bytes(code8, at), np.uint64(0), np.uint64(0)
    rest = np.uint64(16 * (12 - size))
    if size < 4:
        one &= np.uint64(0xFFFFFFFFFFFFFFFF) >> (rest - np.uint64(128))
    elif size > 4:
        two = eight_bytes(code8, at + 8)
        if size < 8:
            two &= np.uint64(0xFFFFFFFFFFFFFFFF) >> (rest - np.uint64(64))
        elif size > 8:
            three = eight_bytes(code8, at + 16) & (np.uint64(0xFFFFFFFFFFFFFFFF) >> rest)
    return one, two, three


@njit(cache=True, nogil=True, forceinline=True)
def recall(code8, start, size, known):
    """The entry of a stretch, or -1 - the place where its entry belongs."""
    one, two, three = _key(code8, start, size)
    mixed = (
        one * np.uint64(0x9E3779B97F4A7C15)
        + two * np.uint64(0xC2B2AE3D27D4EB4F)
        + three * np.uint64(0x165667B19E3779F9)
    )
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    entry = np.int64(mixed >> np.uint64(64 - _ENTRIES_LOG2))
    at = _WORDS * entry
    if known[at] == one and known[at + 1] == two and known[at + 2] == three:
        return entry
    return -1 - entry


@njit(cache=True, nogil=True)
def remember(
    slots, weights, code8, code, start, size, unknown_score, slack, sums, back, taken, known, known32, known_f, entry
):
    """Solves a stretch in float64 and writes its entry; see above. slack: what its own sum may come to.

    sums: room for 2 x (MOST + 1) numbers; back, taken: from ``start`` on, room for the way.
    """
    best, second = 0, MOST + 1
    for j in range(size + 1):
        sums[best + j] = sums[second + j] = -np.inf
    sums[best] = 0.0
    for i in range(size):
        here, node, alone, j = sums[best + i], 0, False, i
        base = 0
        while j < size and (base != 0 or j == i):
            child = base ^ int(code[start + j])
            if slots[4 * child + 1] != node:
                break
            node = child
            j += 1
            id = slots[4 * node + 2]
            if id >= 0:
                alone = alone or j == i + 1
                score = here + np.float64(weights[4 * node + 3])
                if score > sums[best + j]:
                    sums[second + j] = sums[best + j]
                    sums[best + j], back[start + j], taken[start + j] = score, j - i, node
                elif score > sums[second + j]:
                    sums[second + j] = score
            base = int(slots[4 * node])
        score = here + np.float64(unknown_score)
        if not alone:
            if score > sums[best + i + 1]:
                sums[second + i + 1] = sums[best + i + 1]
                sums[best + i + 1], back[start + i + 1], taken[start + i + 1] = score, 1, 0
            elif score > sums[second + i + 1]:
                sums[second + i + 1] = score
    margin, count, whole, j = np.inf, 0, True, size
    while j > 0:
        margin = min(margin, sums[best + j] - sums[second + j])
        whole = whole and taken[start + j] != 0
        count += 1
        j -= back[start + j]
    at, first = _WORDS * entry, 2 * _WORDS * entry
    known[at], known[at + 1], known[at + 2] = _key(code8, start, size)
    for k in range(4, _WORDS):
        known[at + k] = 0
    if not whole or count > TOKENS:
        known_f[first + 6] = _NEVER
        return
    known_f[first + 6] = np.float32(min(margin / _ROUNDING - slack, 1e30))
    shape, j, k = np.uint32(0), size, count
    while j > 0:
        k -= 1
        node = int(taken[start + j])
        known32[first + 8 + k] = slots[4 * node + 2]
        known_f[first + 8 + TOKENS + k] = weights[4 * node + 3]
        shape |= np.uint32(back[start + j]) << np.uint32(4 + 4 * k)
        j -= back[start + j]
    known32[first + 7] = shape | np.uint32(count)
