"""Whether texts are sound UTF-8, at memory speed for Japanese.

Sound is what Unicode's table 3-7 allows: no overlong form, no half of a surrogate pair, nothing cut off.

Legend: N texts, S bytes in all, i a place in them.
"""

from itertools import pairwise

import numpy as np
from numba import njit

from jacorpus.kernels.vectors import READ, eight_unsound, trailing_zeros

_0, _1, _2, _3, _4, _8, _24, _READ = np.array([0, 1, 2, 3, 4, 8, 24, READ], np.uint64)


def sound_utf8_naive(offsets: list[int], data: bytes) -> bool:
    """Whether each of the texts data[offsets[n]:offsets[n + 1]] decodes."""
    try:
        for start, stop in pairwise(offsets):
            data[start:stop].decode()
    except UnicodeDecodeError:
        return False
    return True


@njit(cache=True, nogil=True)
def _tail(data, i, stop, count):
    """Whether count continuation bytes stand from i on."""
    if i + count > stop:
        return False
    sound = True
    for j in range(np.int64(count)):
        sound &= (data[i + np.uint64(j)] & 0xC0) == 0x80
    return sound


@njit(cache=True, nogil=True)
def _one(data, i, stop):
    """Bytes of the character at i; 0 where it is not sound."""
    lead = data[i]
    if lead < 0x80:
        return _1
    if lead < 0xC2 or lead > 0xF4:
        return _0
    if lead < 0xE0:
        return _2 if _tail(data, i + _1, stop, _1) else _0
    count = _2 if lead < 0xF0 else _3
    if not _tail(data, i + _1, stop, count):
        return _0
    second = data[i + _1]
    overlong = (lead == 0xE0 and second < 0xA0) or (lead == 0xF0 and second < 0x90)
    beyond = (lead == 0xED and second > 0x9F) or (lead == 0xF4 and second > 0x8F)
    return _0 if overlong or beyond else count + _1


@njit(cache=True, nogil=True)
def _sound(offsets, data):
    i, stop = np.uint64(offsets[0]), np.uint64(offsets[-1])
    while i < stop:
        if (data[i] & 0xF0) == 0xE0:
            while i + _READ <= stop:
                bits = eight_unsound(data, i)
                if bits != _0:
                    i += _3 * trailing_zeros(bits)
                    break
                i += _24
        if i < stop:
            size = _one(data, i, stop)
            if size == _0:
                return False
            i += size
        while i + _8 <= stop:
            high = np.uint8(0)
            for j in range(8):
                high |= data[i + np.uint64(j)]
            if high >= 0x80:
                break
            i += _8
    inside = 0  # sound together, so each is where none begins inside a character
    for n in range(len(offsets)):
        inside += offsets[n] < offsets[-1] and (data[offsets[n]] & 0xC0) == 0x80
    return inside == 0


def sound_utf8(offsets: np.ndarray, data: np.ndarray) -> bool:
    """Whether each text data[offsets[n]:offsets[n + 1]] is sound. offsets: int64 [N + 1]. data: uint8 [S]."""
    return bool(_sound(offsets, data))
