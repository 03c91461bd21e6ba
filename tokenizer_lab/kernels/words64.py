"""Up to 15 bytes as two 64-bit numbers: the key under which a short part of a text is remembered."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

LONGEST = 15
_1, _3, _7, _8, _56, _64 = np.array([1, 3, 7, 8, 56, 64], np.uint64)


def key_naive(part: bytes) -> tuple[int, int]:
    """(bytes 0-7, bytes 8-14 with the length above), little-endian."""
    padded = part.ljust(LONGEST, b"\0") + bytes([len(part)])
    return int.from_bytes(padded[:8], "little"), int.from_bytes(padded[8:], "little")


def _emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
    data, i = arguments
    start = context.make_array(signature.args[0])(context, builder, data).data
    place = builder.bitcast(builder.gep(start, [i]), ir.IntType(64).as_pointer())
    return builder.load(place, align=1)


def _eight_bytes(typing_context, data, i):
    return types.uint64(data, types.int64), _emit


eight_bytes: Any = intrinsic(_eight_bytes)
"""eight_bytes(data, i): data[i:i + 8], uint8, as a number, the first byte lowest; all eight have to be there."""


@njit(cache=True, nogil=True, forceinline=True)
def key(data, start, stop):
    """``key_naive`` of data[start:stop], 1 to 15 bytes."""
    n = np.uint64(stop - start)
    low = high = np.uint64(0)
    if start + 16 <= len(data):
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
