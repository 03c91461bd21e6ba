"""Cut texts into the pieces (pre-tokens) inside which byte-level BPE merges.

A pattern is a name of PATTERNS or any regular expression. Pieces are the matches from left to right; text that no
match covers is a piece of its own, as Hugging Face's ``Split`` with behavior ``isolated`` has it (tiktoken would drop
it; the named patterns leave none).

Legend: N documents, P pieces in all, S bytes of UTF-8.
"""

import numpy as np
import pyarrow as pa
from numba import njit

from jacorpus.kernels.buffers import text_buffers
from tokenizer_lab.kernels.character_classes import python_stand_ins
from tokenizer_lab.kernels.patterns import PATTERNS, compiled, pattern_name
from tokenizer_lab.kernels.pointers import pointer
from tokenizer_lab.kernels.scanner import character_bits, piece_end, scanner_of

__all__ = ["PATTERNS", "split", "split_naive"]


def split_naive(texts: pa.Array, pattern: str) -> tuple[np.ndarray, np.ndarray]:
    """``split`` by Python's ``regex``, with the letters of our Unicode version."""
    expression = compiled(pattern)
    starts, _ = text_buffers(texts)
    counts, pieces = [0], [np.zeros(0, np.int64)]
    shown = python_stand_ins()
    for text, start in zip(texts.to_pylist(), starts[:-1].tolist(), strict=True):
        points = np.frombuffer((text or "").encode("utf-32-le"), np.uint32)
        places = np.zeros(len(points) + 1, np.int64)
        np.cumsum(1 + (points > 0x7F).astype(np.int64) + (points > 0x7FF) + (points > 0xFFFF), out=places[1:])
        spans = [match.span() for match in expression.finditer(shown[points].tobytes().decode("utf-32-le"))]
        edges = np.array([span for span in spans if span[0] < span[1]], np.int64).ravel()
        ends = np.unique(np.append(edges, len(points)))
        pieces.append(start + places[ends[ends > 0]])
        counts.append(len(pieces[-1]))
    return np.cumsum(counts, dtype=np.int64), np.concatenate(pieces)


@njit(cache=True, nogil=True)
def _ends(offsets, data, bits, family, most):
    first, found = np.zeros(len(offsets), np.int64), 0
    text, points = pointer(data), pointer(bits)
    ends = np.empty(1024 + (offsets[-1] - offsets[0]) // 4, np.int64)
    for d in range(len(offsets) - 1):
        at, stop = offsets[d], offsets[d + 1]
        while at < stop:
            at = piece_end(text, at, stop, points, family, most)
            if found == len(ends):
                ends = np.concatenate((ends, np.empty(len(ends), np.int64)))
            ends[found] = at
            found += 1
        first[d + 1] = found
    return first, ends[:found]


def split(texts: pa.Array, pattern: str) -> tuple[np.ndarray, np.ndarray]:
    """(offsets int64 [N+1], ends int64 [P]): the pieces of document d are ``ends[offsets[d]:offsets[d + 1]]``.

    An end is a byte place in the data of ``text_buffers(texts)``: the first piece of document d begins at its text
    offset d, every other one where the one before ends. Pieces are never empty and cover the text.
    Raises InputError for a pattern that is neither a name nor a regular expression.
    """
    name = pattern_name(pattern)
    if name is None:
        return split_naive(texts, pattern)
    offsets, data = text_buffers(texts)
    first, ends = _ends(offsets, data, character_bits(), *scanner_of(name))
    return first, ends
