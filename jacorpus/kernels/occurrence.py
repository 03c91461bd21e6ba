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
def _first_occurrence(keys, slot_keys, slot_first, out):
    mask = np.uint64(len(slot_keys) - 1)
    step = np.uint64(1)
    multiplier = np.uint64(0x9E3779B97F4A7C15)
    for i in range(len(keys)):
        key = keys[i]
        slot = ((key * multiplier) >> np.uint64(20)) & mask
        while slot_first[slot] >= 0 and slot_keys[slot] != key:
            slot = (slot + step) & mask
        if slot_first[slot] < 0:
            slot_keys[slot] = key
            slot_first[slot] = i
        out[i] = slot_first[slot]


def first_occurrence(keys: np.ndarray) -> np.ndarray:
    """int64 [M]: index of the first key (uint64 [M]) equal to each. Takes 40 to 72 bytes a key while it works."""
    slots = 1 << max(2 * len(keys) - 1, 1).bit_length()
    out = np.empty(len(keys), np.int64)
    _first_occurrence(np.ascontiguousarray(keys), np.empty(slots, np.uint64), np.full(slots, -1, np.int64), out)
    return out
