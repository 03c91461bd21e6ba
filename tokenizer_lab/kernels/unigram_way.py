"""Steps of the Unigram kernel: codes of the characters, the best way through them, its tokens.

A way is kept in two arrays. ``choose`` fills, for each end, where its last piece starts (``back``) and the trie slot
of that piece (``taken``; 0, the root, for an unknown character); ``turned`` turns that round: at the start of each
piece, its end and its slot. ``write`` puts the tokens down.

Slots are those of a trie with one change, ``ready``: the weight is minus infinity where no piece ends, so that no
step asks whether one does. Positions are uint64: signed ones cost numba a test for negative numbers each.
All arrays are bare pointers (tokenizer_lab.kernels.pointers).
"""

import numpy as np
from numba import njit

from tokenizer_lab.kernels.trie import WORDS
from tokenizer_lab.kernels.unigram_memory import bit_of

RESET = 100_000.0
_F = np.float32
_1, _2, _3 = np.uint64(1), np.uint64(2), np.uint64(3)


def ready(slots: np.ndarray) -> np.ndarray:
    """Slots int32 [4 M] of a trie with float32 weights, made ready for ``choose``."""
    made = slots.copy()
    made.view(np.float32)[3::WORDS][made[2::WORDS] < 0] = -np.inf
    return made


@njit(cache=True, nogil=True, forceinline=True)
def dense(data, start, stop):
    """Whether bytes [start, stop) have at least 2.5 bytes a character."""
    inside = np.int64(0)
    for i in range(start, stop):
        inside += np.int64(data[i] & 0xC0 == 0x80)
    return 5 * inside >= 3 * np.int64(stop - start)


@njit(cache=True, nogil=True, forceinline=True)
def characters(data, start, stop, codes, prefix, code, place, joining, pairs, joined):
    """Fills the code of each character of bytes [start, stop) and where it begins, behind the prefix where that is
    not 0, and, if ``joining``, whether it may stand in a piece with the one before; returns their number. The place
    behind the last has code 0 and is not joined."""
    n, i, last = np.uint64(0), start, np.uint64(prefix)
    if prefix:
        code[n], place[n] = prefix, 0
        n += _1
    while i < stop:
        place[n] = i - start
        lead = np.uint64(data[i])
        if lead < 0x80:
            c = np.uint64(codes[lead])
            i += _1
        else:
            low = np.uint64(data[i + _1]) & np.uint64(63)
            if lead < 0xE0:
                c = np.uint64(codes[(lead & np.uint64(31)) << np.uint64(6) | low])
                i += _2
            else:
                low = low << np.uint64(6) | np.uint64(data[i + _2]) & np.uint64(63)
                if lead < 0xF0:
                    c = np.uint64(codes[(lead & np.uint64(15)) << np.uint64(12) | low])
                    i += _3
                else:
                    low = low << np.uint64(6) | np.uint64(data[i + _3]) & np.uint64(63)
                    c = np.uint64(codes[(lead & np.uint64(7)) << np.uint64(18) | low])
                    i += np.uint64(4)
        code[n] = c
        if joining:
            bit = bit_of(last, c)
            joined[n] = (pairs[bit >> _3] >> (bit & np.uint64(7))) & np.uint64(c != 0)
            last = c
        n += _1
    code[n], place[n], joined[n] = 0, stop - start, 0
    return n


@njit(cache=True, nogil=True, forceinline=True)
def choose(slots, weights, code, start, n, longest, unknown_score, best, back, taken):
    """Fills back and taken for each end start + 1 to n, from the sum best[start]. No piece may go over n."""
    for i in range(start + _1, n + _1):
        best[i] = -np.inf
    reset, none = _F(RESET), _F(-np.inf)
    for i in range(start, n):
        here = best[i]
        if here < -reset or here > reset:
            for k in range(i, min(n, i + longest) + _1):
                best[k] -= here
            here = _F(0)
        node, j = np.uint64(0), np.uint64(i)
        child = np.uint64(code[j])
        alone = none
        while np.uint64(slots[child << _2 | _1]) == node:  # a leaf needs no test: no slot there names it
            node = child
            score = weights[node << _2 | _3]
            if j == i:
                alone = score
            j += _1
            if here + score > best[j]:
                best[j], back[j], taken[j] = here + score, i, node
            child = np.uint64(slots[node << _2]) ^ np.uint64(code[j])
        j = np.uint64(i) + _1
        if alone == none and here + unknown_score > best[j]:
            best[j], back[j], taken[j] = here + unknown_score, i, 0


@njit(cache=True, nogil=True, forceinline=True)
def turned(start, n, back, taken):
    """Turns the way from ``start`` that ends at n round: at the start of each piece, its end and slot."""
    j = n
    i, slot = np.uint64(back[j]), taken[j]
    while j > start:
        before, slot_before = np.uint64(back[i]), taken[i]
        back[i], taken[i] = j, slot
        j, i, slot = i, before, slot_before


@njit(cache=True, nogil=True, forceinline=True)
def put(ids, sizes, sized, t, id, size):
    """Writes one token; returns where the next one goes."""
    ids[t] = id
    if sized:
        sizes[t] = size
    return t + _1


@njit(cache=True, nogil=True, forceinline=True)
def put_unknown(data, at, stop, byte_ids, in_bytes, unknown_id, fused, ids, sizes, sized, t):
    """Writes an unknown character, bytes [at, stop); returns where the next token goes."""
    if in_bytes:
        for k in range(at, stop):
            t = put(ids, sizes, sized, t, byte_ids[data[k]], 1)
    elif not fused:
        t = put(ids, sizes, sized, t, unknown_id, stop - at)
    elif sized:
        sizes[t - _1] += stop - at
    return t


@njit(cache=True, nogil=True, forceinline=True)
def write(data, begin, i, n, place, back, taken, slots, byte_ids, in_bytes, unknown_id, fused, ids, sizes, sized, t):
    """Writes the tokens of a turned way from character i to n of the document at byte ``begin``; returns where the
    next one goes, and whether the last was unknown."""
    while i < n:
        end, slot = np.uint64(back[i]), np.uint64(taken[i])
        if slot:
            size = np.int64(place[end]) - np.int64(place[i])
            t = put(ids, sizes, sized, t, slots[slot << _2 | _2], size)
        else:
            at, stop = begin + np.uint64(place[i]), begin + np.uint64(place[end])
            t = put_unknown(data, at, stop, byte_ids, in_bytes, unknown_id, fused, ids, sizes, sized, t)
        fused = slot == 0
        i = end
    return t, fused
