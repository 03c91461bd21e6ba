"""Places between two characters that no token lies across: there BPE never merges, whatever stands around.

Between kanji that no token holds side by side a pre-token falls apart into short parts, and short parts repeat. So
Japanese, whose pre-tokens hardly ever do, can be looked up like English words. A place is closed to cuts where some
token holds both characters whole, or part of the left one or of the right one (byte-level tokens may begin or end
inside a character). Both kinds are bits of a hash, so a place may be closed for nothing, never open by mistake.

Legend: K tokens, B bytes of all tokens.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

MOST_BITS = 21
_BITS_A_PLACE = 64
_LEFT, _RIGHT = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_6, _8, _16, _63, _64 = np.array([6, 8, 16, 63, 64], np.uint64)
_1 = np.uint64(1)


class Closed(NamedTuple):
    """pairs, parts: uint64 [2**b / 64] each, bits of whole characters and of parts."""

    pairs: np.ndarray
    parts: np.ndarray


@njit(cache=True, nogil=True, forceinline=True)
def char_width(lead):
    """Bytes of the character with this first byte."""
    return 1 + (lead >= 0xC0) + (lead >= 0xE0) + (lead >= 0xF0)


@njit(cache=True, nogil=True, forceinline=True)
def packed(data, at, width):
    """The bytes of a character as a number, the first one lowest."""
    char = np.uint64(data[at])
    if width > 1:
        char |= np.uint64(data[at + 1]) << _8
    if width > 2:
        char |= np.uint64(data[at + 2]) << _16
    if width > 3:
        char |= np.uint64(data[at + 3]) << np.uint64(24)
    return char


@njit(cache=True, nogil=True, forceinline=True)
def _pair(left, right, bits):
    shift = _64 - np.uint64(bits)
    return ((left * _LEFT) ^ (right * _RIGHT)) >> shift


@njit(cache=True, nogil=True, forceinline=True)
def _part(last, right, bits):
    """Place of the bit of a left character's last byte and a right character's first two."""
    first_two = right & np.uint64(0xFFFF)
    return (((np.uint64(last) << _16) | first_two) * _LEFT) >> (_64 - np.uint64(bits))


@njit(cache=True, nogil=True, forceinline=True)
def is_closed(left, right, last, pairs, parts, bits):
    """Whether some token may lie across the place between two characters (``packed``). last: left's last byte."""
    at, part = _pair(left, right, bits), _part(last, right, bits)
    return ((pairs[at >> _6] >> (at & _63)) | (parts[part >> _6] >> (part & _63))) & _1


@njit(cache=True, nogil=True)
def _close(arena, starts, chosen, pairs, parts, bits):
    for k in range(len(starts) - 1):
        first, stop = starts[k], starts[k + 1]
        if not chosen[k]:
            continue
        for at in range(first + 1, stop):
            lead = arena[at]
            if lead & 0xC0 == 0x80:
                continue
            start = at - 1
            while start > first and arena[start] & 0xC0 == 0x80:
                start -= 1
            left_whole = char_width(arena[start]) == at - start and arena[start] & 0xC0 != 0x80
            width = char_width(lead)
            if left_whole and at + width <= stop:
                place = _pair(packed(arena, start, at - start), packed(arena, at, width), bits)
                pairs[place >> _6] |= _1 << (place & _63)
                continue
            if width == 1 or at + 1 < stop:
                place = _part(arena[at - 1], packed(arena, at, min(width, 2)), bits)
                parts[place >> _6] |= _1 << (place & _63)
                continue
            for second in range(0x80, 0xC0):
                place = _part(arena[at - 1], np.uint64(lead) | (np.uint64(second) << _8), bits)
                parts[place >> _6] |= _1 << (place & _63)


def closed_places(arena: np.ndarray, starts: np.ndarray, chosen: np.ndarray) -> Closed:
    """The bits of the chosen tokens. arena: uint8 [B], starts: int64 [K + 1], chosen: bool [K]."""
    bits = MOST_BITS
    while True:
        closed = Closed(np.zeros(1 << (bits - 6), np.uint64), np.zeros(1 << (bits - 6), np.uint64))
        _close(arena, starts, chosen, *closed, bits)
        most = max(int(np.bitwise_count(half).sum()) for half in closed)
        fewer = max(6, (most * _BITS_A_PLACE).bit_length())
        if fewer >= bits:
            return closed
        bits = fewer  # small enough for the cache nearest to the core
