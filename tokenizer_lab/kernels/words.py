"""The words (pre-tokens) of a training text, each kept once with the number of its uses, then laid out as symbols.

With GPT patterns Japanese words hardly repeat (1.05 of 1.55 million differ); with cuts between scripts, and in English
and code, the table is a small part of the text. It is filled batch by batch, so only the distinct words stay.

Legend: P words of a batch, D distinct words, S bytes, R runs of words of equal use.
"""

from collections import Counter

import numpy as np
from numba import njit

from tokenizer_lab.kernels.bpe_train import BARRIER

CODE_POINTS = 0x110000
_USED, _WORDS = range(2)


def words_naive(words: list[bytes]) -> dict[bytes, int]:
    """Word -> uses, in the order they first came: the readable twin."""
    return dict(Counter(word for word in words if word))


@njit(cache=True, nogil=True)
def _place(data, start, stop, table, store, starts):
    """(slot, number) of a word; the number is -1 where the table does not hold it yet."""
    mixed = np.uint64(0xCBF29CE484222325)
    for i in range(np.uint64(start), np.uint64(stop)):
        mixed = (mixed ^ np.uint64(data[i])) * np.uint64(0x100000001B3)
    mixed ^= mixed >> np.uint64(32)
    mask = np.uint64(len(table) - 1)
    slot = (mixed * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(20)) & mask
    size = stop - start
    while table[slot] >= 0:
        word = table[slot]
        if starts[word + 1] - starts[word] == size:
            same = True
            for i in range(size):
                if store[starts[word] + i] != data[start + i]:
                    same = False
                    break
            if same:
                return slot, np.int64(word)
        slot = (slot + np.uint64(1)) & mask
    return slot, np.int64(-1)


@njit(cache=True, nogil=True)
def _add(data, offsets, first_ends, ends, weights, table, store, starts, uses, state):
    """Count the words of a batch; the arrays have room for all of it."""
    for document in range(len(offsets) - 1):
        start = offsets[document]
        for p in range(first_ends[document], first_ends[document + 1]):
            stop = ends[p]
            slot, word = _place(data, start, stop, table, store, starts)
            if word < 0:
                word = state[_WORDS]
                table[slot] = word
                used = state[_USED]
                for i in range(stop - start):
                    store[used + i] = data[start + i]
                starts[word + 1] = used + stop - start
                uses[word] = 0
                state[_USED] += stop - start
                state[_WORDS] += 1
            uses[word] += weights[p] if len(weights) else 1
            start = stop


@njit(cache=True, nogil=True)
def _rehash(table, store, starts, number):
    for word in range(number):
        slot, _ = _place(store, starts[word], starts[word + 1], table, store, starts)
        table[slot] = word


@njit(cache=True, nogil=True)
def _point(data, i):
    """(code point, bytes) of the character at i."""
    lead = np.int64(data[i])
    if lead < 0x80:
        return lead, 1
    second = np.int64(data[i + 1]) & 63
    if lead < 0xE0:
        return (lead & 31) << 6 | second, 2
    third = np.int64(data[i + 2]) & 63
    if lead < 0xF0:
        return (lead & 15) << 12 | second << 6 | third, 3
    return (lead & 7) << 18 | second << 12 | third << 6 | (np.int64(data[i + 3]) & 63), 4


@njit(cache=True, nogil=True)
def _characters(store, starts, uses, counts):
    for word in range(len(uses)):
        i = starts[word]
        while i < starts[word + 1]:
            point, size = _point(store, i)
            counts[point] += uses[word]
            i += size


@njit(cache=True, nogil=True)
def _lay_out(store, starts, order, symbols, sequence):
    """Words in order as symbols with barriers; by characters where a table of symbols is given. Returns the length
    and, in ``order``, the end of each word."""
    n = 1
    sequence[0] = BARRIER
    for w in range(len(order)):
        i, stop = starts[order[w]], starts[order[w] + 1]
        while i < stop:
            if len(symbols):
                point, size = _point(store, i)
                symbol = symbols[point]
            else:
                symbol, size = np.int32(store[i]), 1
            if symbol >= 0 or sequence[n - 1] >= 0:
                sequence[n] = symbol if symbol >= 0 else BARRIER
                n += 1
            i += size
        if sequence[n - 1] >= 0:
            sequence[n] = BARRIER
            n += 1
        order[w] = n
    return n


class Words:
    """The distinct words so far.

    starts: int64 [D+1], their places in ``store`` uint8 [S]. uses: int64 [D].
    """

    def __init__(self) -> None:
        self._state = np.zeros(2, np.int64)
        self._table = np.full(1 << 12, -1, np.int32)
        self._store = np.empty(1 << 16, np.uint8)
        self._starts = np.zeros(1 << 11, np.int64)
        self._uses = np.zeros(1 << 11, np.int64)

    def __len__(self) -> int:
        return int(self._state[_WORDS])

    @property
    def store(self) -> np.ndarray:
        return self._store[: self._state[_USED]]

    @property
    def starts(self) -> np.ndarray:
        return self._starts[: len(self) + 1]

    @property
    def uses(self) -> np.ndarray:
        return self._uses[: len(self)]

    def add(
        self,
        buffers: tuple[np.ndarray, np.ndarray],
        first_ends: np.ndarray,
        ends: np.ndarray,
        weights: np.ndarray | None = None,
    ) -> None:
        """Count the words of a batch, cut as tokenizer_lab.kernels.pretokenize.split tells it.

        buffers: (offsets, data) of the texts. first_ends: int64 [N+1]. ends: int64 [P]. weights: int64 [P], uses
        that a word stands for; without them 1 each. Raises OverflowError for over 2**31 distinct words.
        """
        offsets, data = buffers
        self._make_room(len(self) + len(ends), int(self._state[_USED] + offsets[-1] - offsets[0]))
        given = np.zeros(0, np.int64) if weights is None else weights
        _add(data, offsets, first_ends, ends, given, self._table, self._store, self._starts, self._uses, self._state)

    def _make_room(self, words: int, size: int) -> None:
        if words >= 1 << 31:
            raise OverflowError("over 2**31 distinct words")
        if size > len(self._store):
            self._store = _longer(self._store, size)
        if words >= len(self._uses):
            self._starts, self._uses = _longer(self._starts, words + 1), _longer(self._uses, words + 1)
        if 2 * words > len(self._table):
            self._table = np.full(1 << int(2 * words - 1).bit_length(), -1, np.int32)
            _rehash(self._table, self._store, self._starts, len(self))

    def characters(self) -> np.ndarray:
        """int64 [0x110000]: uses of each code point."""
        counts = np.zeros(CODE_POINTS, np.int64)
        _characters(self._store, self.starts, self.uses, counts)
        return counts


def _longer(array: np.ndarray, least: int) -> np.ndarray:
    wider = np.zeros(max(least, len(array) * 5 // 4), array.dtype)
    wider[: len(array)] = array
    return wider


def lay_out(words: Words, symbols: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(sequence int32, ends int64 [R], weights int64 [R]) as bpe_train.train_merges takes them, most used words first.

    symbols: int32 [0x110000], the symbol of each character; a character under 0 is a barrier. Without it a symbol is
    a byte. Raises OverflowError for a text of 2**31 places or more.
    """
    order = np.argsort(-words.uses, kind="stable")
    weights = words.uses[order]
    places = int(len(words.store) + len(words) + 2)
    if places >= 1 << 31:
        raise OverflowError("over 2**31 bytes of distinct words")
    sequence = np.empty(places, np.int32)
    table = np.zeros(0, np.int32) if symbols is None else symbols
    if not len(words):
        return np.array([BARRIER], np.int32), np.ones(1, np.int64), np.ones(1, np.int64)
    length = _lay_out(words.store, words.starts, order, table, sequence)
    last = np.flatnonzero(np.diff(weights, append=0))
    return sequence[:length], order[last], weights[last]
