"""Texts as ids of characters; a character outside the table becomes one id a byte.

Ids 0-255 are the bytes; ``table`` gives the id of each code point, -1 where it has none.

Legend: N documents, S bytes of UTF-8, T tokens, C code points in the table.
"""

import numba as nb
import numpy as np
import pyarrow as pa

from jacorpus.kernels.buffers import text_buffers


def character_ids_naive(array: pa.Array, table: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``character_ids``, character by character."""
    offsets, ids, sizes = [0], [], []
    for text in array.to_pylist():
        for character in text or "":
            encoded = character.encode()
            id = int(table[ord(character)]) if ord(character) < len(table) else -1
            ids += [id] if id >= 0 else list(encoded)
            sizes += [len(encoded)] if id >= 0 else [1] * len(encoded)
        offsets.append(len(ids))
    return np.array(offsets, np.int64), np.array(ids, np.uint32), np.array(sizes, np.int32)


@nb.njit(cache=True, nogil=True)
def _character_ids(offsets, data, table, ids, sizes):
    found = np.zeros(len(offsets), np.int64)
    n = 0
    for d in range(len(offsets) - 1):
        i = offsets[d]
        while i < offsets[d + 1]:
            lead = np.int64(data[i])
            code, size = lead, np.int64(1)
            if lead >= 0xF0:
                code, size = (lead & 7) << 6 | (np.int64(data[i + 1]) & 63), np.int64(4)
                code = (code << 6 | (np.int64(data[i + 2]) & 63)) << 6 | (np.int64(data[i + 3]) & 63)
            elif lead >= 0xE0:
                code = ((lead & 15) << 6 | (np.int64(data[i + 1]) & 63)) << 6 | (np.int64(data[i + 2]) & 63)
                size = np.int64(3)
            elif lead >= 0xC0:
                code, size = (lead & 31) << 6 | (np.int64(data[i + 1]) & 63), np.int64(2)
            id = np.int64(table[code]) if code < len(table) else np.int64(-1)
            if id >= 0:
                ids[n], sizes[n] = id, size
                n += 1
            else:
                for k in range(size):
                    ids[n], sizes[n] = data[i + k], 1
                    n += 1
            i += size
        found[d + 1] = n
    return found


def character_ids(array: pa.Array, table: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(offsets int64 [N+1], ids uint32 [T], bytes of each token int32 [T]) of a string array.

    table: int32 [C], id of each code point or -1; code points from C on have none.
    """
    offsets, data = text_buffers(array)
    room = int(offsets[-1] - offsets[0])
    ids, sizes = np.empty(room, np.uint32), np.empty(room, np.int32)
    found = _character_ids(offsets, data, table, ids, sizes)
    return found, ids[: found[-1]].copy(), sizes[: found[-1]].copy()
