"""Where each key of a list occurs first, without sorting the list.

Most band keys occur once. A hash table tells in one pass which do not, and who was there first.

Legend: M keys, T slots of the table (a power of two, at least twice M).
"""

import numpy as np
from numba import njit


def first_occurrence_naive(keys: list[int]) -> list[int]:
    """Index of the first equal key, for each key."""
    return [keys.index(key) for key in keys]


@njit(cache=True, nogil=True)
def _first_occurrence(keys, slots, out):
    mask = np.uint64(len(slots) - 1)
    step = np.uint64(1)
    multiplier = np.uint64(0x9E3779B97F4A7C15)
    for i in range(len(keys)):
        key = keys[i]
        slot = ((key * multiplier) >> np.uint64(20)) & mask
        first = slots[slot]
        while first >= 0 and keys[first] != key:
            slot = (slot + step) & mask
            first = slots[slot]
        if first < 0:
            slots[slot] = i
            first = np.int32(i)
        out[i] = first


def first_occurrence(keys: np.ndarray) -> np.ndarray:
    """int64 [M]: index of the first key (uint64 [M]) equal to each. M < 2^31; 16 to 24 bytes a key while it works."""
    if len(keys) >> 31:
        raise ValueError(f"{len(keys):,} keys at once; more partitions keep them under 2^31")
    slots = np.full(1 << max(2 * len(keys) - 1, 1).bit_length(), -1, np.int32)
    out = np.empty(len(keys), np.int64)
    _first_occurrence(np.ascontiguousarray(keys), slots, out)
    return out
