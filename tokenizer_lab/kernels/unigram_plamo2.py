"""Unigram as PLaMo-2 reads it: whole numbers, from the end of the text to its beginning.

At each character the candidates are all pieces that start there, and the character alone as unknown, which costs
10,000,000. The cheapest way to the end wins; of equally cheap ones the longest piece, and any piece before the unknown.
An unknown character leaves as the tokens of its bytes. Whole numbers do not drift: a text of any length is
exact. Source: PLaMo-2's published ``tokenization_plamo.py`` and ggml-org/llama.cpp#14560.

The fast path keeps code, place, cost and choice of each character of one document, and walks the trie forward from
each character, the last one first: 26 bytes a character of the longest document.

Legend: N documents, S bytes of UTF-8, T tokens.
"""

from dataclasses import dataclass

import numba as nb
import numpy as np
import pyarrow as pa

from jacorpus.kernels.buffers import text_buffers
from tokenizer_lab.kernels.trie import build_trie

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
    """Pieces made ready for the fast path. codes: uint16 [0x110000] and slots: int32 [4 M] of a trie whose values are
    ids and weights costs. byte_ids: uint32 [256]."""

    codes: np.ndarray
    slots: np.ndarray
    byte_ids: np.ndarray


def plamo2_table(pieces: dict[str, tuple[int, int]], byte_ids: np.ndarray) -> Plamo2Table:
    """Table over pieces -> (id, cost); costs in 32 bits."""
    ids = np.array([id for id, _ in pieces.values()], np.int32)
    costs = np.array([cost for _, cost in pieces.values()], np.int32)
    trie = build_trie(list(pieces), ids, costs)
    slots = trie.slots.copy()
    slots[1] = -1  # no node is the root's parent, not even the root
    return Plamo2Table(trie.codes, slots, byte_ids.astype(np.uint32))


@nb.njit(cache=True, nogil=True)
def _characters(data, start, stop, codes, code, place):
    """Fills the trie's code of each character of [start, stop) and where it begins, a 0 behind the last; returns
    their number."""
    n = np.uint64(0)
    i, end = np.uint64(start), np.uint64(stop)
    while i < end:
        lead = np.uint32(data[i])
        point, width = lead, np.uint64(1)
        if lead >= 0xF0:
            point, width = (lead & 7) << 6 | (np.uint32(data[i + 1]) & 63), np.uint64(4)
            point = (point << 6 | (np.uint32(data[i + 2]) & 63)) << 6 | (np.uint32(data[i + 3]) & 63)
        elif lead >= 0xE0:
            point = ((lead & 15) << 6 | (np.uint32(data[i + 1]) & 63)) << 6 | (np.uint32(data[i + 2]) & 63)
            width = np.uint64(3)
        elif lead >= 0xC0:
            point, width = (lead & 31) << 6 | (np.uint32(data[i + 1]) & 63), np.uint64(2)
        code[n], place[n] = codes[np.uint64(point)], i
        n += np.uint64(1)
        i += width
    code[n], place[n] = 0, end
    return n


@nb.njit(cache=True, nogil=True)
def _choose(slots, code, n, cost, ends, chosen):
    """From the last character to the first: where the piece taken there ends, and its id, -1 for the unknown.

    A code 0 or a node without children leads to a slot that is no child of the node, so neither needs a test.
    """
    cost[n] = 0
    for back in range(np.uint64(0), n):
        i = n - np.uint64(1) - np.uint64(back)
        best, end, id = cost[i + np.uint64(1)] + 10_000_000, i + np.uint64(1), np.int32(-1)
        node, j = np.uint64(0), i
        child = np.uint64(code[j])
        while np.uint64(slots[child << np.uint64(2) | np.uint64(1)]) == node:
            node = child
            j += np.uint64(1)
            value = slots[node << np.uint64(2) | np.uint64(2)]
            if value >= 0:
                here = cost[j] + slots[node << np.uint64(2) | np.uint64(3)]
                if here <= best:  # of equal ones the longer, and any piece before the unknown
                    best, end, id = here, j, value
            child = np.uint64(slots[node << np.uint64(2)]) ^ np.uint64(code[j])
        cost[i], ends[i], chosen[i] = best, end, id


@nb.njit(cache=True, nogil=True)
def _unigram_plamo2(offsets, data, codes, slots, byte_ids, ids, sizes):
    sized = len(sizes) > 0
    found = np.zeros(len(offsets), np.int64)
    longest = 0
    for d in range(len(offsets) - 1):
        longest = max(longest, offsets[d + 1] - offsets[d])
    room = longest + 1
    code, place, cost = np.empty(room, np.uint16), np.empty(room, np.int64), np.empty(room, np.int64)
    ends, chosen = np.empty(room, np.uint32), np.empty(room, np.int32)
    t = np.uint64(0)
    for d in range(len(offsets) - 1):
        n = _characters(data, offsets[d], offsets[d + 1], codes, code, place)
        _choose(slots, code, n, cost, ends, chosen)
        i = np.uint64(0)
        while i < n:
            end = np.uint64(ends[i])
            if chosen[i] >= 0:
                ids[t] = chosen[i]
                if sized:
                    sizes[t] = place[end] - place[i]
                t += np.uint64(1)
            else:
                for k in range(np.uint64(place[i]), np.uint64(place[end])):
                    ids[t] = byte_ids[data[k]]
                    if sized:
                        sizes[t] = 1
                    t += np.uint64(1)
            i = end
        found[d + 1] = t
    return found


def unigram_plamo2(
    array: pa.Array, table: Plamo2Table, sized: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(offsets int64 [N+1], ids uint32 [T], bytes of each token int32 [T]) of a string array.

    sized: False leaves the third empty.
    """
    offsets, data = text_buffers(array)
    room = int(offsets[-1] - offsets[0])
    ids, sizes = np.empty(room, np.uint32), np.empty(room if sized else 0, np.int32)
    found = _unigram_plamo2(offsets, data, table.codes, table.slots, table.byte_ids, ids, sizes)
    return found, ids[: found[-1]], sizes[: found[-1]]  # no copy: what lies behind was never touched
