"""Probabilities of grams by interpolated back-off over weighted counts, and the slope of their log-likelihood.

A gram g of n tokens has a context c (g without its last token) and a suffix s (g without its first one). With counts of
domain i weighted by r_i, N(g) = sum_i r_i seen_i(g) and H(c) = sum_i r_i followed_i(c):

    p(g) = (N(g) + m_n p(s)) / (H(c) + m_n)        and 1/V below a single token

which is the mean of a Dirichlet whose prior is the next shorter context's model with the weight of m_n tokens (MacKay
and Bauman Peto 1995). The slope goes backwards through the same recursion: by p, then by N, H and p(s) at once.

Legend: G grams with the empty one at place 0, shorter ones first; C contexts, shorter ones first; k domains; V ids;
m [n]: weight of the shorter context for grams of 1, 2, ... tokens.
"""

from typing import NamedTuple

import numpy as np
from numba import njit


class Grams(NamedTuple):
    """Grams and their counts.

    contexts, suffixes: int32 [G], places among contexts and among grams. levels: int64 [n+1], grams of j tokens are
    [levels[j-1], levels[j]); context_levels: int64 [n+1], their contexts likewise, the empty one first. seen_: domain i
    has the grams seen_grams[seen_starts[i]:seen_starts[i+1]], int32, rising, as often as seen_counts says, int32.
    followed_: the same of contexts.
    """

    contexts: np.ndarray
    suffixes: np.ndarray
    levels: np.ndarray
    context_levels: np.ndarray
    seen_starts: np.ndarray
    seen_grams: np.ndarray
    seen_counts: np.ndarray
    followed_starts: np.ndarray
    followed_contexts: np.ndarray
    followed_counts: np.ndarray


def probabilities_naive(grams: Grams, rates: np.ndarray, m: np.ndarray, floor: float) -> list[float]:
    """p of each gram. rates: r [k]; floor: 1/V."""
    seen: dict[int, float] = {}
    followed: dict[int, float] = {}
    for i, rate in enumerate(rates.tolist()):
        for at in range(grams.seen_starts[i], grams.seen_starts[i + 1]):
            g = int(grams.seen_grams[at])
            seen[g] = seen.get(g, 0.0) + rate * int(grams.seen_counts[at])
        for at in range(grams.followed_starts[i], grams.followed_starts[i + 1]):
            c = int(grams.followed_contexts[at])
            followed[c] = followed.get(c, 0.0) + rate * int(grams.followed_counts[at])
    found = [floor]
    for n, weight in enumerate(m.tolist(), 1):
        for g in range(grams.levels[n - 1], grams.levels[n]):
            total = followed.get(int(grams.contexts[g]), 0.0)
            found.append((seen.get(g, 0.0) + weight * found[grams.suffixes[g]]) / (total + weight))
    return found


@njit(cache=True, nogil=True)
def _pooled(starts, places, counts, rates, total):
    """Add counts times rates to total, domain by domain: one with the rate 0 is not read."""
    for i in range(len(rates)):
        rate = rates[i]
        if rate != 0.0:
            for at in range(starts[i], starts[i + 1]):
                total[places[at]] += rate * counts[at]


@njit(cache=True, nogil=True)
def _by_rate(starts, places, counts, drive, slope):
    """Add to slope [k] what drive, the derivatives by pooled counts, gives by rate."""
    for i in range(len(slope)):
        total = 0.0
        for at in range(starts[i], starts[i + 1]):
            total += drive[places[at]] * counts[at]
        slope[i] += total


@njit(cache=True, nogil=True)
def _forward(contexts, suffixes, levels, context_levels, m, p, inverse):
    """p holds pooled counts of grams and becomes p; inverse holds those of contexts and becomes 1 / (H + m)."""
    for n in range(len(m)):
        weight = m[n]
        for c in range(context_levels[n], context_levels[n + 1]):
            inverse[c] = 1.0 / (inverse[c] + weight)
        for g in range(levels[n], levels[n + 1]):
            p[g] = (p[g] + weight * p[suffixes[g]]) * inverse[contexts[g]]


@njit(cache=True, nogil=True)
def _backward(contexts, suffixes, levels, m, p, inverse, drive, by_total):
    """drive holds derivatives by p [G] and becomes those by N; by_total [C] becomes those by H."""
    for n in range(len(m) - 1, -1, -1):
        for g in range(levels[n], levels[n + 1]):
            c = contexts[g]
            by_count = drive[g] * inverse[c]
            drive[g] = by_count
            drive[suffixes[g]] += by_count * m[n]
            by_total[c] -= by_count * p[g]


def log_likelihood(p: np.ndarray, weights: np.ndarray) -> float:
    """Sum of weights log p, nats."""
    return float(np.sum(weights * np.log(p)))


def probabilities(
    grams: Grams, rates: np.ndarray, m: np.ndarray, floor: float, inverse: np.ndarray | None = None
) -> np.ndarray:
    """float64 [G]: p of each gram, floor at place 0. rates float64 [k]: r; m float64 [n], above 0; floor: 1/V.

    inverse: zeros [C], where given, which become 1 / (H + m) of each context.
    """
    p = np.zeros(len(grams.contexts))
    if inverse is None:
        inverse = np.zeros(grams.context_levels[-1])
    _pooled(grams.seen_starts, grams.seen_grams, grams.seen_counts, rates, p)
    _pooled(grams.followed_starts, grams.followed_contexts, grams.followed_counts, rates, inverse)
    p[0] = floor
    _forward(grams.contexts, grams.suffixes, grams.levels, grams.context_levels, m, p, inverse)
    return p


def with_slope(
    grams: Grams, rates: np.ndarray, m: np.ndarray, floor: float, weights: np.ndarray
) -> tuple[float, np.ndarray]:
    """(sum over grams of weights [G] log p, nats, its derivative by rate [k])."""
    inverse = np.zeros(grams.context_levels[-1])
    p = probabilities(grams, rates, m, floor, inverse)
    drive, by_total, slope = weights / p, np.zeros(len(inverse)), np.zeros(len(rates))
    _backward(grams.contexts, grams.suffixes, grams.levels, m, p, inverse, drive, by_total)
    _by_rate(grams.seen_starts, grams.seen_grams, grams.seen_counts, drive, slope)
    _by_rate(grams.followed_starts, grams.followed_contexts, grams.followed_counts, by_total, slope)
    return log_likelihood(p, weights), slope
