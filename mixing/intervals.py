"""Intervals from few repetitions: seeds, bootstrap draws.

Legend: R repetitions, k domains.
"""

import math

import numpy as np

from jacorpus.report.numbers import Interval

LEVEL = 0.95
MANY = 100
"""From so many repetitions on an interval is their percentiles, below Student's: those of 20 hold 85 to 90 % of what
they should."""

_SAME = 1e-6


def clear(interval: Interval) -> bool:
    """0 is not inside."""
    return not interval.low <= 0 <= interval.high


def interval_of(weights: np.ndarray, replicates: np.ndarray) -> tuple[Interval, ...]:
    """Of each weight [k] from its replicates [R, k], within [0, 1] and around the weight itself; without two
    replicates the weight alone.

    Where the weights are the mean of their replicates (seeds), 95 % of where such means lie; else (draws) 95 % of where
    another replicate would.
    """
    averaged = len(replicates) >= 2 and float(np.abs(replicates.mean(0) - weights).sum()) < _SAME
    found = []
    for i, weight in enumerate(weights):
        low = high = float(weight)
        if len(replicates) >= 2:
            low, high = _span(replicates[:, i], averaged)
        found.append(Interval(float(weight), max(0.0, min(low, weight)), min(1.0, max(high, weight))))
    return tuple(found)


def _span(values: np.ndarray, averaged: bool) -> tuple[float, float]:
    count = len(values)
    if count >= MANY and not averaged:
        low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return float(low), float(high)
    half = student(count) * float(values.std(ddof=1)) * math.sqrt((0 if averaged else 1) + 1 / count)
    return float(values.mean()) - half, float(values.mean()) + half


def paired(differences: np.ndarray) -> Interval:
    """Mean of paired differences [R] with Student's interval; of one difference the line is endless."""
    mean = float(differences.mean())
    if len(differences) < 2:
        return Interval(mean, -math.inf, math.inf)
    half = student(len(differences)) * float(differences.std(ddof=1)) / math.sqrt(len(differences))
    return Interval(mean, mean - half, mean + half)


def student(repetitions: int) -> float:
    """Two-sided 95 % quantile of Student's t with one degree of freedom fewer."""
    from scipy.special import stdtrit

    return float(stdtrit(repetitions - 1, (1 + LEVEL) / 2))
