"""Arrow string arrays as the two numpy arrays that kernels read, and back.

Legend: N documents, S bytes of UTF-8 in all.
"""

import numpy as np
import pyarrow as pa


def text_buffers(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(offsets int64 [N+1], data uint8 [S]) of a string or binary array, without a copy for large types.

    Offsets index ``data``; a slice keeps its place in it, so ``offsets[0]`` may be over 0. A null counts as
    an empty text. Raises TypeError for other types.
    """
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        array = array.cast(pa.large_string() if pa.types.is_string(kind) else pa.large_binary())
    elif not (pa.types.is_large_string(kind) or pa.types.is_large_binary(kind)):
        raise TypeError(f"expected a string array, got {kind}")
    if array.null_count:
        array = array.fill_null("" if pa.types.is_large_string(array.type) else b"")
    count = len(array)
    _, offset_buffer, data_buffer = array.buffers()
    if count == 0 or offset_buffer is None:
        return np.zeros(1, np.int64), np.zeros(0, np.uint8)
    offsets = np.frombuffer(offset_buffer, np.int64)[array.offset : array.offset + count + 1]
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.zeros(0, np.uint8)
    return offsets, data


def text_array(offsets: np.ndarray, data: np.ndarray) -> pa.Array:
    """large_string array over offsets int64 [N+1] and UTF-8 data uint8 [S]; no copy, no check of the UTF-8."""
    buffers = [None, pa.py_buffer(np.ascontiguousarray(offsets, np.int64)), pa.py_buffer(np.ascontiguousarray(data))]
    return pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, buffers)
