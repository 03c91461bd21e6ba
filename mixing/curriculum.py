"""The same tokens in another order: joint training, a Japanese ramp, and training on from an English model.

    joint      one phase, one mixture
    ramp       two to four phases of equal length; the language's share rises from one to the next, its total is joint's
    transfer   [model] init = an English model, then one phase that is mostly Japanese, with English beside it (replay)

Within a language, sources keep the proportions of the joint mixture. What comes out are [[train.phase]] tables as
``jacorpus train pretrain`` reads them; a source goes on in each phase where it stood in the one before, so its epochs
are those of its total.

A scaling law knows how many tokens were seen, not when. It gives the ramp and the joint mixture the same data terms,
and it knows nothing of what a model has from its first language: a transfer is judged by the tokens of its own phase
alone. Which order is better, only training tells: a small model of each.

Legend: D tokens of all phases, s the language's share of them.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from jacorpus.errors import RecipeError
from mixing.repeats import effective
from mixing.scaling import Law

Kind = Literal["joint", "ramp", "transfer"]
KINDS: tuple[Kind, ...] = ("joint", "ramp", "transfer")

REPLAY = 0.2
"""Share of everything but the language in ``transfer``. A usual choice, not a fitted one."""
SWING = 0.5
"""A ramp goes from s - .5 m to s + .5 m, m the smaller of s and 1 - s. A choice too."""


@dataclass(frozen=True)
class Stretch:
    """A phase. mixture: weights of sum 1 by source, those of 0 left out."""

    tokens: int
    mixture: dict[str, float]


@dataclass(frozen=True)
class Curriculum:
    """Phases one after another. init: the model that is trained on from, for transfer."""

    kind: Kind
    phases: tuple[Stretch, ...]
    init: str = ""

    @property
    def tokens(self) -> int:
        """D."""
        return sum(phase.tokens for phase in self.phases)

    def seen(self) -> dict[str, float]:
        """Tokens of each source over all phases, by name."""
        names = sorted({name for phase in self.phases for name in phase.mixture})
        return {name: math.fsum(p.tokens * p.mixture.get(name, 0.0) for p in self.phases) for name in names}

    def to_toml(self) -> str:
        """The tables for a recipe: [model] init for transfer, then [[train.phase]]."""
        lines = ["[model]", f"init = {_text(self.init)}", ""] if self.kind == "transfer" else []
        for phase in self.phases:
            weights = ", ".join(f"{_text(name)} = {weight!r}" for name, weight in sorted(phase.mixture.items()))
            lines += ["[[train.phase]]", f"tokens = {phase.tokens:_}", f"mixture = {{ {weights} }}", ""]
        return "\n".join(lines)


@dataclass(frozen=True)
class Outcome:
    """What a law says of a curriculum. epochs: by source; data_term: B/h^b by language, nats a token (inf: none seen);
    shares: the language's share in each phase."""

    curriculum: Curriculum
    epochs: dict[str, float]
    data_term: dict[str, float]
    shares: tuple[float, ...]


def make(
    kind: Kind,
    tokens: float,
    weights: Mapping[str, float],
    languages: Mapping[str, str],
    language: str = "ja",
    phases: int = 3,
    replay: float = REPLAY,
    init: str = "",
) -> Curriculum:
    """A curriculum of D tokens. weights: of the joint mixture by source; languages: of each source.

    Raises RecipeError for numbers out of range, for a ramp or transfer without the language or without another (but a
    transfer with no replay needs no other), and for a transfer without ``init``.
    """
    if kind not in KINDS:
        raise RecipeError(f"no curriculum `{kind}`; there are {', '.join(KINDS)}")
    total = math.floor(tokens)
    own = {name: weight for name, weight in weights.items() if weight > 0 and languages[name] == language}
    rest = {name: weight for name, weight in weights.items() if weight > 0 and languages[name] != language}
    share = math.fsum(own.values()) / math.fsum([*own.values(), *rest.values()])
    if kind == "joint":
        return Curriculum(kind, (Stretch(total, _mixed(own, rest, share)),))
    if not own or (not rest and (kind == "ramp" or replay > 0)):
        lack = "nothing beside it" if own else "none of it"
        raise RecipeError(f"a {kind} needs sources of `{language}` and others, of weight above 0; there is {lack}")
    if kind == "transfer":
        if not 0 <= replay < 1:
            raise RecipeError(f"replay is the share of other languages, from 0 to below 1; got {replay:g}")
        if not init:
            raise RecipeError("a transfer goes on from a model: name its folder with --init")
        return Curriculum(kind, (Stretch(total, _mixed(own, rest, 1 - replay)),), init)
    if not 2 <= phases <= 4:
        raise RecipeError(f"a ramp has 2, 3 or 4 phases, got {phases}")
    return Curriculum(kind, tuple(_ramp(total, own, rest, share, phases)))


def _ramp(total: int, own: dict[str, float], rest: dict[str, float], share: float, phases: int) -> list[Stretch]:
    """Shares evenly apart around s. The last phase takes what is left of tokens and of the language."""
    swing = SWING * min(share, 1 - share)
    found, left = [], share * total
    for i in range(phases - 1):
        rising = share + swing * (2 * i / (phases - 1) - 1)
        found.append(Stretch(total // phases, _mixed(own, rest, rising)))
        left -= rising * (total // phases)
    last = total - (phases - 1) * (total // phases)
    return [*found, Stretch(last, _mixed(own, rest, left / last))]


def _mixed(own: Mapping[str, float], rest: Mapping[str, float], share: float) -> dict[str, float]:
    """The language's sources at ``share`` together, the others at what is left."""
    found: dict[str, float] = {}
    for part, weight in ((own, share), (rest, 1 - share)):
        whole = math.fsum(part.values())
        found |= {name: weight * one / whole for name, one in part.items() if weight > 0}
    return dict(sorted(found.items()))


def outcome(
    curriculum: Curriculum, law: Law, unique: Mapping[str, float], languages: Mapping[str, str], language: str = "ja"
) -> Outcome:
    """Epochs of each source and each language's data term. unique: tokens by source."""
    seen = curriculum.seen()
    term = {}
    for one in sorted({languages[name] for name in unique}):
        worth = math.fsum(effective(seen.get(name, 0.0), unique[name]) for name in unique if languages[name] == one)
        term[one] = float(law.data_term(worth)) if worth else math.inf
    shares = [math.fsum(w for name, w in p.mixture.items() if languages[name] == language) for p in curriculum.phases]
    return Outcome(curriculum, {name: d / unique[name] for name, d in seen.items()}, term, tuple(shares))


def _text(value: str) -> str:
    """A quoted TOML string or key; JSON's escapes are TOML's, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
