"""Byte-level BPE: texts to ids, with the ids of tiktoken or of Hugging Face's BPE.

A pre-token is looked up in a memory of short parts (up to 15 bytes, up to 6 ids). What is not there, or is longer, is
cut between characters that no token joins (kernels/bpe_cuts.py); each part is looked up likewise. A part that is new is
merged in order of rank if it is short, else by backtracking (after the crate ``bpe`` of github/rust-gems): take the
longest token, keep it if it can stand behind the one before, else its next shorter prefix, else give up the one
before. A map of dead places keeps that linear. Whether two tokens can stand side by side: undo the one formed later,
step by step; a merge across the cut that would have come earlier refutes it. All of it is exact, so what is remembered
changes no id.

Legend: N documents, S bytes of UTF-8, P pre-tokens, T tokens, K symbols.
"""

import threading
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit

from jacorpus.kernels.buffers import text_buffers
from tokenizer_lab.kernels.bpe_cuts import char_width, is_closed, packed
from tokenizer_lab.kernels.bpe_merge import NO_RANK, merge_long, merge_naive, merge_short, rank_of
from tokenizer_lab.kernels.bpe_tables import Tables
from tokenizer_lab.kernels.bpe_trie import longest, whole
from tokenizer_lab.kernels.patterns import pattern_name
from tokenizer_lab.kernels.pointers import pointer
from tokenizer_lab.kernels.pretokenize import split, split_naive
from tokenizer_lab.kernels.scanner import character_bits, piece_end, scanner_of
from tokenizer_lab.kernels.words64 import LONGEST, key

SLOTS = 1 << 16
SHORT = 32  # bytes up to which a part is merged in order of rank
MOST_KEPT = 6  # ids of a remembered part
_ROOM = 8  # places behind the ids that a look-up may write without use
_GIVEN = -1  # instead of a scanner's family: the ends are given
_MIX = np.uint64(0x9E3779B97F4A7C15)
_MIX2 = np.uint64(0xC2B2AE3D27D4EB4F)
_ID = np.uint64((1 << 20) - 1)
_2, _20, _32, _40, _60 = np.array([2, 20, 32, 40, 60], np.uint64)
_LINE = 64  # bytes that a processor fetches at once


def encode_naive(
    texts: pa.Array, pattern: str, merges: dict[tuple[int, int], int], results: list[int], ids: list[int], whole: dict
) -> list[list[int]]:
    """``BytePairs.encode`` by the definition. merges: (left, right) -> rank; whole: bytes -> id."""
    offsets, ends = split_naive(texts, pattern)
    starts, data = text_buffers(texts)
    rows = []
    for d in range(len(texts)):
        row, at = [], int(starts[d])
        for end in ends[offsets[d] : offsets[d + 1]].tolist():
            piece = bytes(data[at:end])
            row += [whole[piece]] if piece in whole else [ids[s] for s in merge_naive(list(piece), merges, results)]
            at = end
        rows.append(row)
    return rows


class View(NamedTuple):
    """Pointers to Tables and to a memory, with the masks of the hash tables: what the functions below share as t."""

    ids: Any
    sizes: Any
    pairs: Any
    pair_mask: Any
    results: Any
    left: Any
    right: Any
    edges: Any
    edge_mask: Any
    tokens: Any
    shorter: Any
    closed_pairs: Any
    closed_parts: Any
    closed_bits: Any
    ordered: Any
    memory: Any
    memory_mask: Any
    symbols: Any
    ranks: Any
    size: Any


@njit(cache=True, nogil=True)
def _can_stand(first, second, t):
    """Whether two tokens stay apart where they stand side by side."""
    limit = np.int64(1) << 40  # number from which on a merge across the cut comes too late
    while True:
        rank = rank_of(first, second, t.pairs, t.pair_mask)
        if rank < NO_RANK and t.results[rank] < limit:
            return False
        if first > second:
            limit = first
            first = t.right[first]
            if first == limit:  # a byte
                limit = second + 1
                second = t.left[second]
                if second + 1 == limit:
                    return True
        else:
            limit = second + 1
            second = t.left[second]
            if second + 1 == limit:
                limit = first
                first = t.right[first]
                if first == limit:
                    return True


@njit(cache=True, nogil=True)
def _backtrack(data, start, stop, t, dead, out, w):
    """Write the symbols of data[start:stop] to out[w:]; returns the place behind. dead: bool, a place for each cut."""
    first, at = w, start
    token = longest(data, at, stop, t.edges, t.edge_mask, t.tokens)
    while token >= 0:
        while True:
            end = at + t.sizes[token]
            if not dead[end - start] and (w == first or _can_stand(np.int64(out[w - 1]), token, t)):
                out[w] = token
                w, at = w + 1, end
                token = np.int64(-1)
                if at < stop:
                    token = longest(data, at, stop, t.edges, t.edge_mask, t.tokens)
                break
            if t.shorter[token] >= 0:
                token = t.shorter[token]
                continue
            dead[at - start] = True
            w -= 1
            token = np.int64(out[w])
            at -= t.sizes[token]
            break
    return w


@njit(cache=True, nogil=True)
def _long(data, start, stop, t, out, w):
    """``_merged`` for more than SHORT bytes."""
    n, begin = stop - start, w
    if t.ordered:
        w = _backtrack(data, start, stop, t, np.zeros(n + 1, np.bool_), out, w)
        for i in range(begin, w):
            out[i] = t.ids[out[i]]
        return w
    symbols = np.empty(n, np.int64)
    for i in range(n):
        symbols[i] = data[start + i]
    n = merge_long(symbols, n, t.pairs, t.pair_mask, t.results)
    for i in range(n):
        out[w + i] = t.ids[symbols[i]]
    return w + n


@njit(cache=True, nogil=True)
def _merged(data, start, stop, t, out, w):
    """Write the ids of data[start:stop] to out[w:]; returns the place behind."""
    n = stop - start
    if n > SHORT:
        return _long(data, start, stop, t, out, w)
    for i in range(n):
        t.symbols[i] = data[start + i]
    n = merge_short(t.symbols, t.ranks, n, t.pairs, t.pair_mask, t.results, 1)
    for i in range(n):
        out[w + i] = t.ids[t.symbols[i]]
    return w + n


@njit(cache=True, nogil=True, forceinline=True)
def _slot(low, high, t):
    """Place of a key's slot of four words: two of the key, two of the ids."""
    mixed = (low * _MIX) ^ (high * _MIX2)
    mixed = (mixed ^ (mixed >> _32)) * _MIX
    return np.int64(((mixed >> _40) & t.memory_mask) << _2)


@njit(cache=True, nogil=True, forceinline=True)
def _holds(memory, slot, low, high):
    return memory[slot] == low and memory[slot + 1] == high


@njit(cache=True, nogil=True, forceinline=True)
def _recall(memory, slot, out, w):
    """Write the ids of a slot; up to five places behind them are written without use."""
    first = memory[slot + 2]
    count = np.int64(first >> _60)
    out[w] = first & _ID
    out[w + 1] = (first >> _20) & _ID
    out[w + 2] = (first >> _40) & _ID
    if count > 3:
        second = memory[slot + 3]
        out[w + 3] = second & _ID
        out[w + 4] = (second >> _20) & _ID
        out[w + 5] = (second >> _40) & _ID
    return w + count


@njit(cache=True, nogil=True)
def _remember(memory, slot, low, high, out, begin, w):
    """Put a key and its ids into a slot; what was there is forgotten."""
    count = w - begin
    if count > MOST_KEPT:
        return
    first, second = np.uint64(count) << _60, np.uint64(0)
    for i in range(min(count, 3)):
        first |= np.uint64(out[begin + i]) << np.uint64(20 * i)
    for i in range(3, count):
        second |= np.uint64(out[begin + i]) << np.uint64(20 * (i - 3))
    memory[slot], memory[slot + 1] = low, high
    memory[slot + 2], memory[slot + 3] = first, second


@njit(cache=True, nogil=True, forceinline=True)
def _part(data, start, stop, t, out, w):
    """Ids of a part that is cut no further."""
    if stop - start > LONGEST:
        return _merged(data, start, stop, t, out, w)
    low, high = key(data, start, stop, t.size)
    slot = _slot(low, high, t)
    if _holds(t.memory, slot, low, high):
        return _recall(t.memory, slot, out, w)
    end = _merged(data, start, stop, t, out, w)
    _remember(t.memory, slot, low, high, out, w, end)
    return end


@njit(cache=True, nogil=True)
def _cut_up(data, start, stop, t, out, w):
    """Ids of a pre-token, part by part."""
    part = at = start
    width = char_width(data[at])
    char = packed(data, at, width)
    at += width
    while at < stop:
        width = char_width(data[at])
        next_char = packed(data, at, width)
        if not is_closed(char, next_char, data[at - 1], t.closed_pairs, t.closed_parts, t.closed_bits):
            w = _part(data, part, at, t, out, w)
            part = at
        char = next_char
        at += width
    if part == start:  # whole: asked for in vain already, or too long to be remembered
        return _merged(data, start, stop, t, out, w)
    return _part(data, part, stop, t, out, w)


@njit(cache=True, nogil=True)
def _document(data, at, stop, chars, family, most, ends, piece, t, whole_view, out, w):
    """(place behind the ids of data[at:stop], number of the next piece)."""
    while at < stop:
        if family == _GIVEN:
            end = ends[piece]
            piece += 1
        else:
            end = piece_end(data, at, stop, chars, family, most)
        if whole_view[4]:  # before the memory, which does not tell a part from a whole
            known = whole(data, at, end, whole_view[0], whole_view[1], whole_view[2])
            if known >= 0:
                out[w] = whole_view[3][known]
                w, at = w + 1, end
                continue
        short = end - at <= LONGEST
        low, high, slot = np.uint64(0), np.uint64(0), 0
        if short:
            low, high = key(data, at, end, t.size)
            slot = _slot(low, high, t)
            if _holds(t.memory, slot, low, high):
                w = _recall(t.memory, slot, out, w)
                at = end
                continue
        begin = w
        w = _cut_up(data, at, end, t, out, w)
        if short:
            _remember(t.memory, slot, low, high, out, begin, w)
        at = end
    return w, piece


@njit(cache=True, nogil=True)
def _encode(offsets, data, chars, family, most, ends, tables, bits, ordered, memory):
    """(first token of each document int64 [N + 1], ids uint32 [T]); ends: of the pieces where family is _GIVEN."""
    ids, sizes, pairs, results, left, right, edges, tokens, shorter, closed_pairs, closed_parts = tables[:11]
    whole_edges, whole_tokens, whole_ids = tables[11:]
    firsts, out = np.zeros(len(offsets), np.int64), np.empty(offsets[-1] - offsets[0] + _ROOM, np.uint32)
    symbols, ranks = np.empty(SHORT, np.int64), np.empty(SHORT, np.int64)
    t = View(
        pointer(ids),
        pointer(sizes),
        pointer(pairs),
        np.uint64(len(pairs) - 1),
        pointer(results),
        pointer(left),
        pointer(right),
        pointer(edges),
        np.uint64(len(edges) - 1),
        pointer(tokens),
        pointer(shorter),
        pointer(closed_pairs),
        pointer(closed_parts),
        bits,
        ordered,
        pointer(memory),
        np.uint64((len(memory) >> 2) - 1),
        pointer(symbols),
        pointer(ranks),
        np.int64(len(data)),
    )
    mask, some = np.uint64(len(whole_edges) - 1), len(whole_ids) > 1
    whole_view = (pointer(whole_edges), mask, pointer(whole_tokens), pointer(whole_ids), some)
    text, points, given, found = pointer(data), pointer(chars), pointer(ends), pointer(out)
    w, piece = np.int64(0), np.int64(0)
    for d in range(len(offsets) - 1):
        w, piece = _document(
            text, offsets[d], offsets[d + 1], points, family, most, given, piece, t, whole_view, found, w
        )
        firsts[d + 1] = w
    symbols[0] = ranks[0] = 0  # keeps them alive as long as their pointers are used
    return firsts, out[:w].copy()


def _aligned(words: int) -> np.ndarray:
    """uint64 [words] of zeros that begin with a line of the processor's cache."""
    room = np.zeros(words * 8 + _LINE, np.uint8)
    skip = -room.ctypes.data % _LINE
    return room[skip : skip + words * 8].view(np.uint64)


class BytePairs:
    """An encoder over checked tables. pattern: a name of PATTERNS or a regular expression.

    Each thread has a memory of its own, so calls may run side by side.
    """

    def __init__(self, tables: Tables, pattern: str) -> None:
        self.tables, self.pattern = tables, pattern
        name = pattern_name(pattern)
        self._scanner = scanner_of(name) if name else (_GIVEN, 0)
        self._bits = (len(tables.closed.pairs) * 64).bit_length() - 1
        t = tables
        merging = (t.ids, t.sizes, t.pairs, t.results, t.left, t.right)
        self._arrays = (*merging, *t.words, t.shorter, *t.closed, *t.whole, t.whole_ids)
        self._threads = threading.local()

    def encode(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """(offsets int64 [N + 1], ids uint32 [T]) of string [N]; a null counts as empty."""
        offsets, data = text_buffers(texts)
        ends = split(texts, self.pattern)[1] if self._scanner[0] == _GIVEN else np.zeros(0, np.int64)
        memory = getattr(self._threads, "memory", None)
        if memory is None:
            memory = self._threads.memory = _aligned(4 * SLOTS)
        how = (self._arrays, self._bits, self.tables.ordered, memory)
        return _encode(offsets, data, character_bits(), *self._scanner, ends, *how)
