"""From a segmented text to new tokens: continued merges, then leaves pruned to size.

A leaf is a new token that no other new token is made of. Pruning takes the leaf whose loss costs the fewest tokens,
again and again (2512.03989); the places it held go to its two parts, which may become leaves by that.

Legend: S symbols known before (old tokens and characters), K candidates, P places of text.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokenizer_lab.extension.scripts import SPACE, class_of
from tokenizer_lab.kernels.bpe_continue import BARRIER, continue_merges

OVERSHOOT = 1.25
"""Candidates made for each token that is to stay."""


@dataclass(frozen=True)
class Candidates:
    """New tokens before pruning, in the order of their merges.

    pieces: K byte strings. parts: int64 [K, 2], symbols each is made of (S + k is candidate k). usage: int64 [K],
    places of the text that each holds when all are there. known: int64 [S], the same of what was known before.
    """

    pieces: list[bytes]
    parts: np.ndarray
    usage: np.ndarray
    known: np.ndarray


def barriers_between(symbols: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The symbols with a barrier put wherever the class of characters changes.

    A space (U+2581) begins what follows it and so is cut off only from what precedes. first, last: int8 [S], class
    of each symbol's first and last character.
    """
    left, right = symbols[:-1], symbols[1:]
    cut = (last[left] != first[right]) & (last[left] != SPACE) & (left >= 0) & (right >= 0)
    return np.insert(symbols, np.flatnonzero(cut) + 1, BARRIER)


def classes(table: Sequence[bytes], join_marks: bool) -> tuple[np.ndarray, np.ndarray]:
    """(first, last) int8 [S]: class of the first and the last character of each piece; MARK where it has none."""
    texts = [token.decode() or "." for token in table]
    ends = ([class_of(text[i], join_marks) for text in texts] for i in (0, -1))
    return tuple(np.array(end, np.int8) for end in ends)  # type: ignore[return-value]


def class_changes(texts: pa.Array, join_marks: bool) -> np.ndarray:
    """int64, sorted: byte places in the texts, laid end to end, where the class of characters changes, but for those
    behind a space; the ends of the texts too."""
    points = np.frombuffer("".join(texts.to_pylist()).encode("utf-32-le"), np.uint32)
    widths = 1 + (points > 0x7F).astype(np.int64) + (points > 0x7FF) + (points > 0xFFFF)
    used, which = np.unique(points, return_inverse=True)
    kinds = np.array([class_of(chr(point), join_marks) for point in used], np.int8)[which]
    ends = np.cumsum(widths)
    inner = ends[:-1][(kinds[:-1] != kinds[1:]) & (kinds[:-1] != SPACE)]
    return np.union1d(inner, np.cumsum(pc.binary_length(texts).to_numpy(zero_copy_only=False)))


def grow(
    symbols: np.ndarray, table: Sequence[bytes], ranges: np.ndarray, max_chars: int, number: int, min_count: int
) -> Candidates:
    """Candidates of continued merges over symbols int32 [P] (BARRIER where none may reach across).

    table: bytes of the S symbols. number: how many are to stay after pruning; somewhat more are made.
    """
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(token) for token in table])])
    data = np.frombuffer(b"".join(table), np.uint8)
    merges = int(number * OVERSHOOT) + 8
    parts, _, left = continue_merges(symbols, starts, data, ranges, max_chars, merges, min_count)
    pieces = list(table)
    for one, other in parts.tolist():
        pieces.append(pieces[one] + pieces[other])
    usage = np.bincount(left[left >= 0], minlength=len(pieces))
    return Candidates(pieces[len(table) :], parts.astype(np.int64), usage[len(table) :], usage[: len(table)])


def prune(
    parts: np.ndarray,
    usage: np.ndarray,
    cost: np.ndarray,
    first: int,
    keep: int,
    never: np.ndarray | None = None,
    free: int = 0,
) -> np.ndarray:
    """bool [K]: the candidates that stay, ``keep`` of them or fewer.

    parts: int64 [K, 2] as in Candidates, ``first`` the symbol of candidate 0; -1 for a candidate made of nothing.
    cost: int64 [K], tokens that one use more takes when the candidate goes. never: bool [K], those that must go as
    soon as they are leaves, whatever their use. free: so many candidates from the first on are leaves always, whoever
    is made of them. Ties: the later one goes.
    """
    usage, alive = usage.astype(np.int64).copy(), np.ones(len(usage), bool)
    inner = parts[parts >= first + free] - first
    users = np.bincount(inner, minlength=len(usage))
    worth = usage * cost
    if never is not None:
        worth[never] = -1
    heap = [(int(worth[k]), -k) for k in range(len(usage)) if not users[k]]
    heapq.heapify(heap)
    left, must = len(usage), 0 if never is None else int(never.sum())
    while heap and (left > keep or must):
        value, negated = heapq.heappop(heap)
        k = -negated
        if not alive[k] or value != worth[k]:
            continue
        if left <= keep and value >= 0:
            break
        alive[k], left, must = False, left - 1, must - (value < 0)
        for part in parts[k]:
            if part < first:
                continue
            p = int(part) - first
            usage[p] += usage[k]
            users[p] -= p >= free
            if worth[p] >= 0:
                worth[p] = usage[p] * cost[p]
            if alive[p] and not users[p]:
                heapq.heappush(heap, (int(worth[p]), -p))
    return alive
