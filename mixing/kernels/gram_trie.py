"""A trie of the grams of some text, and how often other text has each of them.

An event is a token (or the end of a document) after the tokens before it in its document. Its grams are itself, itself
with one token before it, and so on, up to ``order`` tokens. A node of the trie is a gram; its parent is the gram
without its last token (the context), its suffix the gram without its first one (the next shorter context). Node 0 is
the empty gram. Of other text two counts are taken for each node:

    seen        events that end with this gram
    followed    events that have this gram as a context: the sum of seen over all tokens that could follow

With an end-of-text id, a document is that id (as a context alone), its tokens, and that id again, unless it was cut
short. Grams never reach into another document. An empty document has no event.

Legend: N documents, T tokens, E events, M nodes.
"""

from collections import Counter

import numpy as np
from numba import njit

_FREE = -1
_FIRST_SLOTS = 1 << 12
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


def events_naive(row: list[int], ended: bool, order: int, eos: int) -> list[list[tuple[int, ...]]]:
    """Of each event of a document its grams, shortest first. eos: -1 for none."""
    if not row:
        return []
    text = [eos, *row, *([eos] if ended else [])] if eos >= 0 else row
    first = 1 if eos >= 0 else 0
    return [[tuple(text[i - n + 1 : i + 1]) for n in range(1, min(order, i + 1) + 1)] for i in range(first, len(text))]


def counts_naive(rows: list[list[int]], ended: list[bool], order: int, eos: int) -> tuple[Counter, Counter]:
    """(seen, followed) of every gram of some documents."""
    seen: Counter = Counter()
    followed: Counter = Counter()
    for row, whole in zip(rows, ended, strict=True):
        for grams in events_naive(row, whole, order, eos):
            seen.update(grams)
            followed.update(gram[:-1] for gram in grams)
    return seen, followed


@njit(cache=True, nogil=True)
def _slot(keys, key):
    """Where a key is, or the free place where it belongs."""
    mask = np.int64(len(keys) - 1)
    slot = np.int64((np.uint64(key) * _MULTIPLIER) >> _SHIFT) & mask
    while keys[slot] != _FREE and keys[slot] != key:
        slot = (slot + 1) & mask
    return slot


@njit(cache=True, nogil=True)
def _child(keys, nodes, node, token):
    """The node of a gram and one more token; -1 where the trie has none."""
    if node < 0:
        return np.int64(-1)
    slot = _slot(keys, (node << 32) | token)
    return np.int64(nodes[slot]) if keys[slot] != _FREE else np.int64(-1)


@njit(cache=True, nogil=True)
def _moved(keys, nodes, more_keys, more_nodes):
    for i in range(len(keys)):
        if keys[i] != _FREE:
            slot = _slot(more_keys, keys[i])
            more_keys[slot], more_nodes[slot] = keys[i], nodes[i]


@njit(cache=True, nogil=True)
def _add(ids, starts, ends, ended, order, eos, keys, nodes, parents, suffixes, used, last):
    """Add the grams of all events; last [E]: the node of each event's longest. Returns (nodes, events)."""
    here, new = np.empty(order + 1, np.int64), np.empty(order + 1, np.int64)  # nodes of the last 0, 1, ... tokens
    here[0] = new[0] = 0
    event = 0
    for d in range(len(starts)):
        first, end = starts[d], ends[d]
        if first == end:
            continue
        here[1:] = -1
        begin, stop = (first - 1, end + ended[d]) if eos >= 0 else (first, end)
        for at in range(begin, stop):
            token = np.int64(ids[at]) if first <= at < end else np.int64(eos)
            longest = 0
            for n in range(1, order + 1):
                new[n] = -1
                if here[n - 1] < 0:
                    continue
                key = (here[n - 1] << 32) | token
                slot = _slot(keys, key)
                if keys[slot] == _FREE:
                    keys[slot], nodes[slot] = key, used
                    parents[used], suffixes[used] = here[n - 1], new[n - 1]
                    used += 1
                new[n] = nodes[slot]
                longest = n
            here[1:] = new[1:]
            if at >= first:
                last[event] = new[longest]
                event += 1
    return used, event


@njit(cache=True, nogil=True)
def _count(ids, starts, ends, ended, order, eos, keys, nodes, seen, followed):
    here = np.empty(order + 1, np.int64)
    here[0] = 0
    for d in range(len(starts)):
        first, end = starts[d], ends[d]
        if first == end:
            continue
        here[1:] = -1
        if eos >= 0:
            here[1] = _child(keys, nodes, np.int64(0), np.int64(eos))
        stop = end + ended[d] if eos >= 0 else end
        for at in range(first, stop):
            token = np.int64(ids[at]) if at < end else np.int64(eos)
            for n in range(order, 0, -1):  # longest first: each reads the shorter one of the token before
                context = here[n - 1]
                here[n] = _child(keys, nodes, context, token)
                if context >= 0:
                    followed[context] += 1
                    if here[n] >= 0:
                        seen[here[n]] += 1


class GramTrie:
    """The trie. order: tokens of the longest gram, 1 or more; eos: end-of-text id, -1 for none.

    Documents are given as ids uint32 [T] and, for each, where it starts and ends there (int64 [N]) and whether that
    is its whole end (bool [N]).
    """

    def __init__(self, order: int, eos: int = -1) -> None:
        self.order, self.eos = order, eos
        self._keys, self._nodes = np.full(_FIRST_SLOTS, _FREE, np.int64), np.zeros(_FIRST_SLOTS, np.int32)
        self._parents, self._suffixes = np.zeros(_FIRST_SLOTS, np.int32), np.zeros(_FIRST_SLOTS, np.int32)
        self.size = 1

    @property
    def parents(self) -> np.ndarray:
        """int32 [M]: node of each gram without its last token."""
        return self._parents[: self.size]

    @property
    def suffixes(self) -> np.ndarray:
        """int32 [M]: node of each gram without its first token."""
        return self._suffixes[: self.size]

    def add(self, ids: np.ndarray, starts: np.ndarray, ends: np.ndarray, ended: np.ndarray) -> np.ndarray:
        """Add grams of documents; int32 [E]: the node of the longest gram of each event, in order."""
        most = int((ends - starts).sum()) + 2 * len(starts)
        self._grow(self.size + most * self.order)
        last = np.empty(most, np.int32)
        documents = (ids, starts, ends, ended, self.order, self.eos)
        tables = (self._keys, self._nodes, self._parents, self._suffixes)
        self.size, events = _add(*documents, *tables, self.size, last)
        return last[:events].copy()

    def count(
        self, ids: np.ndarray, starts: np.ndarray, ends: np.ndarray, ended: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(seen, followed), int32 [M] each, of other documents."""
        seen, followed = np.zeros(self.size, np.int32), np.zeros(self.size, np.int32)
        _count(ids, starts, ends, ended, self.order, self.eos, self._keys, self._nodes, seen, followed)
        return seen, followed

    def _grow(self, nodes: int) -> None:
        slots = len(self._keys)
        while slots < 2 * nodes:
            slots *= 2
        if slots > len(self._keys):
            keys, numbers = np.full(slots, _FREE, np.int64), np.zeros(slots, np.int32)
            _moved(self._keys, self._nodes, keys, numbers)
            self._keys, self._nodes = keys, numbers
            room = np.zeros(slots - len(self._parents), np.int32)
            self._parents = np.concatenate([self._parents, room])
            self._suffixes = np.concatenate([self._suffixes, room])
