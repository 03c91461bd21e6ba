"""What is asked of a mixture, with all names resolved: domains, targets, limits, prior, budget.

Legend: k domains in the order of sorted names, J held-out sets.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from jacorpus.errors import InputError, RecipeError
from mixing.domains import AXES, Domains
from mixing.limits import Bound, Limits
from mixing.projection import project
from mixing.repeats import effective, next_value
from mixing.settings import MixingSettings

ONLY_MEASURED, NO_TOKENS = " is only measured on", " has no tokens"
"""How the labels of limits end that follow from what there is."""


@dataclass(frozen=True, eq=False)
class Problem:
    """A mixture's task.

    domains: those to weigh, then those only measured on (``held_out``), whose weight is bound to 0. target: {held-out
    set: weight} of sum 1; given: the recipe named one. keep: ({held-out set: weight} of sum 1, allowed share) each.
    limits: on weights; prior [k] within them. tokens: of the training run, 0 unknown; repeats: their value falls.
    words: the target as it was written, to name things by.
    """

    domains: Domains
    target: dict[str, float]
    given: bool
    limits: Limits
    prior: np.ndarray
    prior_strength: float = 0.0
    worst_case: float = 0.0
    keep: tuple[tuple[str, dict[str, float], float], ...] = ()
    tokens: float = 0.0
    repeats: bool = True
    seeds: int = 3
    draws: int = 20
    seed: int = 0
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def sets(self) -> tuple[str, ...]:
        """Held-out sets that can be measured on: all domains with held-out text."""
        return tuple(domain.name for domain in self.domains.all if domain.valid_tokens)

    def weight_of(self, sets: tuple[str, ...], table: dict[str, float] | None = None) -> np.ndarray:
        """float64 [J]: the target's weights (or a table's) in the order of ``sets``."""
        given = self.target if table is None else table
        return np.array([given.get(name, 0.0) for name in sets])

    def within(self, weights: np.ndarray) -> np.ndarray:
        """The nearest mixture (in KL) that keeps the limits. Zeros that limits forbid are lifted first."""
        if self.limits.violation(weights) <= 1e-12:
            return weights
        return project(np.where(weights > 0, weights, 1e-12), self.limits)

    def shares(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(what the weights are worth as shares of new text [k], its derivative [k]); the weights where nothing is
        known of repeats."""
        if not (self.repeats and self.tokens):
            return weights, np.ones_like(weights)
        unique = np.maximum(self.domains.array("tokens"), 1e-9)
        seen = weights * self.tokens
        return np.asarray(effective(seen, unique)) / self.tokens, np.asarray(next_value(seen, unique))

    def epochs(self, weights: np.ndarray) -> np.ndarray:
        """float64 [k]: how often each domain's tokens are seen; NaN where no budget is known."""
        if not self.tokens:
            return np.full(len(self.domains), math.nan)
        return weights * self.tokens / np.maximum(self.domains.array("tokens"), 1)

    def freed_of(self, label: str) -> "Problem":
        """Without the limit of this label, its prior as it was."""
        bounds = tuple(bound for bound in self.limits.bounds if bound.label != label)
        return replace(self, limits=Limits(self.limits.names, bounds))


def problem_of(settings: MixingSettings, domains: Domains) -> Problem:
    """Resolve a recipe's wishes. Raises RecipeError for unknown names and for limits that can't hold together, and
    InputError for domains or targets without text."""
    for name in settings.held_out:
        _meant("held_out", name, domains.index)
    only_measured = set(settings.held_out)
    trained = [d for d in domains.all if d.name not in only_measured]
    _check_text(settings, domains, only_measured)
    if not any(d.tokens for d in trained):
        todo = "leave one of held_out's out of it" if only_measured else "add documents and encode again"
        raise InputError(f"no domain is left that has tokens to train on: {todo}")
    target, words = _target(settings.target, domains)
    limits = Limits(domains.names, tuple(_bounds(settings, domains, only_measured)))
    limits.check()
    problem = Problem(
        *(domains, target, bool(settings.target), limits, np.zeros(0)),
        prior_strength=settings.prior_strength,
        worst_case=settings.worst_case,
        keep=tuple((word, _sets(f"keep.{word}", word, domains), share) for word, share in settings.keep.items()),
        **{name: getattr(settings, name) for name in ("tokens", "repeats", "seeds", "draws", "seed")},
        words=words,
    )
    return replace(problem, prior=problem.within(_prior(settings, domains, only_measured)))


def _meant(key: str, written: Any, find: Callable[[Any], Any]) -> Any:
    """What ``find`` finds. Raises its RecipeError, with the key that it was written under."""
    try:
        return find(written)
    except RecipeError as error:
        raise RecipeError(f"[mixing] {key}: {error}") from None


def _check_text(settings: MixingSettings, domains: Domains, only_measured: set[str]) -> None:
    """Domains that have to have some weight need text to train on, and may be trained on."""
    wanted = [("bounds", name, least) for name, (least, _) in settings.bounds.items()]
    wanted += [] if isinstance(settings.prior, str) else [("prior", *each) for each in settings.prior.items()]
    for key, name, weight in wanted:
        axes = [axis for axis in AXES if key == "bounds" and name not in domains.names and name in domains.values(axis)]
        if axes:
            raise RecipeError(
                f"[mixing] bounds: `{name}` is a {axes[0]} and no domain; bound its total with "
                f"{axes[0]}s = {{ {name} = [least, most] }}"
            )
        _meant(key, name, domains.index)
        if weight and name in only_measured:
            raise RecipeError(f"[mixing] {key} gives `{name}` a weight, and held_out keeps it from training: drop one")
        if weight and not domains[name].tokens:
            raise InputError(
                f"[mixing] {key} gives `{name}` a weight, and it has no tokens to train on: add documents and encode "
                f"again, or leave it out"
            )


def _prior(settings: MixingSettings, domains: Domains, only_measured: set[str]) -> np.ndarray:
    open_k = np.array([d.tokens > 0 and d.name not in only_measured for d in domains.all])
    if settings.prior == "natural":
        weights = domains.natural * open_k
    elif settings.prior == "uniform":
        weights = open_k.astype(float)
    else:
        assert not isinstance(settings.prior, str)
        weights = _meant("prior", settings.prior, domains.vector) * open_k
    if not weights.sum():
        raise RecipeError("[mixing] prior gives weight to no domain that has tokens to train on")
    return weights / math.fsum(weights)


def _sets(what: str, word: str, domains: Domains) -> dict[str, float]:
    """{held-out set: weight} of a word; domains of a language or type count alike."""
    names = [name for name in _meant(what, word, domains.of_word) if domains[name].valid_tokens]
    if not names:
        raise InputError(
            f"[mixing] {what}: `{word}` has no held-out document to measure on; add documents, or hold out more with "
            f"valid_ratio in the corpus recipe, and encode again"
        )
    return dict.fromkeys(names, 1.0 / len(names))


def _target(given: Mapping[str, float], domains: Domains) -> tuple[dict[str, float], dict[str, tuple[str, ...]]]:
    """({held-out set: weight}, {word: its sets})."""
    table = dict(given)
    if not table:
        table = {domain.name: 1.0 for domain in domains.all if domain.valid_tokens}
        if not table:
            raise InputError(
                "no domain has a held-out document, so no mixture can be measured; hold out some with valid_ratio in "
                "the corpus recipe and encode again"
            )
    total = math.fsum(table.values())
    if total <= 0:
        raise RecipeError("[mixing] target needs a weight above 0, such as { ja = 1.0 }")
    found: dict[str, float] = {}
    words = {}
    for word, weight in sorted(table.items()):
        if weight:
            sets = _sets("target", word, domains)
            words[word] = tuple(sets)
            for name, share in sets.items():
                found[name] = found.get(name, 0.0) + weight / total * share
    return dict(sorted(found.items())), words


def _bounds(settings: MixingSettings, domains: Domains, only_measured: set[str]) -> list[Bound]:
    found = []

    def one(name: str) -> np.ndarray:
        return np.array([name == other for other in domains.names])

    for domain in domains.all:
        if domain.name in only_measured:
            found.append(Bound(domain.name + ONLY_MEASURED, one(domain.name), 0.0, 0.0))
        elif not domain.tokens:
            found.append(Bound(domain.name + NO_TOKENS, one(domain.name), 0.0, 0.0))
    for name, (least, most) in sorted(settings.bounds.items()):
        found.append(Bound(_label(name, least, most), one(name), least, most))
    for axis, table in (("language", settings.languages), ("type", settings.types)):
        for value, (least, most) in sorted(table.items()):
            label = _label(f"{axis} {value}", least, most)
            found.append(Bound(label, domains.members(axis, value), least, most))
    caps = dict(settings.epochs) if isinstance(settings.epochs, Mapping) else {}
    if settings.epochs and not settings.tokens:
        raise RecipeError("[mixing] epochs needs the size of the training run: add tokens = ... to [mixing] or [train]")
    for word in caps:
        _meant("epochs", word, domains.of_word)
    for domain in domains.all:
        cap = _cap(caps, domain.name, domains) if isinstance(settings.epochs, Mapping) else settings.epochs
        if cap and domain.tokens and domain.name not in only_measured:
            most = cap * domain.tokens / settings.tokens
            if most < 1:
                label = (
                    f"{domain.name} <= {most:.4g} ({cap:g} epoch{'' if cap == 1 else 's'} of {domain.tokens:,} tokens)"
                )
                found.append(Bound(label, one(domain.name), 0.0, most))
    return found


def _cap(caps: dict[str, float], name: str, domains: Domains) -> float:
    """A domain's own cap, else the lowest of its language's and type's."""
    if name in caps:
        return caps[name]
    mine = [cap for word, cap in caps.items() if word not in domains.names and name in domains.of_word(word)]
    return min(mine, default=0.0)


def _label(what: str, least: float, most: float) -> str:
    if least == most:
        return f"{what} = {least:g}"
    if least == 0:
        return f"{what} <= {most:g}"
    return f"{what} >= {least:g}" if most == 1 else f"{what} in [{least:g}, {most:g}]"
