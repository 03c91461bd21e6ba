"""The domains that a mixture is over, on two axes, language and type, with what there is of each.

A manifest of token shards tells their sizes. Where it says nothing of languages, a domain's name often does:
``ja-web``, ``web_ja`` and ``web.ja`` are Japanese, type ``web``. A recipe's table has the last word:

    [mixing.domains.web]
    language = "ja"
    type = "web"

Weights are keyed by name wherever a person or a file meets them; inside they are vectors in the order of sorted names,
so that no order of input can change a result.

Legend: k domains; weights float64 [k].
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from jacorpus.errors import InputError, RecipeError, nearest

Unit = Literal["token", "byte", "document"]
"""What a weight is a share of: tokens trained on, bytes of their text, or documents drawn."""

UNITS: tuple[Unit, ...] = ("token", "byte", "document")
AXES = ("language", "type")
UNKNOWN = "und"
"""Language nobody told, as ISO 639-2 has it."""

_CODES = (
    "aa ab af am ar as az be bg bn bo br bs ca co cs cy da de dv el en eo es et eu fa fi fr fy ga gd gl gu ha he hi hr "
    "hu hy id ig is it ja jv ka kk km kn ko ku ky la lb lo lt lv mg mi mk ml mn mr ms mt my nb ne nl nn no oc or pa pl "
    "ps pt ro ru sa sd si sk sl sn so sq sr su sv sw ta te tg th tk tl tr tt ug uk ur uz vi yi yo zh zu code und"
)
LANGUAGES = frozenset(_CODES.split())
"""Codes of ISO 639-1 that a name may begin or end with, and two usual stand-ins."""

_FIELDS = {"train": ("documents", "tokens", "text_bytes"), "valid": ("documents", "tokens", "text_bytes")}


@dataclass(frozen=True)
class Domain:
    """What there is of a domain: of its train split, and of the held-out one (``valid_``)."""

    name: str
    language: str
    type: str
    tokens: int
    text_bytes: int
    documents: int
    valid_tokens: int = 0
    valid_bytes: int = 0
    valid_documents: int = 0


@dataclass(frozen=True)
class Domains:
    """Domains by name, sorted. Build with ``Domains.of`` or ``Domains.from_manifest``."""

    all: tuple[Domain, ...]

    @staticmethod
    def of(domains: Sequence[Domain]) -> "Domains":
        """Sorted. Raises RecipeError for none and for a name twice."""
        names = [domain.name for domain in domains]
        if not names:
            raise RecipeError("a mixture needs at least one domain")
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise RecipeError(f"domains named twice: {', '.join(twice)}")
        return Domains(tuple(sorted(domains, key=lambda domain: domain.name)))

    @staticmethod
    def from_manifest(manifest: Mapping[str, Any], axes: Mapping[str, Mapping[str, str]] | None = None) -> "Domains":
        """Of a manifest of token shards. axes: {domain: {language, type}}, over what the manifest or a name says.

        Raises RecipeError for a name in ``axes`` that is no domain, or a key that is no axis.
        """
        named = manifest["domains"]
        _check_axes(axes or {}, named)
        found = []
        for name, splits in named.items():
            told = {**axes_of_name(name), **manifest.get("axes", {}).get(name, {}), **(axes or {}).get(name, {})}
            train, valid = (
                [splits.get(split, {}).get(field, 0) for field in fields] for split, fields in _FIELDS.items()
            )
            domain = Domain(name, told["language"], told["type"], train[1], train[2], train[0])
            found.append(replace(domain, valid_tokens=valid[1], valid_bytes=valid[2], valid_documents=valid[0]))
        return Domains.of(found)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(domain.name for domain in self.all)

    def __len__(self) -> int:
        return len(self.all)

    def __getitem__(self, name: str) -> Domain:
        return self.all[self.index(name)]

    def index(self, name: str) -> int:
        """A domain's place. Raises RecipeError for an unknown one."""
        if name not in self.names:
            raise RecipeError(f"no domain `{name}` here{nearest(name, self.names)}")
        return self.names.index(name)

    def array(self, field: str) -> np.ndarray:
        """float64 [k]: a count of each."""
        return np.array([getattr(domain, field) for domain in self.all], np.float64)

    def named(self, weights: np.ndarray) -> dict[str, float]:
        """By name."""
        return dict(zip(self.names, map(float, weights), strict=True))

    def vector(self, weights: Mapping[str, float]) -> np.ndarray:
        """float64 [k], of sum 1; names left out have 0. Raises RecipeError for unknown names and for no mixture."""
        found = np.zeros(len(self))
        for name, weight in weights.items():
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
                raise RecipeError(f"the weight of domain `{name}` must be a number, 0 or more, got {weight!r}")
            found[self.index(name)] = weight
        total = math.fsum(found)
        if total <= 0:
            raise RecipeError("no domain of the mixture has a weight above 0; give at least one, such as {web = 1.0}")
        return found / total

    @cached_property
    def natural(self) -> np.ndarray:
        """float64 [k]: shares of all tokens there are."""
        tokens = self.array("tokens")
        return tokens / math.fsum(tokens)

    def values(self, axis: str) -> tuple[str, ...]:
        """The languages or types there are, sorted."""
        return tuple(sorted({getattr(domain, axis) for domain in self.all}))

    @property
    def languages(self) -> tuple[str, ...]:
        """Sorted."""
        return self.values("language")

    @property
    def types(self) -> tuple[str, ...]:
        """Sorted."""
        return self.values("type")

    def members(self, axis: str, value: str) -> np.ndarray:
        """bool [k]: domains of a language or type. Raises RecipeError where there is none."""
        if value not in self.values(axis):
            near = nearest(value, self.values(axis))
            raise RecipeError(
                f'no domain is of {axis} `{value}`{near}. [mixing.domains.NAME] {axis} = "{value}" says of a domain '
                f"what its name does not"
            )
        return np.array([getattr(domain, axis) == value for domain in self.all])

    def of_word(self, word: str) -> tuple[str, ...]:
        """The domains that a word means: a domain's own name, else a language, else a type. Raises RecipeError."""
        if word in self.names:
            return (word,)
        for axis in AXES:
            if word in self.values(axis):
                return tuple(domain.name for domain in self.all if getattr(domain, axis) == word)
        known = (*self.names, *self.languages, *self.types)
        raise RecipeError(f"`{word}` is no domain, language or type here{nearest(word, known)}")

    def converted(self, weights: np.ndarray, unit: Unit, to: Unit) -> np.ndarray:
        """float64 [k]: the same mixture in another unit, by each domain's mean tokens a document and bytes a token.

        Raises InputError for a weighted domain without tokens.
        """
        size = {"token": "tokens", "byte": "text_bytes", "document": "documents"}
        rate = np.zeros(len(self))
        for i, domain in enumerate(self.all):
            if weights[i]:
                if not domain.tokens:
                    raise InputError(f"domain `{domain.name}` has a weight and no tokens to convert it by")
                rate[i] = weights[i] * getattr(domain, size[to]) / getattr(domain, size[unit])
        return rate / math.fsum(rate)


def axes_of_name(name: str) -> dict[str, str]:
    """{language, type} as a name tells them: a code of two letters (or ``code``) at its beginning or end.

    >>> axes_of_name("web-ja")
    {'language': 'ja', 'type': 'web'}
    >>> axes_of_name("novels")
    {'language': 'und', 'type': 'novels'}
    """
    if name in LANGUAGES:
        return {"language": name, "type": name}
    found = re.fullmatch(r"(\w+?)[-_.](.+)", name, re.ASCII)
    if found and found[1].lower() in LANGUAGES:
        return {"language": found[1].lower(), "type": found[2]}
    found = re.fullmatch(r"(.+)[-_.]([A-Za-z]+)", name)
    if found and found[2].lower() in LANGUAGES:
        return {"language": found[2].lower(), "type": found[1]}
    return {"language": UNKNOWN, "type": name}


def _check_axes(axes: Mapping[str, Mapping[str, str]], named: Mapping[str, Any]) -> None:
    for name, table in axes.items():
        if name not in named:
            raise RecipeError(f"[mixing.domains] names `{name}`, which is no domain here{nearest(name, named)}")
        if not isinstance(table, Mapping):
            raise RecipeError(f'[mixing.domains] {name} must be a table such as {{ language = "ja", type = "web" }}')
        for key, value in table.items():
            if key not in AXES:
                raise RecipeError(f"[mixing.domains.{name}] has no key `{key}`{nearest(key, AXES)}")
            if not isinstance(value, str) or not value:
                raise RecipeError(f"[mixing.domains.{name}] {key} must be a word in quotes, got {value!r}")
