"""What text is worth when it is trained on again: d tokens seen of U unique ones count as h(d; U) new ones.

    h = min(d, U) + U R* (1 - exp(-max(d - U, 0) / (U R*)))        R* = 15.387756
    h' = 1 up to U, exp(-(d - U) / (U R*)) beyond                  what the next token is worth

h is concave with a continuous slope, so planning with it stays convex. It never reaches U (1 + R*) = 16.4 U. It is not
min(d, some ceiling): the curve lies below both lines everywhere.

Source: N. Muennighoff et al., arXiv 2305.16264; R* to all digits from huggingface/datablations (1370131). Fitted on
English web text repeated as a whole; that a domain repeated inside a mixture fares the same is an assumption. A later
law (arXiv 2605.01640, known to us from accounts of others alone) has repeats turn harmful after some epochs, which this
one never does.

Legend: d tokens seen, U unique tokens, e = d/U epochs; numbers or float64 arrays, by element.
"""

from typing import TypeAlias

import numpy as np

Number: TypeAlias = float | np.ndarray
"""A float, or many at once as float64; functions go by element."""

R_STAR = 15.387756
"""R_D*: epochs beyond the first at which a repeated token is worth 1/e of a new one."""


def effective(seen: Number, unique: Number, r_star: float = R_STAR) -> Number:
    """h(d; U): how many new tokens d seen ones are worth. Nothing is worth nothing: h(d; 0) = 0.

    >>> round(effective(890e9, 412.5e9) / 890e9, 4)  # 2.2 epochs
    0.9803
    """
    d, U = np.asarray(seen, np.float64), np.asarray(unique, np.float64)
    beyond = np.maximum(d - U, 0.0)
    scale = np.where(U > 0, U * r_star, 1.0)
    found = np.minimum(d, U) + np.where(U > 0, -scale * np.expm1(-beyond / scale), 0.0)
    return found if found.ndim else float(found)


def next_value(seen: Number, unique: Number, r_star: float = R_STAR) -> Number:
    """h'(d; U): what one more token is worth, 1 for new text; 0 where there is none."""
    d, U = np.asarray(seen, np.float64), np.asarray(unique, np.float64)
    scale = np.where(U > 0, U * r_star, 1.0)
    found = np.where(U > 0, np.exp(-np.maximum(d - U, 0.0) / scale), 0.0)
    return found if found.ndim else float(found)


def curvature(seen: Number, unique: Number, r_star: float = R_STAR) -> Number:
    """h''(d; U): 0 up to U, below 0 beyond; it jumps at U."""
    d, U = np.asarray(seen, np.float64), np.asarray(unique, np.float64)
    scale = np.where(U > 0, U * r_star, 1.0)
    found = np.where((U > 0) & (d > U), -np.exp(-np.maximum(d - U, 0.0) / scale) / scale, 0.0)
    return found if found.ndim else float(found)


def value_at(epochs: Number, r_star: float = R_STAR) -> Number:
    """h(eU; U) / (eU): what a token is worth on average after so many epochs; 1 up to the first.

    >>> [round(value_at(e), 3) for e in (2, 4, 10, 40)]
    [0.984, 0.931, 0.781, 0.379]
    """
    e = np.asarray(epochs, np.float64)
    found = np.where(e > 1, effective(e, 1.0, r_star) / np.maximum(e, 1.0), 1.0)
    return found if found.ndim else float(found)


def seen_for(wanted: Number, unique: Number, r_star: float = R_STAR) -> Number:
    """d with h(d; U) = wanted; inf from the ceiling U (1 + R*) on, where no number of epochs is enough."""
    h, U = np.asarray(wanted, np.float64), np.asarray(unique, np.float64)
    scale = np.where(U > 0, U * r_star, 1.0)
    used = np.maximum(h - U, 0.0) / scale
    with np.errstate(divide="ignore", invalid="ignore"):
        more = np.where(used < 1, -scale * np.log1p(-np.minimum(used, 1.0)), np.inf)
    found = np.where(h <= U, h, np.where(U > 0, U + more, np.inf))
    return found if found.ndim else float(found)
