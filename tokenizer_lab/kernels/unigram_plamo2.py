"""Unigram as PLaMo-2 reads it: whole numbers, from the end of the text to its beginning.

At each character the candidates are all pieces that start there, and the character alone as unknown, which costs
10,000,000. The cheapest way to the end wins; of equally cheap ones the longest piece, and any piece before the unknown.
An unknown character leaves as the tokens of its bytes. Whole numbers do not drift: a text of any length is
exact. Source: PLaMo-2's published ``tokenization_plamo.py`` and ggml-org/llama.cpp#14560.

The fast path keeps code, byte size, cost and choice of each character of one document, and walks the trie forward from
each character, the last one first: 16 bytes a character of the longest document.

Legend: N documents, S bytes of UTF-8, T tokens.
"""

from dataclasses import dataclass

import numba as nb
import numpy as np
import pyarrow as pa

from jacorpus.kernels.buffers import text_buffers
from tokenizer_lab.kernels.trie import Trie, build_trie

UNKNOWN_COST = 10_000_000


def unigram_plamo2_naive(
    array: pa.Array, pieces: dict[str, tuple[int, int]], byte_ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``unigram_plamo2`` over pieces -> (id, cost), a character and a candidate at a time."""
    offsets: list[int] = [0]
    ids: list[int] = []
    sizes: list[int] = []
    longest = max(map(len, pieces), default=0)
    for text in array.to_pylist():
        text = text or ""
        cost, taken = [0] * (len(text) + 1), [0] * len(text)
        for i in range(len(text) - 1, -1, -1):
            cost[i] = 1 << 60
            for length in range(min(longest, len(text) - i), 0, -1):
                piece = text[i : i + length]
                if piece in pieces and pieces[piece][1] + cost[i + length] < cost[i]:
                    cost[i], taken[i] = pieces[piece][1] + cost[i + length], length
            if UNKNOWN_COST + cost[i + 1] < cost[i]:
                cost[i], taken[i] = UNKNOWN_COST + cost[i + 1], 0
        i = 0
        while i < len(text):
            piece = text[i : i + max(taken[i], 1)]
            encoded = piece.encode()
            ids += [pieces[piece][0]] if taken[i] else byte_ids[list(encoded)].tolist()
            sizes += [len(encoded)] if taken[i] else [1] * len(encoded)
            i += len(piece)
        offsets.append(len(ids))
    return np.array(offsets, np.int64), np.array(ids, np.uint32), np.array(sizes, np.int32)


@dataclass(frozen=True)
class Plamo2Table:
    """Pieces made ready for the fast path. byte_ids: uint32 [256]."""

    trie: Trie
    byte_ids: np.ndarray


def plamo2_table(pieces: dict[str, tuple[int, int]], byte_ids: np.ndarray) -> Plamo2Table:
    """Table over pieces -> (id, cost); costs in 32 bits."""
    ids = np.array([id for id, _ in pieces.values()], np.int32)
    costs = np.array([cost for _, cost in pieces.values()], np.int32)
    return Plamo2Table(build_trie(list(pieces), ids, costs), byte_ids.astype(np.uint32))


@nb.njit(cache=True, nogil=True)
def _characters(data, start, stop, codes, code, size):
    """Fills the trie's code and the bytes of each character of [start, stop); returns their number."""
    n = 0
    i = start
    while i < stop:
        lead = np.int64(data[i])
        point, width = lead, 1
        if lead >= 0xF0:
            point, width = (lead & 7) << 6 | (np.int64(data[i + 1]) & 63), 4
            point = (point << 6 | (np.int64(data[i + 2]) & 63)) << 6 | (np.int64(data[i + 3]) & 63)
        elif lead >= 0xE0:
            point, width = ((lead & 15) << 6 | (np.int64(data[i + 1]) & 63)) << 6 | (np.int64(data[i + 2]) & 63), 3
        elif lead >= 0xC0:
            point, width = (lead & 31) << 6 | (np.int64(data[i + 1]) & 63), 2
        code[n], size[n] = codes[point], width
        n += 1
        i += width
    return n


@nb.njit(cache=True, nogil=True)
def _choose(slots, code, n, cost, taken, chosen):
    """From the last character to the first: length and id of the piece taken there, length 0 for the unknown."""
    cost[n] = 0
    for i in range(n - 1, -1, -1):
        best, length, id = cost[i + 1] + 10_000_000, 0, 0
        node = np.int64(0)
        j = i
        while j < n:
            child = np.int64(slots[4 * node]) ^ np.int64(code[j])
            if code[j] == 0 or slots[4 * child + 1] != node or (node != 0 and slots[4 * node] == 0):
                break
            node = child
            j += 1
            if slots[4 * node + 2] >= 0:
                here = cost[j] + slots[4 * node + 3]
                if here <= best:  # of equal ones the longer, and any piece before the unknown
                    best, length, id = here, j - i, slots[4 * node + 2]
        cost[i], taken[i], chosen[i] = best, length, id


@nb.njit(cache=True, nogil=True)
def _unigram_plamo2(offsets, data, codes, slots, byte_ids, ids, sizes):
    found = np.zeros(len(offsets), np.int64)
    longest = 0
    for d in range(len(offsets) - 1):
        longest = max(longest, offsets[d + 1] - offsets[d])
    code, size = np.empty(longest, np.uint16), np.empty(longest, np.uint8)
    cost, taken = np.empty(longest + 1, np.int64), np.empty(longest, np.int32)
    chosen = np.empty(longest, np.int32)
    t = 0
    for d in range(len(offsets) - 1):
        n = _characters(data, offsets[d], offsets[d + 1], codes, code, size)
        _choose(slots, code, n, cost, taken, chosen)
        at = offsets[d]
        i = 0
        while i < n:
            if taken[i] == 0:
                for k in range(size[i]):
                    ids[t], sizes[t] = byte_ids[data[at + k]], 1
                    t += 1
                at += size[i]
                i += 1
                continue
            width = np.int64(0)
            for k in range(i, i + taken[i]):
                width += size[k]
            ids[t], sizes[t] = chosen[i], width
            t += 1
            at += width
            i += taken[i]
        found[d + 1] = t
    return found


def unigram_plamo2(array: pa.Array, table: Plamo2Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(offsets int64 [N+1], ids uint32 [T], bytes of each token int32 [T]) of a string array."""
    offsets, data = text_buffers(array)
    room = int(offsets[-1] - offsets[0])
    ids, sizes = np.empty(room, np.uint32), np.empty(room, np.int32)
    found = _unigram_plamo2(offsets, data, table.trie.codes, table.trie.slots, table.byte_ids, ids, sizes)
    return found, ids[: found[-1]].copy(), sizes[: found[-1]].copy()
