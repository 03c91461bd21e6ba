"""A mixture as a file: weights by name, their unit, what they were made from. The trainer and other programs read it.

    mixture.json    {"kind": "mixture", "format": 1, "unit": "token", "weights": {"web": 0.7, ...}, ...}

Token weights hold for one tokenizer: where another cuts Japanese into fewer tokens than English, the same shares of
tokens are other shares of text. So a mixture keeps the sizes of its domains in all units, and is converted by way of
bytes, which no tokenizer changes.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jacorpus.errors import InputError, RecipeError, nearest
from jacorpus.store import write_json
from mixing.domains import UNITS, Domain, Domains, Unit

FORMAT = 1
KIND = "mixture"
NAME = "mixture.json"


@dataclass(frozen=True)
class Mixture:
    """weights: {domain: share} of sum 1, in ``unit``; domains: what they were weighed against. tokenizer, tokens_key:
    fingerprint and key of the token shards; key: of all that fixed the weights; facts: what else a file holds."""

    weights: Mapping[str, float]
    domains: Domains
    unit: Unit = "token"
    tokenizer: str = ""
    tokens_key: str = ""
    key: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def in_unit(self, unit: Unit) -> dict[str, float]:
        """Weights in another unit, of sum 1."""
        found = self.domains.converted(self.domains.vector(self.weights), self.unit, unit)
        return {name: weight for name, weight in self.domains.named(found).items() if weight > 0}

    def for_tokens(self, manifest: Mapping[str, Any]) -> tuple[dict[str, float], str]:
        """(token weights for a folder of token shards, a sentence if they had to be converted).

        Raises InputError for a weighted domain that the folder doesn't have.
        """
        there = Domains.from_manifest(manifest)
        for name in self.weights:
            if name not in there.names:
                raise InputError(
                    f"the mixture gives a weight to `{name}`, which is no domain of the token shards"
                    f"{nearest(name, there.names)}; optimize again for these shards"
                )
        fingerprint = manifest.get("tokenizer", {}).get("fingerprint", "")
        if self.unit == "token" and fingerprint == self.tokenizer:
            return dict(self.weights), ""
        by_bytes = there.vector(self.in_unit("byte"))
        found = there.converted(by_bytes, "byte", "token")
        weights = {name: weight for name, weight in there.named(found).items() if weight > 0}
        told = "in documents or bytes" if self.unit != "token" else "for another tokenizer"
        return weights, f"the mixture was made {told}; its weights were converted to this one's tokens by way of bytes"

    def write(self, path: Path) -> None:
        """As a file; whole or not at all."""
        shares = {unit: self.in_unit(unit) for unit in UNITS} if self._convertible else {self.unit: dict(self.weights)}
        content = {
            **{"kind": KIND, "format": FORMAT, "key": self.key, "unit": self.unit, "weights": dict(self.weights)},
            **{"shares": shares, "tokenizer": self.tokenizer, "tokens_key": self.tokens_key},
            **{"domains": {d.name: {k: v for k, v in asdict(d).items() if k != "name"} for d in self.domains.all}},
            **self.facts,
        }
        write_json(path, content)

    @property
    def _convertible(self) -> bool:
        return all(self.domains[name].tokens for name in self.weights)


def read_mixture(path: Path | str) -> Mixture:
    """A mixture's file, or the folder it lies in. Raises InputError for what is none."""
    path = Path(path)
    path = path / NAME if path.is_dir() else path
    try:
        content = json.loads(path.read_bytes())
        kind = content.get("kind")
    except FileNotFoundError:
        raise InputError(f"no mixture at {path}; `jacorpus mix optimize RECIPE` makes one") from None
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{path} can't be read ({error}); delete it and optimize again") from error
    if kind != KIND or content.get("format") != FORMAT:
        raise InputError(f"{path} is no mixture of this version; `jacorpus mix optimize RECIPE` makes one")
    try:
        domains = Domains.of([Domain(name, **counts) for name, counts in content["domains"].items()])
        weights = {name: float(weight) for name, weight in content["weights"].items()}
        found = Mixture(
            *(weights, domains, content["unit"], content["tokenizer"], content["tokens_key"], content["key"]), content
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecipeError) as error:
        raise InputError(f"{path} is damaged ({error!r}); delete it and optimize again") from error
    if found.unit not in UNITS or abs(math.fsum(weights.values()) - 1) > 1e-6 or min(weights.values()) < 0:
        raise InputError(f"{path} is damaged: its weights don't sum to 1, or their unit is unknown; optimize again")
    try:
        domains.vector(weights)
    except RecipeError as error:
        raise InputError(f"{path} is damaged: {error}") from error
    return found


def key_of(content: Any) -> str:
    """SHA-256 of a JSON value: equal content, equal key."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, default=list)
    return hashlib.sha256(text.encode()).hexdigest()
