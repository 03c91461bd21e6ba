"""What byte-level BPE needs to encode, made and checked once per vocabulary.

Symbols are numbered from inside: 0-255 the bytes, then what merges make, in order of rank; ``ids`` maps them to the ids
of the file. tiktoken's files list tokens, and any two neighbors whose bytes together are a token merge; Hugging Face's
list merges. Backtracking (kernels/bpe.py) needs more: every symbol made by one merge, of two symbols made earlier.
Each symbol's own bytes are merged here to see that; one that its bytes do not merge to can never come out of a merge
and only stands where a whole pre-token is looked up. Where the order does not hold, texts are merged in order of rank.

Legend: K symbols, M merges, B bytes of all symbols, V ids.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from tokenizer_lab.kernels.bpe_cuts import Closed, closed_places
from tokenizer_lab.kernels.bpe_merge import MOST_SYMBOLS, NO_RANK, merge_short, pair_table, rank_of
from tokenizer_lab.kernels.bpe_trie import Trie, shorter_prefixes, trie

BYTES = 256
MOST_IDS = 1 << 20
"""Ids have 20 bits where short parts are remembered."""
_BASE = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Tables:
    """ids: uint32 [K]. sizes: int64 [K], bytes of each symbol. pairs, results: the merges (kernels/bpe_merge.py).

    ordered: backtracking is exact. left, right: int64 [K], the two symbols that each is made of; itself for a byte.
    words: trie of the symbols that merges reach, shorter: int64 [K], the next shorter one that begins each.
    whole: trie of tokens that only a whole pre-token can be; closed: places that no token lies across.
    """

    ids: np.ndarray
    sizes: np.ndarray
    pairs: np.ndarray
    results: np.ndarray
    ordered: bool
    left: np.ndarray
    right: np.ndarray
    words: Trie
    shorter: np.ndarray
    whole: Trie
    whole_ids: np.ndarray
    closed: Closed


def _arena(tokens: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    sizes = np.fromiter(map(len, tokens), np.int64, len(tokens))
    return np.frombuffer(b"".join(tokens), np.uint8), np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])


@njit(cache=True, nogil=True)
def _hashed(arena, first, stop):
    found = np.uint64(0)
    for i in range(first, stop):
        found = found * _BASE + np.uint64(arena[i]) + np.uint64(1)
    return found


@njit(cache=True, nogil=True)
def _number(arena, starts, first, stop, mixed, table):
    """The symbol with the bytes arena[first:stop], or -1."""
    mask = np.uint64(len(table) - 1)
    slot = (mixed ^ (mixed >> np.uint64(32))) & mask
    while table[slot] >= 0:
        k = table[slot]
        size = starts[k + 1] - starts[k]
        if size == stop - first:
            same = True
            for i in range(size):
                if arena[starts[k] + i] != arena[first + i]:
                    same = False
                    break
            if same:
                return k
        slot = (slot + np.uint64(1)) & mask
    return np.int64(-1)


@njit(cache=True, nogil=True)
def _splits(arena, starts, slots):
    """Every way in which a symbol is two symbols: int64 [3, M] of left, right, whole."""
    table, mask = np.full(slots, -1, np.int64), np.uint64(slots - 1)
    for k in range(len(starts) - 1):
        mixed = _hashed(arena, starts[k], starts[k + 1])
        slot = (mixed ^ (mixed >> np.uint64(32))) & mask
        while table[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        table[slot] = k
    found, out = 0, np.empty((3, len(arena)), np.int64)
    for k in range(len(starts) - 1):
        first, stop = starts[k], starts[k + 1]
        for cut in range(first + 1, stop):
            left = _number(arena, starts, first, cut, _hashed(arena, first, cut), table)
            if left < 0:
                continue
            right = _number(arena, starts, cut, stop, _hashed(arena, cut, stop), table)
            if right >= 0:
                out[0, found], out[1, found], out[2, found] = left, right, k
                found += 1
    return out[:, :found].copy()


@njit(cache=True, nogil=True)
def _parts(arena, starts, table, results):
    """int64 [2, K]: the two symbols that the bytes of each symbol end up as before the last merge makes it, or -1."""
    parts = np.full((2, len(starts) - 1), -1, np.int64)
    longest = np.max(starts[1:] - starts[:-1])
    symbols, ranks, mask = np.empty(longest, np.int64), np.empty(longest, np.int64), np.uint64(len(table) - 1)
    for k in range(len(starts) - 1):
        n = starts[k + 1] - starts[k]
        for i in range(n):
            symbols[i] = arena[starts[k] + i]
        if n == 1:
            parts[0, k] = parts[1, k] = k
        elif merge_short(symbols, ranks, n, table, mask, results, 2) == 2:
            rank = rank_of(symbols[0], symbols[1], table, mask)
            if rank < NO_RANK and results[rank] == k:
                parts[0, k], parts[1, k] = symbols[0], symbols[1]
    return parts


def _table(lefts: np.ndarray, rights: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    a, b, c = (np.ascontiguousarray(column, np.int64) for column in (lefts, rights, ranks))
    return pair_table(a, b, c, 1 << (2 * len(lefts) + 1).bit_length())


def _checked(tokens: Sequence[bytes], merges: int) -> None:
    if len(tokens) >= MOST_SYMBOLS or merges >= NO_RANK:
        raise ValueError(f"{len(tokens)} symbols and {merges} merges are more than the tables take")


def _built(
    tokens: Sequence[bytes], ids: np.ndarray, pairs: np.ndarray, results: np.ndarray, whole: Mapping[bytes, int]
) -> Tables:
    """Tables over symbols in order; pairs: int64 [3, M] of left, right, rank; results: int64 [ranks]."""
    if max(int(ids.max()), max(whole.values(), default=0)) >= MOST_IDS:
        raise ValueError(f"ids from {MOST_IDS} on do not fit")
    arena, starts = _arena(tokens)
    table = _table(*pairs)
    left, right = _parts(arena, starts, table, results)
    reached = left >= 0
    numbers = np.arange(len(tokens))
    ordered = bool(np.all(np.maximum(left, right)[BYTES:] < numbers[BYTES:]))
    if ordered:  # one merge a symbol; what can't be reached is left out
        made = np.flatnonzero(reached[BYTES:]) + BYTES
        ordered = len(np.unique(results)) == len(results) and bool(np.all(np.diff(results) > 0))
        if ordered:
            rank = np.searchsorted(results, made)
            table = _table(left[made], right[made], rank)
    words = trie(arena, starts, reached)
    own = {token: int(ids[k]) for k, token in enumerate(tokens) if reached[k]}
    only = {token: id for token, id in whole.items() if token and own.get(token) != id}
    whole_arena, whole_starts = _arena(list(only))
    return Tables(
        ids=ids,
        sizes=np.diff(starts),
        pairs=table,
        results=results,
        ordered=ordered,
        left=left,
        right=right,
        words=words,
        shorter=shorter_prefixes(arena, starts, reached, *words),
        whole=trie(whole_arena, whole_starts, np.ones(len(only), bool)),
        whole_ids=np.array([*only.values(), 0], np.uint32),
        closed=closed_places(arena, starts, reached),
    )


def from_ranks(ranks: Mapping[bytes, int]) -> Tables:
    """Tables of tiktoken's rule: token -> rank, which is its id; whole pre-tokens first.

    Raises ValueError where a byte has no token or the vocabulary is too large for the tables.
    """
    _checked(list(ranks), 0)
    tokens = [bytes([byte]) for byte in range(BYTES)]
    if any(token not in ranks for token in tokens):
        raise ValueError("a byte has no token")
    tokens += sorted((token for token in ranks if len(token) > 1), key=lambda token: ranks[token])
    arena, starts = _arena(tokens)
    lefts, rights, made = _splits(arena, starts, 1 << (2 * len(tokens)).bit_length())
    ids = np.array([ranks[token] for token in tokens], np.uint32)
    results = np.arange(BYTES, max(len(tokens), BYTES + 1), dtype=np.int64)
    return _built(tokens, ids, np.stack([lefts, rights, made - BYTES]), results, ranks)


def from_merges(
    byte_ids: Sequence[int],
    merges: Sequence[tuple[int, int, int]],
    token_bytes: Mapping[int, bytes],
    whole: Mapping[bytes, int] | None = None,
) -> Tables:
    """Tables of Hugging Face's rule.

    byte_ids: id of each of the 256 bytes. merges: (left id, right id, id of the result) in order of rank; of a pair
    that stands twice the later place counts, as in tokenizers. token_bytes: id -> bytes of each id in merges.
    whole: token -> id where whole pre-tokens are looked up first (``ignore_merges``).
    Raises ValueError where two bytes share an id or the vocabulary is too large for the tables.
    """
    if len(set(byte_ids)) != BYTES:
        raise ValueError("the 256 bytes need an id each")
    number = {id: byte for byte, id in enumerate(byte_ids)}
    last = {(left, right): (rank, made) for rank, (left, right, made) in enumerate(merges)}
    kept = sorted((rank, *pair, made) for pair, (rank, made) in last.items())
    for _, _, _, made in kept:
        number.setdefault(made, len(number))
    # A part that nothing makes stands in no text; it gets a number so that the table can hold it.
    for _, *pair, _ in kept:
        for part in pair:
            number.setdefault(part, len(number))
    ids = np.array(list(number), np.uint32)
    tokens = [bytes([byte]) for byte in range(BYTES)] + [token_bytes[id] for id in list(number)[BYTES:]]
    _checked(tokens, len(kept))
    rows = [(number[left], number[right], rank) for rank, (_, left, right, _) in enumerate(kept)]
    pairs = np.array(rows, np.int64).reshape(-1, 3).T
    results = np.array([number[made] for *_, made in kept] or [BYTES], np.int64)
    return _built(tokens, ids, pairs, results, whole or {})
