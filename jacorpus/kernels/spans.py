"""Replaces spans of bytes in texts, leaving every other byte as it is.

Legend: N documents, K spans, R replacements.
"""

from itertools import pairwise

import numpy as np
import pyarrow as pa
from numba import njit

from jacorpus.kernels.buffers import text_array, text_buffers


def replace_spans_naive(
    texts: list[str | None], spans: list[tuple[int, int, int, int]], replacements: list[str]
) -> list[str]:
    """Each (document, first byte, end byte, replacement number) in spans, sorted and apart, replaced."""
    out = [(text or "").encode() for text in texts]
    for document, start, end, which in reversed(spans):
        out[document] = out[document][:start] + replacements[which].encode() + out[document][end:]
    return [text.decode() for text in out]


@njit(cache=True, nogil=True)
def _copy(data, start, stop, out, at):  # type: ignore[no-untyped-def]
    out[at : at + stop - start] = data[start:stop]
    return at + stop - start


@njit(cache=True, nogil=True)
def _splice(offsets, data, spans, piece_offsets, pieces, out_offsets, out):  # type: ignore[no-untyped-def]
    at, k = np.int64(0), 0
    for document in range(offsets.size - 1):
        out_offsets[document] = at
        base, i = offsets[document], offsets[document]
        while k < spans.shape[0] and spans[k, 0] == document:
            at = _copy(data, i, base + spans[k, 1], out, at)
            which = spans[k, 3]
            at = _copy(pieces, piece_offsets[which], piece_offsets[which + 1], out, at)
            i = base + spans[k, 2]
            k += 1
        at = _copy(data, i, offsets[document + 1], out, at)
    out_offsets[offsets.size - 1] = at


def replace_spans(texts: pa.Array, spans: np.ndarray, replacements: list[str]) -> pa.Array:
    """large_string array of texts with spans replaced; a null becomes an empty text.

    spans: int64 [K, 4] of document, first byte and end byte within the document (on character borders), number
    of the replacement; sorted and apart. Raises ValueError where spans overlap or leave their document.
    """
    offsets, data = text_buffers(texts)
    if len(spans):
        document, start, end = spans[:, 0], spans[:, 1], spans[:, 2]
        same = document[1:] == document[:-1]
        ordered = (document[1:] > document[:-1]) | (same & (start[1:] >= end[:-1]))
        if not ordered.all() or (start > end).any() or (end > np.diff(offsets)[document]).any():
            raise ValueError("spans overlap, are out of order or leave their document")
    pieces = [piece.encode() for piece in replacements]
    piece_offsets = np.cumsum([0, *map(len, pieces)]).astype(np.int64)
    sizes = np.array([b - a for a, b in pairwise(piece_offsets)], np.int64)
    size = offsets[-1] - offsets[0]
    if len(spans):
        size += (sizes[spans[:, 3]] - (spans[:, 2] - spans[:, 1])).sum()
    out = np.empty(size, np.uint8)
    out_offsets = np.empty(len(offsets), np.int64)
    _splice(offsets, data, spans, piece_offsets, np.frombuffer(b"".join(pieces) or b"\0", np.uint8), out_offsets, out)
    return text_array(out_offsets, out)
