"""Sequences of ids with a mask of trained tokens, as rows of a batch: packed with isolation, or one a row.

The logit at place t scores token t + 1, and the mask belongs to the scored token; both are shifted here, once.

Letters: B rows, T tokens of a row, S tokens of a sequence.
"""

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch

from trainer.batch import TokenBatch
from trainer.order import named_key, permuted

BLOCK = 4096
"""Sequences that packing sorts at a time: more leave less padding and take longer."""


class Sequenced(Protocol):
    """ids: int64 [S]. trained: bool [S], the tokens that are targets."""

    @property
    def ids(self) -> np.ndarray: ...

    @property
    def trained(self) -> np.ndarray: ...


def padded(sequences: Sequence[Sequenced], extra: Mapping[str, torch.Tensor] | None = None) -> TokenBatch:
    """One sequence a row, padding at the end, where no token sees it. T is the longest sequence less one."""
    longest = max(max(len(each.ids) for each in sequences) - 1, 1)
    tokens, targets = (np.zeros((len(sequences), longest), np.int64) for _ in range(2))
    weight = np.zeros((len(sequences), longest), np.float32)
    for row, each in enumerate(sequences):
        _put(each, row, 0, tokens, targets, weight)
    document = np.zeros((len(sequences), longest), np.int32)
    return _batch(tokens, targets, weight, document, dict(extra or {}))


def packed(rows: Sequence[Sequence[Sequenced]], seq_len: int) -> TokenBatch:
    """Rows of ``seq_len`` tokens that hold sequences one after another, each a document of its own."""
    tokens, targets = (np.zeros((len(rows), seq_len), np.int64) for _ in range(2))
    weight, document = np.zeros((len(rows), seq_len), np.float32), np.zeros((len(rows), seq_len), np.int32)
    for row, sequences in enumerate(rows):
        at = 0
        for number, each in enumerate(sequences, 1):
            _put(each, row, at, tokens, targets, weight)
            at += len(each.ids) - 1
            document[row, at:] = number  # what is left in the end is padding, a document that nobody sees
    return _batch(tokens, targets, weight, document, {})


def _put(sequence: Sequenced, row: int, at: int, tokens: np.ndarray, targets: np.ndarray, weight: np.ndarray) -> None:
    place = slice(at, at + len(sequence.ids) - 1)
    tokens[row, place], targets[row, place] = sequence.ids[:-1], sequence.ids[1:]
    weight[row, place] = sequence.trained[1:]


def _batch(
    tokens: np.ndarray, targets: np.ndarray, weight: np.ndarray, document: np.ndarray, extra: dict[str, torch.Tensor]
) -> TokenBatch:
    domain = torch.zeros(len(tokens), dtype=torch.int32)
    a, b, c, d = map(torch.from_numpy, (tokens, targets, weight, document))
    return TokenBatch(a, b, c, d, domain, extra)


def shuffled(size: int, seed: int, epoch: int) -> np.ndarray:
    """int64 [size]: an order of its own for each epoch."""
    key = np.array([named_key("posttrain", seed, epoch)], np.uint64)
    return permuted(np.arange(size), size, key)


def packing(sizes: Sequence[int], order: Sequence[int], seq_len: int) -> list[list[int]]:
    """Rows of sequences, by number, that fit into ``seq_len`` tokens: the longest first, each where least room is left,
    BLOCK sequences at a time. Rows come in the order of their earliest sequence, and so are as shuffled as ``order``.

    sizes: tokens a sequence takes, at most seq_len each.
    """
    found: list[list[int]] = []
    for first in range(0, len(order), BLOCK):
        block = order[first : first + BLOCK]
        rows: list[list[int]] = []
        rooms: list[tuple[int, int]] = []  # (room, row), the fullest first
        for place in sorted(range(len(block)), key=lambda place: -sizes[block[place]]):
            size = sizes[block[place]]
            at = bisect_left(rooms, (size, 0))
            room, row = rooms.pop(at) if at < len(rooms) else (seq_len, len(rows))
            if row == len(rows):
                rows.append([])
            rows[row].append(place)
            insort(rooms, (room - size, row))
        found += [[block[place] for place in sorted(row)] for row in sorted(rows, key=min)]
    return found


@dataclass(frozen=True)
class Packed:
    """Sequences over epochs as the loop's source: ``rows`` packed rows a step. The last step may have fewer. most:
    steps after which it ends; 0: none."""

    sequences: Sequence[Sequenced]
    seq_len: int
    rows: int
    epochs: int
    seed: int
    most: int = 0
    plan: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        sizes = [len(each.ids) - 1 for each in self.sequences]
        for epoch in range(self.epochs):
            order = shuffled(len(sizes), self.seed, epoch)
            self.plan.extend(packing(sizes, order.tolist(), self.seq_len))

    @property
    def steps(self) -> int:
        whole = -(-len(self.plan) // self.rows)
        return min(self.most, whole) if self.most else whole

    def batch(self, step: int) -> TokenBatch:
        """See trainer.loop.Source."""
        rows = self.plan[step * self.rows : (step + 1) * self.rows]
        return packed([[self.sequences[number] for number in row] for row in rows], self.seq_len)

    def tokens(self, step: int) -> int:
        """Tokens of the rows before a step."""
        return min(step * self.rows, len(self.plan)) * self.seq_len
