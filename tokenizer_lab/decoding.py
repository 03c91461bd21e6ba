"""Token lists back to bytes (the bytes of each token, one behind the other), and to places in the text.

Legend: N documents, T tokens in all, V ids.
"""

import numpy as np
import pyarrow as pa

from jacorpus.errors import InputError
from jacorpus.kernels.buffers import text_buffers
from tokenizer_lab.tokenizer import Encoding, list_buffers, place_lists, token_lists


def byte_table(token_bytes: tuple[bytes, ...]) -> pa.LargeBinaryArray:
    """The column ``joined`` reads from; made once per tokenizer."""
    return pa.array(token_bytes, pa.large_binary())


def checked(ids: np.ndarray, size: int) -> np.ndarray:
    """The ids as they came. Raises InputError where one is not below ``size``."""
    if len(ids) and int(ids.max()) >= size:
        raise InputError(f"id {int(ids.max())} is beyond the vocabulary, whose ids end at {size - 1}")
    return ids


def joined(table: pa.LargeBinaryArray, tokens: pa.LargeListArray) -> pa.LargeBinaryArray:
    """large_binary [N]: the bytes of the tokens of each list. Raises InputError for an id >= V."""
    offsets, ids = list_buffers(tokens)
    parts = table.take(pa.array(checked(ids, len(table)), pa.uint32()))
    _, places, data = parts.buffers()
    if not len(parts):
        return pa.array([b""] * (len(offsets) - 1), pa.large_binary())
    starts = np.frombuffer(places, np.int64)[parts.offset : parts.offset + len(parts) + 1]
    ends = pa.py_buffer(np.ascontiguousarray(starts[offsets]))
    return pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, [None, ends, data])


def without_first_space(array: pa.LargeBinaryArray) -> pa.LargeBinaryArray:
    """large_binary [N]: each without one space at its beginning, where it has one."""
    offsets, data = text_buffers(array)
    first = offsets[:-1][np.diff(offsets) > 0]
    keep = np.ones(len(data), bool)
    keep[first[data[first] == ord(" ")]] = False
    kept = np.concatenate([[0], np.cumsum(keep)])[offsets]
    buffers = [None, pa.py_buffer(kept), pa.py_buffer(data[keep])]
    return pa.Array.from_buffers(pa.large_binary(), len(array), buffers)


def placed(offsets: np.ndarray, ids: np.ndarray, sizes: np.ndarray) -> Encoding:
    """Tokens that cover their texts one behind the other: offsets int64 [N+1], ids uint32 [T], bytes of each [T]."""
    places = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])
    first = np.repeat(places[offsets[:-1]], np.diff(offsets))
    starts, ends = place_lists(offsets, places[:-1] - first), place_lists(offsets, places[1:] - first)
    return Encoding(token_lists(offsets, ids), starts, ends)
