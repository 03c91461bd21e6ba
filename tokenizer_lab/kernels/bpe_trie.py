"""Tokens as a trie over bytes, kept in one hash table: longest match, whole match, next shorter prefix.

An edge is a 64-bit word: node 24 bits and byte 8 bits above, node it leads to below. Node 0 is the root.

Legend: K tokens, B bytes of all tokens, E edges.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from tokenizer_lab.kernels.bpe_merge import EMPTY

MOST_NODES = 1 << 24
_MIX = np.uint64(0x9E3779B97F4A7C15)
_1, _8, _24, _32, _LOW = np.array([1, 8, 24, 32, 0xFFFFFFFF], np.uint64)


class Trie(NamedTuple):
    """edges: uint64 [a power of two over 2 E]. tokens: int64 [E + 1], the token that ends at a node, or -1."""

    edges: np.ndarray
    tokens: np.ndarray


@njit(cache=True, nogil=True, forceinline=True)
def _child(node, byte, edges, mask):
    """The node behind an edge, -1 where there is none."""
    key = (np.uint64(node) << _8) | np.uint64(byte)
    slot = ((key * _MIX) >> _24) & mask
    while True:
        word = edges[slot]
        if word == EMPTY:
            return np.int64(-1)
        if word >> _32 == key:
            return np.int64(word & _LOW)
        slot = (slot + _1) & mask


@njit(cache=True, nogil=True)
def _grow(arena, starts, chosen, slots):
    edges = np.full(slots, EMPTY, np.uint64)
    tokens = np.full(len(arena) + 1, -1, np.int64)
    mask, nodes = np.uint64(slots - 1), 1
    for k in range(len(starts) - 1):
        if not chosen[k] or starts[k] == starts[k + 1]:
            continue
        node = np.int64(0)
        for i in range(starts[k], starts[k + 1]):
            child = _child(node, arena[i], edges, mask)
            if child < 0:
                key, child = (np.uint64(node) << _8) | np.uint64(arena[i]), np.int64(nodes)
                slot = ((key * _MIX) >> _24) & mask
                while edges[slot] != EMPTY:
                    slot = (slot + _1) & mask
                edges[slot] = (key << _32) | np.uint64(child)
                nodes += 1
            node = child
        tokens[node] = k
    return edges, tokens[:nodes].copy()


def trie(arena: np.ndarray, starts: np.ndarray, chosen: np.ndarray) -> Trie:
    """The trie of the chosen tokens. arena: uint8 [B], starts: int64 [K + 1], chosen: bool [K].

    Raises ValueError from 2**24 nodes on.
    """
    used = int(np.diff(starts)[chosen].sum()) + 1
    if used >= MOST_NODES:
        raise ValueError(f"{used} bytes of tokens are too many for a trie of {MOST_NODES} nodes")
    return Trie(*_grow(arena, starts, chosen, 1 << (2 * used).bit_length()))


@njit(cache=True, nogil=True)
def longest(data, at, stop, edges, mask, tokens):
    """The longest token at byte ``at`` that ends at or before ``stop``; -1 where none begins here."""
    node, found = np.int64(0), np.int64(-1)
    while at < stop:
        node = _child(node, data[at], edges, mask)
        if node < 0:
            break
        if tokens[node] >= 0:
            found = tokens[node]
        at += 1
    return found


@njit(cache=True, nogil=True)
def whole(data, at, stop, edges, mask, tokens):
    """The token that is exactly data[at:stop], or -1."""
    node = np.int64(0)
    while at < stop:
        node = _child(node, data[at], edges, mask)
        if node < 0:
            return node
        at += 1
    return tokens[node]


@njit(cache=True, nogil=True)
def shorter_prefixes(arena, starts, chosen, edges, tokens):
    """int64 [K]: the longest token that is a proper prefix of each chosen token, or -1."""
    shorter, mask = np.full(len(starts) - 1, -1, np.int64), np.uint64(len(edges) - 1)
    for k in range(len(shorter)):
        node = np.int64(0)
        if chosen[k]:
            for i in range(starts[k], starts[k + 1] - 1):
                node = _child(node, arena[i], edges, mask)
                if tokens[node] >= 0:
                    shorter[k] = tokens[node]
    return shorter
