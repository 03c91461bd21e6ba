"""The scaling law fitted to runs of your own: points (N, D, loss) in, constants and their doubt out.

    minimize  sum over points of Huber_0.001( ln L - LSE(ln A - a ln N, ln B - b ln D, ln E) )

as J. Hoffmann et al. fit it (arXiv 2203.15556, approach 3), with three differences that make the least value sure:
ln N and ln D are counted from their means, since A with a and B with b are else correlated above .99; the sum is
divided by the Huber width, since it is so small that a library's default tolerance would stop early; and starts come
from a grid of (a, b), for which the best A, B, E >= 0 are a small linear problem, in place of a grid of all five.

    with a, b fixed:  L = A N^-a + B D^-b + E  is linear in (A, B, E): non-negative least squares of relative errors
    the best 16 of 100 such starts go through BFGS

A bootstrap draws points with replacement and fits again from the answer.

Legend: n points; x = ln N, z = ln D, y = ln L, float64 [n]; theta = (ln A, ln B, ln E, a, b).
"""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jacorpus.errors import InputError
from mixing.scaling import Law

WIDTH = 1e-3
"""Of the Huber loss: errors of over a thousandth count by their size, not its square."""

EXPONENTS = np.linspace(0.1, 1.0, 10)
POLISHED = 16
LEAST_POINTS = 6

_COLUMNS = {
    "parameters": ("parameters", "n", "params", "model size"),
    "tokens": ("tokens", "d", "training tokens"),
    "flops": ("flops", "c", "flop", "training flop"),
    "loss": ("loss", "l"),
}


@dataclass(frozen=True, eq=False)
class Points:
    """Runs: parameters N, tokens D, final losses in nats a token; float64 [n] each."""

    parameters: np.ndarray
    tokens: np.ndarray
    losses: np.ndarray

    def __len__(self) -> int:
        return len(self.losses)

    def without_largest(self, number: int) -> "Points":
        """Without the ``number`` largest losses (those that tie with the last of them go too)."""
        if not number:
            return self
        return self.taken(np.flatnonzero(self.losses < np.sort(self.losses)[-number]))

    def taken(self, rows: np.ndarray) -> "Points":
        """Some of the points, by place."""
        return Points(self.parameters[rows], self.tokens[rows], self.losses[rows])


@dataclass(frozen=True, eq=False)
class Fit:
    """law: what was found. objective: the sum above. agreed: how many of the polished starts came within 1e-6 of it."""

    law: Law
    objective: float
    points: int
    agreed: int
    starts: int


def read_points(path: Path) -> Points:
    """Of a CSV with a header, or JSON: a list of objects, or an object of lists.

    Columns, in any case: N (parameters, params, model size), D (tokens, training tokens) or C (flops), from which
    D = C/(6N), and loss. Raises InputError with the row that is wrong.
    """
    rows = _rows(path)
    there = {str(key).strip().lower(): key for key in rows[0]} if rows else {}
    keys = {what: next((there[n] for n in names if n in there), None) for what, names in _COLUMNS.items()}
    missing = [what for what in ("parameters", "loss") if keys[what] is None]
    if keys["tokens"] is None and keys["flops"] is None:
        missing.append("tokens (or flops)")
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(missing)}; a point is N (parameters), D (tokens) or C (flops), and loss; "
            f"there are {', '.join(map(str, there.values())) or 'none'}"
        )
    given = {what: _column(path, rows, key) for what, key in keys.items() if key is not None}
    tokens = given["tokens"] if "tokens" in given else given["flops"] / (6 * given["parameters"])
    return Points(given["parameters"], tokens, given["loss"])


def _rows(path: Path) -> Sequence[Mapping[str, Any]]:
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror}); give a CSV or JSON file of points") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text; give a CSV or JSON file of points N, D, loss") from None
    if not text.lstrip().startswith(("[", "{")):
        return list(csv.DictReader(text.splitlines()))
    try:
        found = json.loads(text)
        if isinstance(found, dict):
            return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]
        return [dict(row) for row in found]
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is no list of points ({error}); each is an object with N, D and loss") from None


def _column(path: Path, rows: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    found = np.empty(len(rows))
    for i, row in enumerate(rows):
        try:
            found[i] = float(row[key])
        except (KeyError, TypeError, ValueError):
            found[i] = math.nan
        if not (math.isfinite(found[i]) and found[i] > 0):
            raise InputError(f"{path}, point {i + 1}: {key} must be a number over 0, got {row.get(key)!r}")
    return found


def objective(law: Law, points: Points) -> float:
    """The sum that a fit minimizes, for any constants. Readable twin of what ``fit`` computes."""
    total = 0.0
    for n, d, loss in zip(points.parameters, points.tokens, points.losses, strict=True):
        error = abs(math.log(loss) - math.log(law.loss(n, d)))
        total += error**2 / 2 if error <= WIDTH else WIDTH * (error - WIDTH / 2)
    return total


def fit(points: Points, name: str = "refit") -> Fit:
    """The constants that fit best. Raises InputError where the points can't tell five constants."""
    from scipy.optimize import nnls

    _check(points)
    x, z, y, centers = _logs(points)
    starts: list[tuple[float, int, np.ndarray]] = []
    for a in EXPONENTS:
        for b in EXPONENTS:
            design = np.stack([np.exp(-a * x), np.exp(-b * z), np.ones_like(x)], 1) / np.exp(y)[:, None]
            factors = np.maximum(nnls(design, np.ones_like(x))[0], 1e-6)
            theta = np.array([*np.log(factors), a, b])
            starts.append((_huber(theta, x, z, y)[0], len(starts), theta))
    ends = [_polished(theta, x, z, y) for _, _, theta in sorted(starts)[:POLISHED]]
    least, best = min(ends, key=lambda end: end[0])
    law = _law(best, centers, name, f"fitted to {len(points):,} points")
    if not all(np.isfinite(v) and v > 0 for v in (law.A, law.B, law.a, law.b)):
        raise InputError(
            f"the {len(points)} points give no law in which loss falls with N and D (a = {law.a:.3g}, "
            f"b = {law.b:.3g}); runs must differ in both, and be compared at their ends"
        )
    agreed = sum(end[0] <= least * (1 + 1e-6) for end in ends)
    return Fit(law, least * WIDTH, len(points), agreed, len(ends))


def bootstrap(points: Points, found: Fit, number: int = 200, seed: int = 0) -> Law:
    """The law on ``number`` draws of the points with replacement; its constants are arrays [number]."""
    x, z, y, centers = _logs(points)
    start = _theta(found.law, centers)
    draw = np.random.default_rng(seed)
    thetas = np.empty((number, 5))
    for i in range(number):
        rows = draw.integers(0, len(points), len(points))
        thetas[i] = _polished(start, x[rows], z[rows], y[rows])[1]
    return _law(thetas.T, centers, found.law.name, f"{number:,} bootstrap fits")


def _check(points: Points) -> None:
    varied = min(len(np.unique(points.parameters)), len(np.unique(points.tokens)))
    if len(points) < LEAST_POINTS or varied < 3:
        raise InputError(
            f"{len(points)} points of {len(np.unique(points.parameters))} sizes and {len(np.unique(points.tokens))} "
            f"token counts can't tell five constants; give at least {LEAST_POINTS}, of three sizes and three counts"
        )


def _logs(points: Points) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[float, float]]:
    """x and z from their means, y, and these means."""
    x, z = np.log(points.parameters), np.log(points.tokens)
    centers = float(x.mean()), float(z.mean())
    return x - centers[0], z - centers[1], np.log(points.losses), centers


def _theta(law: Law, centers: tuple[float, float]) -> np.ndarray:
    """Constants as ``_huber`` takes them."""
    A, B = math.log(law.A) - law.a * centers[0], math.log(law.B) - law.b * centers[1]
    return np.array([A, B, math.log(law.E), law.a, law.b])


def _law(theta: np.ndarray, centers: tuple[float, float], name: str, source: str) -> Law:
    A, B, E, a, b = theta if theta.ndim > 1 else map(float, theta)
    return Law(name, np.exp(E), np.exp(A + a * centers[0]), np.exp(B + b * centers[1]), a, b, source)


def _huber(theta: np.ndarray, x: np.ndarray, z: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """(objective / WIDTH, its gradient [5])."""
    terms = np.stack([theta[0] - theta[3] * x, theta[1] - theta[4] * z, np.full_like(x, theta[2])])
    top = terms.max(0)
    grown = np.exp(terms - top)
    total = grown.sum(0)
    error = top + np.log(total) - y
    slope = np.clip(error, -WIDTH, WIDTH)
    w = slope * grown / total / WIDTH
    gradient = np.array([w[0].sum(), w[1].sum(), w[2].sum(), -w[0] @ x, -w[1] @ z])
    return float(slope @ error - slope @ slope / 2) / WIDTH, gradient


def _polished(theta: np.ndarray, x: np.ndarray, z: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    from scipy.optimize import minimize

    # The objective is close to a sum of absolute values, whose gradient needn't get small: rounding ends the search.
    end = minimize(_huber, theta, args=(x, z, y), jac=True, method="BFGS", options={"gtol": 1e-7, "maxiter": 500})
    return float(end.fun), end.x
