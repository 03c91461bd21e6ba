"""Up to 15 bytes as two 64-bit numbers: the key under which a short part of a text is remembered."""

import numpy as np
from numba import njit

from tokenizer_lab.kernels.pointers import eight_bytes

LONGEST = 15
_1, _3, _7, _8, _56, _64 = np.array([1, 3, 7, 8, 56, 64], np.uint64)


def key_naive(part: bytes) -> tuple[int, int]:
    """(bytes 0-7, bytes 8-14 with the length above), little-endian."""
    padded = part.ljust(LONGEST, b"\0") + bytes([len(part)])
    return int.from_bytes(padded[:8], "little"), int.from_bytes(padded[8:], "little")


@njit(cache=True, nogil=True, forceinline=True)
def key(data, start, stop, size):
    """``key_naive`` of data[start:stop], 1 to 15 bytes. data: pointer to ``size`` bytes."""
    n = np.uint64(stop - start)
    low = high = np.uint64(0)
    if start + 16 <= size:
        low = eight_bytes(data, start)
        if n > _8:
            unused = (np.uint64(16) - n) << _3
            high = (eight_bytes(data, start + 8) << unused) >> unused
        elif n < _8:
            unused = (_8 - n) << _3
            low = (low << unused) >> unused
    else:
        for i in range(n):
            byte = np.uint64(data[start + i])
            if i < 8:
                low |= byte << np.uint64(8 * i)
            else:
                high |= byte << np.uint64(8 * (i - 8))
    return low, high | (n << _56)
