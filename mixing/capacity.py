"""The mixture that a minimax over tabular models has to find: the input that a channel's capacity is reached with.

A channel takes a domain i and gives out a token v with probability P_iv. Between a weigher of domains and a model that
may be any distribution q, with the loss of each domain over a reference's loss b_i as payoff,

    max_a min_q sum_i a_i (-sum_v P_iv log q_v - b_i)  =  max_a H(aP) - a.b          (the best reply to a is q = aP)

With b_i = H(P_i), each domain's own best loss, this is the capacity of P, and a the input that reaches it: Cover and
Thomas, Elements of Information Theory, 7.1 and 10.8. Found by Arimoto's and Blahut's iteration (IEEE Trans. Inf. Theory
18, 1972), finished by Newton's on the inputs it leaves in use.

Legend: k domains, V tokens; nats.
"""

import math
from dataclasses import dataclass

import numpy as np

from jacorpus.errors import InputError

ITERATIONS = 20_000
_IN_USE = 1e-7


@dataclass(frozen=True, eq=False)
class Capacity:
    """weights [k]: the input; nats: the value; gap: the value is within this of the best, which is proven by it."""

    weights: np.ndarray
    nats: float
    gap: float


def entropies(distributions: np.ndarray) -> np.ndarray:
    """float64 [k]: of each row, nats."""
    logs = np.log(distributions, where=distributions > 0, out=np.zeros_like(distributions))
    return -(distributions * logs).sum(1)


def capacity(channel: np.ndarray, cost: np.ndarray | None = None, tolerance: float = 1e-13) -> Capacity:
    """The weights of greatest H(aP) - a.cost.

    channel: float64 [k, V], rows of sum 1. cost: float64 [k], default each row's entropy, which makes the value the
    channel's capacity. Raises InputError for rows that are no distributions.
    """
    P = np.asarray(channel, float)
    if P.ndim != 2 or not P.size or P.min() < 0 or not np.allclose(P.sum(1), 1, atol=1e-9):
        raise InputError("a channel needs a row of probabilities for each domain, each of sum 1")
    P = P[:, P.sum(0) > 0]
    b = entropies(P) if cost is None else np.asarray(cost, float)
    weights = np.full(len(P), 1 / len(P))
    for _ in range(ITERATIONS):
        drive = _drive(weights, P, b)
        if drive.max() - weights @ drive < tolerance:
            break
        weights = weights * np.exp(drive - drive.max())
        weights /= weights.sum()
    return min((_judged(found, P, b) for found in (weights, _newton(weights, P, b))), key=lambda each: each.gap)


def _drive(weights: np.ndarray, P: np.ndarray, b: np.ndarray) -> np.ndarray:
    """float64 [k]: each domain's loss under the best reply, less its cost. The value is its mean by weight, and no
    weights are worth more than its largest."""
    return -P @ np.log(np.maximum(weights @ P, 1e-300)) - b


def _judged(weights: np.ndarray, P: np.ndarray, b: np.ndarray) -> Capacity:
    drive = _drive(weights, P, b)
    nats = float(weights @ drive)
    return Capacity(weights, nats, max(float(drive.max()) - nats, 0.0))


def _newton(start: np.ndarray, P: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Equal drives of all domains in use; the start again where that has no answer among weights of 0 or more."""
    used = np.flatnonzero(start > _IN_USE)
    some, costs, weights = P[used], b[used], start[used] / start[used].sum()
    for _ in range(20):
        curve = -(some / np.maximum(weights @ some, 1e-300)) @ some.T  # of the drive, by weight
        system = np.block([[curve, -np.ones((len(used), 1))], [np.ones((1, len(used))), np.zeros((1, 1))]])
        move = np.linalg.lstsq(system, np.append(_level(weights, some, costs), 0.0), rcond=None)[0][:-1]
        weights = weights + move
        if not np.isfinite(weights).all() or weights.min() < 0:
            return start
        if np.abs(move).max() < 1e-15:
            break
    found = np.zeros(len(start))
    found[used] = weights / weights.sum()
    return found


def _level(weights: np.ndarray, P: np.ndarray, b: np.ndarray) -> np.ndarray:
    """What the drives miss to their mean."""
    drive = _drive(weights, P, b)
    return weights @ drive - drive


def z_channel(q: float) -> np.ndarray:
    """float64 [2, 2]: the first input is always told right, the second is taken for it with probability q."""
    return np.array([[1.0, 0.0], [q, 1.0 - q]])


def z_channel_capacity(q: float) -> Capacity:
    """Of ``z_channel(q)``, 0 < q < 1, in closed form: a_2 = 1 / ((1-q)(1 + e^(H(q)/(1-q)))), ln(1 + (1-q) q^(q/(1-q))).

    >>> round(float(z_channel_capacity(0.5).weights[1]), 12)
    0.4
    """
    entropy = -q * math.log(q) - (1 - q) * math.log(1 - q)
    second = 1 / ((1 - q) * (1 + math.exp(entropy / (1 - q))))
    return Capacity(np.array([1 - second, second]), math.log1p((1 - q) * q ** (q / (1 - q))), 0.0)
