"""Which mixtures to run, running them, and looking for the best of what they predict (RegMix, arXiv 2407.01492).

    design      mixtures spread around a prior, near and far
    run         each to a callable that trains or counts; arrays come back
    read        runs of somebody else, from two tables
    simulate    the mean of the best of many random mixtures, by a fit of the runs

A swarm need not keep the limits of the final mixture: a fit learns more from runs on both sides of a limit, and it is
the optimizer that must keep it (Olmix does the same).

Legend: n runs, k domains in the order of sorted names, J held-out sets.
"""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jacorpus.errors import InputError, RecipeError
from mixing.limits import Limits

STRENGTHS = (0.5, 20.0)
"""Least and largest sum of a Dirichlet draw's parameters: from a domain or two alone to all near the center. RegMix
draws from .1 to 5, which leaves few runs where the answer is going to be."""

TEMPERATURE = 0.5
"""The prior's shares to this power are what draws center on, so that small domains are met more often (RegMix)."""

TIMES, ROOM = 15.0, 0.3
"""Most of a domain in a run of a design: 15 times its prior (RegMix), yet never held below .3."""

SPREAD = 3
"""Draws that each run of a design is picked from, the farthest from those picked before."""

LEAST = 2e-4
"""Shares below it are none (RegMix): too few rows to measure."""

ANCHORS = 1000
"""Draws that are brought within limits where draws don't keep them; all others lie between two of these."""

Within = Callable[[np.ndarray], np.ndarray]
"""Brings a mixture [k], zeros in it, within limits; mixing.problem.Problem.within does."""


@dataclass(frozen=True, eq=False)
class Swarm:
    """Runs: names of the k domains, sorted; names of the J held-out sets, sorted; shares [n, k]; losses [n, J]."""

    names: tuple[str, ...]
    sets: tuple[str, ...]
    shares: np.ndarray
    losses: np.ndarray

    @staticmethod
    def of(mixtures: Sequence[Mapping[str, float]], losses: Sequence[Mapping[str, float]]) -> "Swarm":
        """From tables by name; a domain left out of a run has share 0 there, and shares are brought to sum 1.

        Raises InputError for no runs, different numbers of both, a run without a loss that others have, and a mixture
        without a share above 0.
        """
        if not mixtures or len(mixtures) != len(losses):
            raise InputError(f"a swarm needs a table of losses for each mixture, got {len(mixtures)} and {len(losses)}")
        names = tuple(sorted({name for mixture in mixtures for name in mixture}))
        sets = tuple(sorted({name for each in losses for name in each}))
        for number, (mixture, each) in enumerate(zip(mixtures, losses, strict=True)):
            missing = [name for name in sets if name not in each]
            if missing:
                raise InputError(f"run {number} has no loss on {', '.join(missing)}, which other runs have")
            if not sum(mixture.values()) > 0:
                raise InputError(f"run {number} has no domain with a share above 0")
        shares = np.array([[float(mixture.get(name, 0)) for name in names] for mixture in mixtures])
        found = np.array([[float(each[name]) for name in sets] for each in losses])
        return Swarm(names, sets, shares / shares.sum(axis=1, keepdims=True), found.reshape(len(losses), len(sets)))


def drawn(prior: np.ndarray, n: int, random: np.random.Generator) -> np.ndarray:
    """[n, k]: Dirichlet draws around the prior's root, of strengths spread evenly by their logarithm.

    A domain of prior 0 has no share in any.
    """
    there = np.flatnonzero(prior > 0)
    center = prior[there] ** TEMPERATURE
    weakest, strongest = np.log(STRENGTHS)
    strength = np.exp(random.uniform(weakest, strongest, n))
    power = strength[:, None] * (center / center.sum())
    # log Gamma(a) = log Gamma(a + 1) + log(u) / a: draws of small parameters would underflow, all of a row at worst
    logs = np.log(random.standard_gamma(power + 1)) + np.log1p(-random.random(power.shape)) / power
    shares = np.exp(logs - logs.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    shares[shares < LEAST] = 0
    found = np.zeros((n, len(prior)))
    found[:, there] = shares / shares.sum(axis=1, keepdims=True)
    return found


def design(prior: np.ndarray, within: Within | None = None, runs: int = 0, seed: int = 0) -> np.ndarray:
    """float64 [runs, k]: mixtures to run; runs 0 for 3 (k + 1). The first is the prior itself.

    Each next one is, of ``SPREAD`` draws a run, the farthest from its nearest neighbor in sqrt r. within: brings each
    within limits, where a trial outside can't be had. Raises RecipeError for a prior that is none and for fewer runs
    than domains and one, which no fit could use.
    """
    prior = np.asarray(prior, np.float64)
    if not (np.isfinite(prior).all() and (prior >= 0).all() and prior.sum() > 0):
        raise RecipeError(f"a swarm is drawn around a prior of shares, 0 or more and not all 0, got {prior.tolist()}")
    prior = prior / prior.sum()
    k = int((prior > 0).sum())
    runs = runs or 3 * (k + 1)
    if runs < k + 1:
        raise RecipeError(f"a swarm over {k} domains needs at least {k + 1} runs, got {runs}; {3 * (k + 1)} are usual")
    random, most = np.random.default_rng(seed), np.maximum(TIMES * prior, ROOM)
    pool = prior[None]
    while len(pool) <= SPREAD * runs:
        more = drawn(prior, SPREAD * runs, random)
        pool = np.concatenate([pool, more[(more <= most).all(axis=1)]])
    found = pool[_farthest(np.sqrt(pool[: SPREAD * runs + 1]), runs)]
    return found if within is None else np.array([within(each) for each in found])


def _farthest(points: np.ndarray, n: int) -> list[int]:
    """Places of n points, from the first on, each the farthest from those before it."""
    picked = [0]
    apart = ((points - points[0]) ** 2).sum(axis=1)
    while len(picked) < n:
        picked.append(int(apart.argmax()))
        apart = np.minimum(apart, ((points - points[picked[-1]]) ** 2).sum(axis=1))
    return picked


def run(
    mixtures: Sequence[Mapping[str, float]],
    losses_of: Callable[[dict[str, float]], Mapping[str, float]],
    progress: Callable[[int, int], None] | None = None,
) -> Swarm:
    """Ask for the losses of each mixture. progress hears (runs done, runs).

    Whoever answers keeps what is done: a sweep that was stopped goes on where it was when it is asked for again.
    Raises what ``losses_of`` raises, and InputError as ``Swarm.of``.
    """
    losses = []
    for number, mixture in enumerate(mixtures):
        if progress:
            progress(number, len(mixtures))
        losses.append(losses_of({name: float(share) for name, share in sorted(mixture.items()) if share > 0}))
    if progress:
        progress(len(mixtures), len(mixtures))
    return Swarm.of(mixtures, losses)


def read(mixtures: Path, losses: Path, domain: str = "{}", held_out: str = "{}") -> Swarm:
    """Runs from two CSV files, joined on their column ``index``; columns are matched by name, in any order.

    domain, held_out: how columns are called, such as ``train_the_pile_{}`` of RegMix's tables; others are not read.
    Runs that only one file has are left out. Raises InputError for files that can't be read so.
    """
    left, right = _table(mixtures, domain), _table(losses, held_out)
    both = sorted(left.keys() & right.keys())
    if not both:
        raise InputError(f"{mixtures} and {losses} have no value of `index` in common, so no run can be joined")
    return Swarm.of([left[index] for index in both], [right[index] for index in both])


def _table(path: Path, pattern: str) -> dict[float, dict[str, float]]:
    """{index: {name: value}} of the columns of that pattern."""
    before, _, after = pattern.partition("{}")
    found = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                found[float(row["index"])] = {
                    name[len(before) : len(name) - len(after)]: float(value)
                    for name, value in row.items()
                    if name != "index" and name.startswith(before) and name.endswith(after)
                }
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is no table of runs, numbers with a column `index`: {error!r}") from error
    if not found or not all(found.values()):
        raise InputError(f"{path} has no run, or no column called like `{pattern}`")
    return found


def candidates(prior: np.ndarray, limits: Limits, within: Within, n: int, seed: int = 0) -> np.ndarray:
    """[n, k]: random mixtures within limits.

    Draws around the prior that keep them, and in place of the others mixtures between two of up to ``ANCHORS`` draws
    that ``within`` has moved: limits are convex.
    """
    random = np.random.default_rng(seed)
    found = drawn(prior, n, random)
    totals, slack = found @ limits.matrix.T, 1e-12
    kept = ((found >= limits.lower - slack) & (found <= limits.upper + slack)).all(axis=1)
    kept &= ((totals >= limits.spans[:, 0] - slack) & (totals <= limits.spans[:, 1] + slack)).all(axis=1)
    outside = np.flatnonzero(~kept)
    if len(outside):
        anchors = np.array([within(each) for each in found[outside[:ANCHORS]]])
        one, other = random.integers(0, len(anchors), (2, len(outside)))
        part = random.random(len(outside))[:, None]
        found[outside] = part * anchors[one] + (1 - part) * anchors[other]
    return found


def simulate(
    predict: Callable[[np.ndarray], np.ndarray],
    limits: Limits,
    prior: np.ndarray,
    within: Within,
    seed: int = 0,
    draws: int = 100_000,
    best: int = 100,
) -> np.ndarray:
    """float64 [k]: mean of the mixtures of least predicted loss among random ones; within the limits as they are.

    predict: shares [m, k] to what is to be small [m]. The mean of many damps what a fit makes up in one place.
    """
    found = candidates(prior, limits, within, draws, seed)
    values = np.concatenate([predict(part) for part in np.array_split(found, max(1, len(found) // 10_000))])
    chosen = np.argsort(values, kind="stable")[:best]
    return found[chosen].mean(axis=0)
