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

import numpy as np
import pyarrow as pa
from numba import njit

from jacorpus.kernels.buffers import text_buffers
from tokenizer_lab.kernels.bpe_cuts import char_width, is_closed, packed
from tokenizer_lab.kernels.bpe_merge import NO_RANK, merge_long, merge_naive, merge_short, rank_of
from tokenizer_lab.kernels.bpe_tables import Tables
from tokenizer_lab.kernels.bpe_trie import longest, whole
from tokenizer_lab.kernels.patterns import pattern_name
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


@njit(cache=True, nogil=True)
def _can_stand(first, second, pairs, results, left, right):
    """Whether two tokens stay apart where they stand side by side."""
    limit = np.int64(1) << 40  # rank from which on a merge across the cut comes too late
    while True:
        rank = rank_of(first, second, pairs)
        if rank < NO_RANK and results[rank] < limit:
            return False
        if first > second:
            limit = first
            first = right[first]
            if first == limit:  # a byte
                limit = second + 1
                second = left[second]
                if second + 1 == limit:
                    return True
        else:
            limit = second + 1
            second = left[second]
            if second + 1 == limit:
                limit = first
                first = right[first]
                if first == limit:
                    return True


@njit(cache=True, nogil=True)
def _backtrack(data, start, stop, t, out, w):
    """Write the symbols of data[start:stop] to out[w:]; returns the place behind."""
    edges, tokens = t[6], t[7]
    dead = np.zeros(stop - start + 1, np.bool_)
    first, at = w, start
    token = longest(data, at, stop, edges, tokens)
    while token >= 0:
        while True:
            end = at + t[1][token]
            fits = not dead[end - start]
            if fits and w > first:
                fits = _can_stand(np.int64(out[w - 1]), token, t[2], t[3], t[4], t[5])
            if fits:
                out[w] = token
                w, at = w + 1, end
                token = longest(data, at, stop, edges, tokens) if at < stop else np.int64(-1)
                break
            if t[8][token] >= 0:
                token = t[8][token]
                continue
            dead[at - start] = True
            w -= 1
            token = np.int64(out[w])
            at -= t[1][token]
            break
    return w


@njit(cache=True, nogil=True)
def _merged(data, start, stop, t, ordered, symbols, ranks, out, w):
    """Write the ids of data[start:stop] to out[w:]; returns the place behind."""
    n, begin = stop - start, w
    if n <= SHORT:
        for i in range(n):
            symbols[i] = data[start + i]
        n = merge_short(symbols, ranks, n, t[2], t[3], 1)
        for i in range(n):
            out[w + i] = t[0][symbols[i]]
        return w + n
    if ordered:
        w = _backtrack(data, start, stop, t, out, w)
        for i in range(begin, w):
            out[i] = t[0][out[i]]
        return w
    many = data[start:stop].astype(np.int64)
    n = merge_long(many, n, t[2], t[3])
    for i in range(n):
        out[w + i] = t[0][many[i]]
    return w + n


@njit(cache=True, nogil=True, forceinline=True)
def _slot(low, high, memory):
    mixed = (low * _MIX) ^ (high * _MIX2)
    mixed = (mixed ^ (mixed >> _32)) * _MIX
    return (mixed >> _40) & np.uint64((len(memory) >> 2) - 1)


@njit(cache=True, nogil=True, forceinline=True)
def _recall(memory, slot, out, w):
    """Write the ids of a slot; up to five places behind them are written without use."""
    first = memory[(slot << _2) + np.uint64(2)]
    count = np.int64(first >> _60)
    out[w] = first & _ID
    out[w + 1] = (first >> _20) & _ID
    out[w + 2] = (first >> _40) & _ID
    if count > 3:
        second = memory[(slot << _2) + np.uint64(3)]
        out[w + 3] = second & _ID
        out[w + 4] = (second >> _20) & _ID
        out[w + 5] = (second >> _40) & _ID
    return w + count


@njit(cache=True, nogil=True)
def _remember(memory, slot, low, high, out, begin, w):
    count = w - begin
    if count > MOST_KEPT:
        return
    first, second = np.uint64(count) << _60, np.uint64(0)
    for i in range(count):
        id = np.uint64(out[begin + i])
        if i < 3:
            first |= id << np.uint64(20 * i)
        else:
            second |= id << np.uint64(20 * (i - 3))
    place = slot << _2
    memory[place], memory[place + np.uint64(1)] = low, high
    memory[place + _2], memory[place + np.uint64(3)] = first, second


@njit(cache=True, nogil=True)
def _part(data, start, stop, t, ordered, memory, symbols, ranks, out, w):
    """Ids of a part that is cut no further."""
    if stop - start > LONGEST:
        return _merged(data, start, stop, t, ordered, symbols, ranks, out, w)
    low, high = key(data, start, stop)
    slot = _slot(low, high, memory)
    if memory[slot << _2] == low and memory[(slot << _2) + np.uint64(1)] == high:
        return _recall(memory, slot, out, w)
    end = _merged(data, start, stop, t, ordered, symbols, ranks, out, w)
    _remember(memory, slot, low, high, out, w, end)
    return end


@njit(cache=True, nogil=True)
def _cut_up(data, start, stop, t, bits, ordered, memory, symbols, ranks, out, w):
    """Ids of a pre-token, part by part."""
    part = at = start
    width = char_width(data[at])
    char = packed(data, at, width)
    at += width
    while at < stop:
        next_width = char_width(data[at])
        next_char = packed(data, at, next_width)
        if not is_closed(char, next_char, data[at - 1], t[9], t[10], bits):
            w = _part(data, part, at, t, ordered, memory, symbols, ranks, out, w)
            part = at
        char = next_char
        at += next_width
    return _part(data, part, stop, t, ordered, memory, symbols, ranks, out, w)


@njit(cache=True, nogil=True)
def _encode(offsets, data, chars, family, most, ends, t, whole_ids, has_whole, bits, ordered, memory):
    """(first token of each document int64 [N + 1], ids uint32 [T]); ends: of the pieces where family is _GIVEN."""
    firsts, out = np.zeros(len(offsets), np.int64), np.empty(offsets[-1] - offsets[0] + _ROOM, np.uint32)
    symbols, ranks = np.empty(SHORT, np.int64), np.empty(SHORT, np.int64)
    w, piece = np.int64(0), 0
    for d in range(len(offsets) - 1):
        at, stop = offsets[d], offsets[d + 1]
        while at < stop:
            if family == _GIVEN:
                end = ends[piece]
                piece += 1
            else:
                end = piece_end(data, at, stop, chars, family, most)
            short = end - at <= LONGEST
            low = high = slot = np.uint64(0)
            if short:
                low, high = key(data, at, end)
                slot = _slot(low, high, memory)
                if memory[slot << _2] == low and memory[(slot << _2) + np.uint64(1)] == high:
                    w = _recall(memory, slot, out, w)
                    at = end
                    continue
            begin = w
            known = whole(data, at, end, t[11], t[12]) if has_whole else np.int64(-1)
            if known >= 0:
                out[w] = whole_ids[known]
                w += 1
            else:
                w = _cut_up(data, at, end, t, bits, ordered, memory, symbols, ranks, out, w)
            if short:
                _remember(memory, slot, low, high, out, begin, w)
            at = end
        firsts[d + 1] = w
    return firsts, out[:w].copy()


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
        self._arrays = (
            *(t.ids, t.sizes, t.pairs, t.results, t.left, t.right, *t.words, t.shorter, *t.closed, *t.whole),
        )
        self._threads = threading.local()

    def encode(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """(offsets int64 [N + 1], ids uint32 [T]) of string [N]; a null counts as empty."""
        offsets, data = text_buffers(texts)
        ends = split(texts, self.pattern)[1] if self._scanner[0] == _GIVEN else np.zeros(0, np.int64)
        memory = getattr(self._threads, "memory", None)
        if memory is None:
            memory = self._threads.memory = np.zeros(4 * SLOTS, np.uint64)
        whole_ids = self.tables.whole_ids
        checks = (len(whole_ids) > 1, self._bits, self.tables.ordered)
        arrays = (self._arrays, whole_ids, *checks, memory)
        return _encode(offsets, data, character_bits(), *self._scanner, ends, *arrays)
