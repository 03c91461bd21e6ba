"""A recipe's [mixing] table, typed and strict.

[mixing]
method = "mixmin"                      # a file of mixing/methods, or your_module:Class
target = { ja = 1.0 }                  # domains, languages or types whose held-out loss counts
tokens = 20_000_000_000                # what the mixture is for; default: [train] tokens
epochs = 4                             # no source is seen more often; or { web = 2, wiki = 8 }
languages = { ja = [0.3, 0.5] }        # bounds on a language's whole share; types = {...}, bounds = {...} (domains)
keep = { en = 0.02 }                   # English may lose at most 2 % against the prior's mixture
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from jacorpus.errors import RecipeError, nearest

BASELINES = ("natural", "uniform", "temperature", "unimax", "own_weight")
"""Beside every answer, always: what costs nothing."""

Pair = tuple[float, float]


@dataclass(frozen=True)
class MixingSettings:
    """What [mixing] can say.

    What decides: method, its options; compare: further methods for the report. weights: the mixture itself, nothing is
    optimized.

    Wishes: target {word: weight}, words being domains, languages or types (of several domains each counts alike; none:
    every domain alike); worst_case: weight of the largest loss over the prior's, of any held-out set; prior: natural,
    uniform or {domain: weight}; prior_strength: weight of KL(mixture ‖ prior), bits per byte a nat; keep {word: share}:
    that loss may exceed the prior mixture's by this share at most.

    Limits: epochs, of every domain or {word: times}; bounds {domain: [least, most]}, languages and types likewise for
    their totals. A single number is the most. held_out: domains that are only measured on, never trained on.

    Evidence: tokens the mixture is for; repeats: a token seen again is worth less (arXiv 2305.16264); seeds of proxies,
    draws of bootstraps; seed of everything random; tables, proxy, swarm: settings of count tables, tiny models, and
    sweeps of them; judge: train tiny models on every mixture of the report, so many seeds; surrogate: what targets are
    predicted by, tables or swarm. domains: {name: {language, type}}.
    """

    method: str = "mixmin"
    options: Mapping[str, Any] = field(default_factory=dict)
    compare: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    target: Mapping[str, float] = field(default_factory=dict)
    worst_case: float = 0.0
    prior: str | Mapping[str, float] = "natural"
    prior_strength: float = 0.0
    keep: Mapping[str, float] = field(default_factory=dict)
    epochs: float | Mapping[str, float] = 0.0
    bounds: Mapping[str, Pair] = field(default_factory=dict)
    languages: Mapping[str, Pair] = field(default_factory=dict)
    types: Mapping[str, Pair] = field(default_factory=dict)
    held_out: tuple[str, ...] = ()
    tokens: float = 0.0
    repeats: bool = True
    seeds: int = 3
    draws: int = 20
    seed: int = 0
    judge: int = 0
    surrogate: str = "tables"
    tables: Mapping[str, Any] = field(default_factory=dict)
    proxy: Mapping[str, Any] = field(default_factory=dict)
    swarm: Mapping[str, Any] = field(default_factory=dict)
    domains: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("worst_case", "prior_strength", "tokens"):
            if not 0 <= getattr(self, name) < math.inf:
                raise RecipeError(f"[mixing] {name} must be 0 or more, got {getattr(self, name)}")
        for name, least in (("seeds", 1), ("draws", 0), ("judge", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise RecipeError(f"[mixing] {name} must be {least} or more, got {getattr(self, name)}")
        if self.surrogate not in ("tables", "swarm"):
            raise RecipeError(f'[mixing] surrogate = "{self.surrogate}" is unknown; write tables or swarm')
        if isinstance(self.prior, str) and self.prior not in ("natural", "uniform"):
            raise RecipeError(
                f'[mixing] prior = "{self.prior}" is unknown; write natural, uniform or a table of weights'
            )


KEYS = tuple(f.name for f in dataclasses.fields(MixingSettings))
_PAIRS = ("bounds", "languages", "types")
_NUMBERS = ("weights", "target", "keep")
_TABLES = ("options", "tables", "proxy", "swarm", "domains")


def mixing_settings(table: Mapping[str, Any]) -> MixingSettings:
    """Of a [mixing] table. Raises RecipeError naming the key and what it takes."""
    if not isinstance(table, Mapping):
        raise RecipeError(f"[mixing] must be a table, got {table!r}")
    found: dict[str, Any] = {}
    for key, value in table.items():
        if key not in KEYS:
            raise RecipeError(f"[mixing] has no key `{key}`{nearest(key, KEYS)}")
        found[key] = _checked(key, value)
    for key in ("method", "options"):
        if found.get("weights") and found.get(key):
            raise RecipeError(f"[mixing] weights are the mixture itself, so there is nothing for {key} to do; drop one")
    return MixingSettings(**found)


def settings_of(tables: Mapping[str, Any]) -> MixingSettings:
    """[mixing] of a whole recipe; the size of training from [train] where it names none."""
    settings, train = mixing_settings(tables.get("mixing", {})), tables.get("train", {})
    if settings.tokens:
        return settings
    phases = train.get("phase") or []
    sizes = [entry.get("tokens", 0) for entry in phases if isinstance(entry, Mapping)]
    if train.get("tokens"):
        return replace(settings, tokens=_number("[train] tokens", train["tokens"]))
    return replace(settings, tokens=math.fsum(_number("[[train.phase]] tokens", size) for size in sizes))


def deciding(settings: MixingSettings) -> dict[str, Any]:
    """What fixes the weights, as JSON: all but what only a report shows."""
    kept = {key: value for key, value in asdict(settings).items() if key not in ("compare", "judge", "draws")}
    return json.loads(json.dumps(kept))  # tuples as lists, as a file has them


def _checked(key: str, value: Any) -> Any:
    where = f"[mixing] {key}"
    if key in _PAIRS:
        return {name: _pair(f"{where}.{name}", each) for name, each in _table(where, value).items()}
    if key in _NUMBERS or (key in ("epochs", "prior") and isinstance(value, Mapping)):
        return {name: _number(f"{where}.{name}", each) for name, each in _table(where, value).items()}
    if key in _TABLES:
        return _table(where, value)
    default = next(f.default for f in dataclasses.fields(MixingSettings) if f.name == key)
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise RecipeError(f"{where} must be true or false, got {value!r}")
        return value
    if isinstance(default, float):
        return _number(where, value)
    if isinstance(default, int):
        if isinstance(value, bool) or not isinstance(value, int):
            raise RecipeError(f"{where} must be a whole number, got {value!r}")
        return value
    if isinstance(default, tuple):
        if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(v, str) for v in value):
            raise RecipeError(f'{where} must be a list of names such as ["natural"], got {value!r}')
        return tuple(value)
    if not isinstance(value, str):
        kind = "natural, uniform or a table of weights" if key == "prior" else "a word in quotes"
        raise RecipeError(f"{where} must be {kind}, got {value!r}")
    return value


def _table(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise RecipeError(f"{where} must be a table such as {{ ja = 1.0 }}, got {value!r}")
    return dict(value)


def _number(where: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise RecipeError(f"{where} must be a number, 0 or more, got {value!r}")
    return float(value)


def _pair(where: str, value: Any) -> Pair:
    """[least, most]; a single number is the most."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = [0.0, value]
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise RecipeError(f"{where} must be [least, most] such as [0.1, 0.5], or the most alone, got {value!r}")
    least, most = (_number(where, each) for each in value)
    if not least <= most <= 1:
        raise RecipeError(f"{where} = [{least:g}, {most:g}] must rise and lie within [0, 1]")
    return least, most
