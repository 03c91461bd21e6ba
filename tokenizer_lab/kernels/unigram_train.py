"""Expected uses of pieces over all segmentations, and what each piece is worth: the inner loops of Unigram training.

The text is never matched again. Each place of it knows the longest piece that begins there; the others that begin
there are its prefixes, found by going from a piece to its longest proper prefix that is a piece. When pieces go, a
place moves on to the nearest one left. A pass over 17 million characters takes half a second.

For a segment, alpha[i] is the probability of its first i characters (summed over segmentations) and beta[i] that of
the rest, divided by that of the whole; a piece of probability p from i to j is used alpha[i] * p * beta[j] times
(Kudo 2018, 1804.10959, section 3.2, there by sampling-free EM; forward-backward). Numbers near zero are brought back
by a power of two, whose place is noted, so no logarithm is taken inside.

Uses are added as whole numbers of 2**-24: the sums do not depend on the order of the segments.

Legend: C codes of the text, U segments, P pieces (0 is none; ids in order of the strings, so prefixes come first).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numba import njit

from tokenizer_lab.kernels.unigram_seeds import Seeds

ONE_USE = 1 << 24
"""Steps in which uses are counted."""

_SMALL, _LARGE = 2.0**-340, 2.0**340
_LOG_LARGE = 340 * np.log(2.0)
_NATS = 1_000_000  # steps in which log likelihood is summed
_TABLE = np.dtype([("p", np.float64), ("parent", np.uint32), ("length", np.uint32)])


@dataclass
class Pieces:
    """A set of pieces laid over a text.

    longest: uint32 [C], piece that is the longest at each place of the text. parent: uint32 [P], longest proper prefix
    that is a piece, 0 for a character. last: uint16 [P], code of the last character; length: uint8 [P]. node: int64
    [P], node of the seeds it came from.
    """

    longest: np.ndarray
    parent: np.ndarray
    last: np.ndarray
    length: np.ndarray
    node: np.ndarray

    def __len__(self) -> int:
        return len(self.parent)


def expected_naive(segments: Mapping[str, int], probability: Mapping[str, float]) -> tuple[dict[str, float], float]:
    """(uses of each piece, log likelihood) of segment -> weight, by the textbook."""
    uses = dict.fromkeys(probability, 0.0)
    total = 0.0
    for segment, weight in segments.items():
        n = len(segment)
        alpha, beta = [1.0, *[0.0] * n], [*[0.0] * n, 1.0]
        spans = [(i, j) for j in range(1, n + 1) for i in range(j) if segment[i:j] in probability]
        for i, j in spans:
            alpha[j] += alpha[i] * probability[segment[i:j]]
        for i, j in sorted(spans, reverse=True):
            beta[i] += probability[segment[i:j]] * beta[j]
        for i, j in spans:
            uses[segment[i:j]] += weight * alpha[i] * probability[segment[i:j]] * beta[j] / alpha[n]
        total += weight * float(np.log(alpha[n]))
    return uses, total


def losses_naive(score: Mapping[str, float], uses: Mapping[str, float]) -> dict[str, float]:
    """Log likelihood lost without a piece, its uses going to the best other segmentation of its string."""
    total = sum(uses.values())
    found = {}
    for piece in score:
        n = len(piece)
        if n == 1:
            continue
        best: list[tuple[float, list[str]]] = [(0.0, []), *[(-np.inf, [])] * n]
        for j in range(1, n + 1):
            for i in range(j):
                part = piece[i:j]
                if part in score and part != piece and best[i][0] + score[part] > best[j][0]:
                    best[j] = (best[i][0] + score[part], [*best[i][1], part])
        parts, own = best[n][1], uses[piece]
        after = np.log(total + own * (len(parts) - 1))
        other = sum(np.log(uses[part] + own) - after for part in parts)
        found[piece] = own * (np.log(own) - np.log(total) - other) if own > 0 else 0.0
    return found


@njit(cache=True, nogil=True)
def _forward(longest, first, n, table, alpha, raised):
    """Fill alpha[:n + 1] and mark where it was raised; returns the log of the whole."""
    alpha[: n + 1] = 0.0
    raised[: n + 1] = 0
    alpha[0] = 1.0
    raises = 0
    for k in range(n):
        i = np.uint64(k)
        if alpha[i] < _SMALL:
            raises += 1
            raised[i] = 1
            for j in range(k, min(k + 256, n + 1)):
                alpha[j] *= _LARGE
        a = alpha[i]
        id = longest[np.uint64(first) + i]
        while id != 0:
            row = table[id]
            alpha[i + np.uint64(row.length)] += a * row.p
            id = row.parent
    return np.log(alpha[n]) - raises * _LOG_LARGE


@njit(cache=True, nogil=True)
def _backward(longest, first, n, weight, table, alpha, beta, raised, uses):
    """Fill beta from alpha and add the expected uses."""
    beta[n] = 1.0 / alpha[n]
    steps = np.float64(weight) * ONE_USE
    for k in range(n - 1, -1, -1):
        i = np.uint64(k)
        a = alpha[i] * steps
        total = 0.0
        id = longest[np.uint64(first) + i]
        while id != 0:
            row = table[id]
            x = row.p * beta[i + np.uint64(row.length)]
            total += x
            x *= a
            if x > 0.5:
                uses[id] += np.int64(x + 0.5)
            id = row.parent
        beta[i] = total
        if raised[i]:
            for j in range(k, min(k + 256, n + 1)):
                beta[j] *= _LARGE


@njit(cache=True, nogil=True)
def _expect(longest, starts, weights, table, alpha, beta, raised, uses):
    nats = np.int64(0)
    for u in range(len(weights)):
        first, n = starts[u], starts[u + 1] - 1 - starts[u]
        log = _forward(longest, first, n, table, alpha, raised)
        _backward(longest, first, n, weights[u], table, alpha, beta, raised, uses)
        nats += np.int64(np.rint(log * _NATS)) * weights[u]
    return nats


@njit(cache=True, nogil=True)
def _places(longest, parent, place):
    """A place of the text where each piece stands, -1 where it stands nowhere."""
    for i in range(len(longest)):
        place[longest[i]] = i
    for id in range(len(parent) - 1, 0, -1):
        if place[parent[id]] < 0:
            place[parent[id]] = place[id]


@njit(cache=True, nogil=True)
def _losses(longest, parent, length, place, score, uses, out):
    """Log likelihood lost by each piece of two or more characters."""
    total = uses.sum()
    log_total = np.log(total)
    best = np.empty(257, np.float64)
    through = np.empty(257, np.uint32)
    for piece in range(1, len(parent)):
        n = np.int64(length[piece])
        own = uses[piece]
        if n < 2 or own <= 0 or place[piece] < 0:
            continue
        best[: n + 1] = -np.inf
        best[0] = 0.0
        for i in range(n):
            id = longest[place[piece] + i]
            while id != 0:
                j = i + np.int64(length[id])
                if j <= n and id != piece and best[i] + score[id] > best[j]:
                    best[j] = best[i] + score[id]
                    through[j] = id
                id = parent[id]
        parts, logs, j = 0, 0.0, n
        while j > 0:
            parts += 1
            logs += np.log(uses[through[j]] + own)
            j -= np.int64(length[through[j]])
        logs -= parts * np.log(total + own * (parts - 1))
        out[piece] = own * (np.log(own) - log_total - logs)


@njit(cache=True, nogil=True)
def _ranked(parent, order, keep):
    """Nearest kept node at or above each node, kept nodes numbered from 1 in the order of their strings."""
    size = keep.astype(np.int64)
    for v in range(len(parent) - 1, 0, -1):
        size[parent[v]] += size[v]
    following = np.zeros(len(parent), np.int64)
    found = np.zeros(len(parent), np.uint32)
    following[0] = 1
    for k in range(len(order)):
        v = order[k]
        rank = following[parent[v]]
        found[v] = rank if keep[v] else found[parent[v]]
        following[parent[v]] += size[v]
        following[v] = rank + keep[v]
    return found


@njit(cache=True, nogil=True)
def _move(longest, target):
    for i in range(len(longest)):
        longest[i] = target[longest[i]]


@njit(cache=True, nogil=True)
def _nearest(parent, keep):
    """New id of the nearest kept piece at or above each piece; prefixes come first."""
    found = np.zeros(len(parent), np.uint32)
    count = 0
    for id in range(1, len(parent)):
        if keep[id]:
            count += 1
            found[id] = count
        else:
            found[id] = found[parent[id]]
    return found


def laid_out(seeds: Seeds, keep: np.ndarray) -> Pieces:
    """The kept nodes (bool [nodes]; every character among them) as pieces; takes over ``seeds.longest``."""
    key = seeds.parent.astype(np.uint64) << np.uint64(16) | seeds.last
    order = np.argsort(key[1:], kind="stable") + 1
    found = _ranked(seeds.parent, order, keep)
    _move(seeds.longest, found)
    kept = np.flatnonzero(keep)
    kept = np.concatenate([np.zeros(1, np.int64), kept[np.argsort(found[kept])]])
    parent = found[seeds.parent[kept]]
    return Pieces(seeds.longest, parent, seeds.last[kept], seeds.length[kept], kept)


def thinned(pieces: Pieces, keep: np.ndarray) -> Pieces:
    """Only the kept pieces (bool [P]; every character and entry 0 among them); takes over ``pieces.longest``."""
    found = _nearest(pieces.parent, keep)
    _move(pieces.longest, found)
    return Pieces(
        pieces.longest, found[pieces.parent[keep]], *(x[keep] for x in (pieces.last, pieces.length, pieces.node))
    )


def places(pieces: Pieces) -> np.ndarray:
    """int64 [P]: a place in the text where each piece stands, -1 for those that stand nowhere."""
    place = np.full(len(pieces), -1, np.int64)
    _places(pieces.longest, pieces.parent, place)
    return place


def losses(pieces: Pieces, score: np.ndarray, uses: np.ndarray) -> np.ndarray:
    """float64 [P]: log likelihood that the text loses without each piece; 0 for characters and unused pieces."""
    place = places(pieces)
    out = np.zeros(len(pieces), np.float64)
    _losses(pieces.longest, pieces.parent, pieces.length, place, score, uses, out)
    return out


def expected_uses(
    pieces: Pieces, starts: np.ndarray, weights: np.ndarray, probability: np.ndarray
) -> tuple[np.ndarray, float]:
    """(uses int64 [P] in steps of 2**-24, log likelihood in nats) over segments; probability: float64 [P], over 0."""
    table = np.zeros(len(pieces), _TABLE)
    table["p"], table["parent"], table["length"] = probability, pieces.parent, pieces.length
    most = int(np.diff(starts).max(initial=1)) + 1
    alpha, beta, raised = np.empty(most), np.empty(most), np.empty(most, np.uint8)
    uses = np.zeros(len(pieces), np.int64)
    nats = _expect(pieces.longest, starts, weights, table.view(np.recarray), alpha, beta, raised, uses)
    return uses, nats / _NATS
