"""Worlds in which a controller's answer is known: domains are distributions over V tokens, the model a softmax table.

    world = TabularWorld.per_domain(P)                       the reference knows each domain as well as can be
    run = world.run(DoReMiController(...), steps=20_000)     Trained by gradient descent in exact expectations
    capacity(P).weights                                      what run.mean has to be

References, a distribution for each domain:

    per_domain   r_i = P_i                  the saddle is the capacity-achieving input of P (capacity.py)
    mixture      r_i = a_ref P              a table as well: the saddle is a_ref, and no weights are worth more than 0
    larger       between the two            a model that tells domains apart in part

A controller hears here what it hears from trainer.steering, and needs no torch. ``batch`` draws tokens instead of
taking expectations, domains even, as a batch of rows would: some may be absent.

Legend: k domains, V tokens, T steps; nats.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations_with_replacement
from typing import Any, Literal, Protocol

import numpy as np

from jacorpus.errors import RecipeError
from mixing.capacity import Capacity, capacity


class Controller(Protocol):
    """As trainer.steering's, as far as a tabular run asks."""

    def update(self, stats: dict[str, Any]) -> Mapping[str, float]: ...


@dataclass(frozen=True, eq=False)
class TabularRun:
    """trajectory [T, k]: the weights of each step, in the order of names; model [V]: the last one."""

    names: tuple[str, ...]
    trajectory: np.ndarray
    model: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """float64 [k]: over all steps."""
        return self.trajectory.mean(0)

    @property
    def late(self) -> np.ndarray:
        """float64 [k]: over the second half."""
        return self.trajectory[len(self.trajectory) // 2 :].mean(0)


@dataclass(frozen=True, eq=False)
class TabularWorld:
    """distributions, references: float64 [k, V], rows of sum 1; names: sorted, of the rows."""

    distributions: np.ndarray
    references: np.ndarray
    names: tuple[str, ...]

    @staticmethod
    def per_domain(distributions: np.ndarray, names: tuple[str, ...] = ()) -> "TabularWorld":
        """Each domain's reference is itself."""
        return TabularWorld(distributions, distributions, names or numbered(len(distributions)))

    @staticmethod
    def mixture(distributions: np.ndarray, weights: np.ndarray, names: tuple[str, ...] = ()) -> "TabularWorld":
        """One reference, the best table for these weights."""
        return TabularWorld.larger(distributions, weights, 0.0, names)

    @staticmethod
    def larger(
        distributions: np.ndarray, weights: np.ndarray, knowledge: float, names: tuple[str, ...] = ()
    ) -> "TabularWorld":
        """A reference that tells domains apart with ``knowledge`` from 0 (``mixture``) to 1 (``per_domain``)."""
        pooled = weights @ distributions
        references = knowledge * distributions + (1 - knowledge) * pooled
        return TabularWorld(distributions, references, names or numbered(len(distributions)))

    def split(self, name: str, copies: int) -> "TabularWorld":
        """The same text with a domain cut into identical parts, ``NAME/00`` and on."""
        i = self.names.index(name)
        rows = [j for j in range(len(self.names)) for _ in range(copies if j == i else 1)]
        parts = [f"{name}/{part:02d}" for part in range(copies)]
        names = [*self.names[:i], *parts, *self.names[i + 1 :]]
        order = np.argsort(np.array(names), kind="stable")
        rows = [rows[place] for place in order]
        return replace(
            self,
            distributions=self.distributions[rows],
            references=self.references[rows],
            names=tuple(names[place] for place in order),
        )

    @cached_property
    def costs(self) -> np.ndarray:
        """float64 [k]: the reference's loss on each domain."""
        return -_expected(self.distributions, self.references)

    def value(self, weights: np.ndarray) -> float:
        """g: the weighted excess loss of the best table for these weights, sum_i a_i (L_i - L_i(reference))."""
        pooled = weights @ self.distributions
        return float(-_expected(pooled[None], pooled[None])[0] - weights @ self.costs)

    @cached_property
    def best(self) -> Capacity:
        """The weights of greatest g, found without a controller."""
        return capacity(self.distributions, self.costs)

    def run(
        self,
        controller: Controller,
        steps: int = 20_000,
        lr: float = 1.0,
        learner: Literal["gradient", "best_reply"] = "gradient",
        batch: int = 0,
        seed: int = 0,
    ) -> TabularRun:
        """Let a controller weigh a training run.

        gradient: logits move by lr against the weighted loss's gradient, from even ones. best_reply: the model is the
        best one for the weights of the step before, the first for the even mixture; unclipped DoReMi with eta 1 is then
        the Arimoto-Blahut iteration. batch: tokens drawn for a step, 0 for expectations. Raises RecipeError for an
        answer with other names.
        """
        k, V = self.distributions.shape
        logs, logits, trajectory = _logs(self.references), np.zeros(V), np.empty((steps, k))
        rng = np.random.default_rng(seed)
        pooled = np.full(V, 1 / V) if learner == "gradient" else self.distributions.mean(0)
        tokens, drawn = dict.fromkeys(self.names, 1), self.distributions
        for step in range(steps):
            log_q = logits - _log_sum(logits) if learner == "gradient" else np.log(np.maximum(pooled, 1e-300))
            if batch:
                tokens, drawn = self._drawn(rng, batch)
            answer = controller.update(self._stats(step, lr, log_q, logs, tokens, drawn))
            if len(answer) != k:
                raise RecipeError(f"the controller weighs {sorted(answer)}; the world has {', '.join(self.names)}")
            weights = np.array([answer[name] for name in self.names])
            trajectory[step] = weights / math.fsum(weights.tolist())
            if learner == "gradient":
                there = trajectory[step] * np.array([tokens[name] > 0 for name in self.names])
                logits = logits - lr * (there.sum() * np.exp(log_q) - there @ drawn)
            else:
                pooled = trajectory[step] @ self.distributions
        return TabularRun(self.names, trajectory, np.exp(logits - _log_sum(logits)))

    def _drawn(self, rng: np.random.Generator, batch: int) -> tuple[dict[str, int], np.ndarray]:
        """(tokens of each domain, how often each token was drawn [k, V], of sum 1)."""
        k = len(self.names)
        counts = rng.multinomial(batch, np.full(k, 1 / k))
        drawn = rng.multinomial(counts, self.distributions)
        return dict(zip(self.names, counts.tolist(), strict=True)), drawn / np.maximum(counts, 1)[:, None]

    def _stats(
        self, step: int, lr: float, log_q: np.ndarray, logs: np.ndarray, tokens: dict[str, int], drawn: np.ndarray
    ) -> dict[str, Any]:
        """What the controller hears. log_q [V]; logs [k, V] of the references; drawn [k, V]."""
        over = logs - log_q
        columns = {
            "loss": -drawn @ log_q,
            "excess": (drawn * over).sum(1),
            "clipped_excess": (drawn * np.maximum(over, 0)).sum(1),
        }
        found: dict[str, Any] = {"step": step, "lr": lr, "tokens": tokens}
        for key, values in columns.items():
            found[key] = {n: value for n, value in zip(self.names, values.tolist(), strict=True) if tokens[n]}
        return found


def numbered(k: int) -> tuple[str, ...]:
    """Names whose order is that of their numbers."""
    return tuple(f"domain{i:03d}" for i in range(k))


def _logs(distributions: np.ndarray) -> np.ndarray:
    """Of 0, a number that is multiplied by 0 wherever it is used."""
    return np.log(np.maximum(distributions, 1e-300))


def _expected(P: np.ndarray, Q: np.ndarray) -> np.ndarray:
    """float64 [k]: sum_v P_iv log Q_iv."""
    return (P * _logs(Q)).sum(1)


def _log_sum(logits: np.ndarray) -> float:
    top = logits.max()
    return float(top + np.log(np.exp(logits - top).sum()))


def pseudo_count_error(p: np.ndarray, prior: np.ndarray, n: int, mass: float) -> float:
    """Expected squared distance of (counts + mass prior) / (n + mass) from p [V], counts being of n draws of p.

    (n h + mass^2 d) / (n + mass)^2 with h = sum p (1 - p) and d = |p - prior|^2: lemma 1 of DoReMi's appendix D.
    """
    h, d = float((p * (1 - p)).sum()), float(((p - prior) ** 2).sum())
    return (n * h + mass**2 * d) / (n + mass) ** 2


def pseudo_count_error_naive(p: np.ndarray, prior: np.ndarray, n: int, mass: float) -> float:
    """The same, by going through all counts that n draws can give."""
    total = []
    for drawn in combinations_with_replacement(range(len(p)), n):
        counts = np.bincount(drawn, minlength=len(p))
        ways = math.factorial(n) / math.prod(math.factorial(int(c)) for c in counts)
        chance = ways * float(np.prod(p**counts))
        total.append(chance * float((((counts + mass * prior) / (n + mass) - p) ** 2).sum()))
    return math.fsum(total)


def quadratic_run(
    controller: Controller, curvatures: np.ndarray, names: Sequence[str], steps: int, lr: float
) -> TabularRun:
    """A run on losses h_i x_i^2 / 2, each of an unknown of its own that begins at 1, for controllers of gradients.

    Their products are known: h_i^2 x_i^2 for a domain with itself, else 0; the target is all domains alike. Losses fall
    alike, and weights rest, where h_i a_i is the same for all: a_i = (1 / h_i) / sum(1 / h). (Of the kind of Example
    2.1 of PiKE, arXiv 2502.06244: quadratic losses whose gradients do not conflict.)
    """
    h, x, k = np.asarray(curvatures, float), np.ones(len(names)), len(names)
    trajectory = np.empty((steps, k))
    for step in range(steps):
        own = (h * x) ** 2
        products = {a: {b: float(own[i]) if a == b else 0.0 for b in names} for i, a in enumerate(names)}
        stats: dict[str, Any] = {"step": step, "lr": lr, "tokens": dict.fromkeys(names, 1), "products": products}
        stats["alignment"] = {a: float(own[i]) / k for i, a in enumerate(names)}
        stats["gradient_norm"] = {a: float(abs(h[i] * x[i])) for i, a in enumerate(names)}
        answer = controller.update(stats)
        trajectory[step] = [answer[name] for name in names]
        x = x * (1 - lr * h * trajectory[step])
    return TabularRun(tuple(names), trajectory, x)
