"""A plan before any training: compute to sizes under every published law, sources to epochs, Japanese to a shortfall.

    C     gpus x days x peak x MFU, or as given
    N, D  the optimum at C for each set of constants, with a band where there is one; or a choice of one's own
    x     shares of sources: a mixture's, a language's total, the budget planner's, or natural
    per source    unique, seen, epochs, effective tokens, worth of the next token
    Japanese      need, have, effective, shortfall; the largest model whose Japanese is seen at most 4 times

What follows one law (tokens for the sources, the planner) follows ``Wish.law``. Losses are in nats a token of the text
and tokenizer that a law was fitted to: compare them with each other, not with a run of yours. C = 6ND leaves attention
over the context out and holds for dense models.

Legend: N parameters, D tokens, C operations, U unique tokens, k sources in the order of their names.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from jacorpus.errors import RecipeError, nearest
from jacorpus.report.numbers import Interval
from mixing.curriculum import REPLAY, Curriculum, Kind, Outcome, make, outcome
from mixing.repeats import effective, next_value
from mixing.scaling import (
    LAWS,
    REFERENCE,
    Choice,
    Law,
    chosen,
    constrained_loss,
    constrained_optimum,
    draws,
    interval,
    law_named,
    serving_optimum,
)
from mixing.supply import JAPANESE_CORPORA, Source, by_language, by_name

GPUS: dict[str, float] = {"a100": 312e12, "h100": 989e12, "h200": 989e12, "b200": 2250e12}
"""Peak of dense bf16 products, FLOP/s, of the SXM forms: NVIDIA's data sheets, whose sparse figures are twice these."""

MFU = 0.4
"""Share of the peak that training reaches, assumed where none is given."""

FEW = 4.0
"""Epochs up to which a repeated token is worth .93 of a new one and more."""

FILTERS = (1.0, 0.5, 0.2, 0.1)
"""Shares of a language's text that filters might keep, for the table of what then becomes of its epochs."""

Figure = float | Interval


@dataclass(frozen=True)
class Wish:
    """What a plan is asked for.

    flops: C; told: where it is from. parameters, tokens: a choice of N and D; 0 for the law's. law: the set followed;
    fitted: constants of one's own and their draws. sources by name. Shares: mixture {source: weight}, else shares
    {language: total} with natural proportions; best: the planner chooses within shares, epochs (0: no cap) and
    importance {language: weight} (empty: all alike). served: tokens of inference to come. language: whose supply is
    told. curriculum, phases, replay, init: as ``curriculum.make`` takes them. published: the sources are published
    figures, not one's own.
    """

    sources: tuple[Source, ...]
    flops: float = 0.0
    told: str = ""
    parameters: float = 0.0
    tokens: float = 0.0
    law: str = REFERENCE
    fitted: tuple[Law, Law] | None = None
    mixture: Mapping[str, float] | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    best: bool = False
    epochs: float = 0.0
    importance: Mapping[str, float] = field(default_factory=dict)
    served: float = 0.0
    language: str = "ja"
    curriculum: Kind | None = None
    phases: int = 3
    replay: float = REPLAY
    init: str = ""
    published: bool = False


@dataclass(frozen=True)
class Serving:
    """Training and ``served`` tokens of inference together, 6ND + 2N D_served, least at the loss of the optimum at C.
    saved: share of what that optimum costs with the same serving."""

    served: float
    parameters: float
    tokens: float
    flops: float
    total: float
    saved: float


@dataclass(frozen=True)
class Size:
    """What one set of constants says. most: N trained on so many tokens that the language is seen at most 4 times."""

    law: str
    source: str
    parameters: Figure
    tokens: Figure
    loss: float
    choice: Choice | None = None
    band: Mapping[str, Interval] = field(default_factory=dict)
    serving: Serving | None = None
    most: Figure | None = None


@dataclass(frozen=True)
class Row:
    """A source in the plan."""

    name: str
    language: str
    told: str
    unique: float
    share: float
    seen: float
    epochs: float
    effective: float
    next_value: float


@dataclass(frozen=True)
class Supply:
    """A language's text. need: tokens seen; have: unique; value: effective over need; shortfall: unique tokens missing
    to repeat none; short_of_few: to see none more than 4 times. filters: (share kept, unique, epochs, value)."""

    language: str
    share: float
    need: float
    have: float
    effective: float
    epochs: float
    value: float
    shortfall: float
    short_of_few: float
    filters: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True)
class Constrained:
    """Under the data-constrained law (arXiv 2305.16264), all sources as one set of U tokens: the plan's N and D, and
    the best N and D for its operations. losses in nats a token; free: the loss if no token came twice."""

    unique: float
    loss: float
    free: float
    parameters: float
    tokens: float
    best_loss: float


@dataclass(frozen=True)
class Plan:
    """All of it. parameters, tokens: what the ledger is for. planner: (data term, its gap, bounds that bind)."""

    flops: float
    told: str
    law: str
    own: bool
    parameters: float
    tokens: float
    sizes: tuple[Size, ...]
    rows: tuple[Row, ...]
    weights: str
    supply: Supply | None
    constrained: Constrained
    planner: tuple[float, float, tuple[str, ...]] | None = None
    outcomes: tuple[Outcome, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def curriculum(self) -> Curriculum | None:
        """The one that was asked for."""
        return self.outcomes[-1].curriculum if self.outcomes else None

    def to_dict(self) -> dict[str, Any]:
        """JSON; numbers that are not finite are null."""
        return _finite(asdict(self))


def compute_of(gpus: int, days: float, gpu: str = "h100", mfu: float = MFU) -> tuple[float, str]:
    """(operations, how they come about). Raises RecipeError for an unknown GPU and numbers out of range."""
    if gpu.lower() not in GPUS:
        raise RecipeError(f"--gpu {gpu}: unknown{nearest(gpu.lower(), GPUS)}")
    for name, value in (("--gpus", gpus), ("--days", days)):
        if not (math.isfinite(value) and value > 0):
            raise RecipeError(f"{name} {value:g}: it must be over 0")
    if not 0 < mfu <= 1:
        raise RecipeError(f"--mfu {mfu:g}: the share of the peak that is reached is over 0 and at most 1")
    peak = GPUS[gpu.lower()]
    time = f"{days:g} day{'s' * (days != 1)}"
    told = f"{gpus:,} {gpu.upper()} at {peak / 1e12:,.0f} TFLOP/s (dense bf16 peak), MFU {mfu:g}, {time}"
    return gpus * days * 86400 * peak * mfu, told


def make_plan(wish: Wish) -> Plan:
    """Raises RecipeError for wishes that can't be, naming what to change."""
    law = wish.fitted[0] if wish.fitted and wish.law == wish.fitted[0].name else law_named(wish.law)
    parameters, tokens, flops = _followed(wish, law)
    weights, how, planner = _weights(wish, law, tokens)
    rows = _rows(wish.sources, weights, tokens)
    supply = _supply(rows, wish.language)
    own = bool(wish.parameters or wish.tokens)
    most = FEW * min((r.unique / r.share for r in rows if r.language == wish.language and r.share), default=0.0)
    laws: list[tuple[Law, Law | None]] = [(one, draws(one)) for one in LAWS]
    laws += [wish.fitted] if wish.fitted else []
    sizes = tuple(
        _size_by(one, drawn, flops, (parameters, tokens) if own else None, wish.served, most) for one, drawn in laws
    )
    unique = math.fsum(row.unique for row in rows if row.share)
    told = "of the N and D that were given" if wish.parameters and wish.tokens else wish.told
    return Plan(
        *(flops, told, law.name, own, parameters, tokens, sizes, rows, how, supply),
        constrained=_constrained(parameters, tokens, unique),
        planner=planner,
        outcomes=_outcomes(wish, law, rows, tokens),
        notes=tuple(_notes(wish, flops, supply)),
    )


def _followed(wish: Wish, law: Law) -> tuple[float, float, float]:
    """(N, D, C) that the sources are told for."""
    for name, value in (("--flops", wish.flops), ("--parameters", wish.parameters), ("--tokens", wish.tokens)):
        if not (math.isfinite(value) and value >= 0):
            raise RecipeError(f"{name} {value:g}: it must be over 0")
    parameters, tokens, flops = wish.parameters, wish.tokens, wish.flops
    if parameters and tokens:
        return parameters, tokens, 6 * parameters * tokens
    if not flops:
        raise RecipeError(
            "say how much compute there is: --gpus 64 --days 30 --gpu h100, or --flops 1e22, or both --parameters and "
            "--tokens, or --recipe with [model] and [train]"
        )
    if parameters:
        return parameters, flops / (6 * parameters), flops
    if tokens:
        return flops / (6 * tokens), tokens, flops
    return *map(float, law.optimum(flops)), flops  # type: ignore[return-value]


def _weights(
    wish: Wish, law: Law, tokens: float
) -> tuple[np.ndarray, str, tuple[float, float, tuple[str, ...]] | None]:
    """(shares [k], how they were chosen, what the planner says)."""
    if wish.mixture is not None:
        if wish.shares or wish.best:
            raise RecipeError("a mixture says every share: leave --share and --best out, or the mixture")
        return by_name(wish.sources, wish.mixture, "the mixture"), "as the mixture says", None
    if (wish.epochs or wish.importance) and not wish.best:
        raise RecipeError("--max-epochs and --importance bound and steer what --best chooses: add --best")
    told = ", ".join(f"{code} {share:g} in all" for code, share in sorted(wish.shares.items()))
    if not wish.best:
        return by_language(wish.sources, wish.shares), f"in proportion to tokens{'; ' + told if told else ''}", None
    from mixing.budget import Budget, epoch_bounds, spend
    from mixing.limits import Bound, Limits

    by_language(wish.sources, wish.shares)  # says what is wrong with shares
    names = tuple(source.name for source in wish.sources)
    pools = tuple(source.language for source in wish.sources)
    unique = np.array([source.tokens for source in wish.sources])
    bounds = [
        Bound(f"language {code} = {share:g}", np.array([pool == code for pool in pools]), share, share)
        for code, share in sorted(wish.shares.items())
    ]
    if wish.epochs:
        bounds += epoch_bounds(names, unique, tokens, wish.epochs)
    importance = dict(wish.importance) or {pool: 1.0 for pool in pools if wish.shares.get(pool, 1.0)}
    found = spend(Budget(names, unique, pools, tokens, law, Limits(names, tuple(bounds)), importance))
    active = tuple(label for label, _ in found.active)
    how = "the least data term" + (f" within {told}" if told else "")
    return found.shares, how, (found.value, found.gap, active)


def _rows(sources: Sequence[Source], weights: np.ndarray, tokens: float) -> tuple[Row, ...]:
    unique, seen = np.array([source.tokens for source in sources]), weights * tokens
    columns = np.stack([unique, weights, seen, seen / unique, effective(seen, unique), next_value(seen, unique)], 1)
    return tuple(
        Row(source.name, source.language, source.told, *map(float, column))
        for source, column in zip(sources, columns, strict=True)
    )


def _supply(rows: Sequence[Row], language: str) -> Supply | None:
    """None where no source is of the language."""
    mine = [row for row in rows if row.language == language]
    if not mine:
        return None
    share, need, have, worth = (
        math.fsum(getattr(row, name) for row in mine) for name in ("share", "seen", "unique", "effective")
    )
    filters = []
    for kept in FILTERS:
        left = math.fsum(effective(row.seen, row.unique * kept) for row in mine)
        filters.append((kept, have * kept, need / (have * kept), left / need if need else 1.0))
    shortfall, short_of_few = (max(need / times - have, 0.0) for times in (1.0, FEW))
    value = worth / need if need else 1.0
    numbers = (share, need, have, worth, need / have, value, shortfall, short_of_few)
    return Supply(language, *numbers, filters=tuple(filters))


def _size_by(
    law: Law, drawn: Law | None, flops: float, own: tuple[float, float] | None, served: float, most: float
) -> Size:
    """One set's answers, with intervals where it has draws."""
    best = law.optimum(flops)
    parameters: Figure = float(best[0])
    tokens: Figure = float(best[1])
    largest: Figure | None = float(law.parameters_for(most)) if most else None
    band: dict[str, Interval] = {}
    choice = chosen(law, *own) if own else None
    if drawn:
        parameters, tokens = (interval(float(v), each) for v, each in zip(best, drawn.optimum(flops), strict=True))
        largest = interval(float(law.parameters_for(most)), drawn.parameters_for(most)) if most else None
        if own and choice:
            other = chosen(drawn, *own)
            for name in ("overtraining", "tax", "saved", "excess"):
                band[name] = interval(getattr(choice, name), getattr(other, name))
    loss = float(law.loss(*best))
    serving = _serving(law, flops, loss, served) if served else None
    return Size(law.name, law.source, parameters, tokens, loss, choice, band, serving, largest)


def _serving(law: Law, flops: float, loss: float, served: float) -> Serving:
    parameters, tokens = serving_optimum(law, loss, served)
    training = 6 * parameters * tokens
    total, before = training + 2 * parameters * served, flops + 2 * float(law.optimum(flops)[0]) * served
    return Serving(served, parameters, tokens, training, total, 1 - total / before)


def _constrained(parameters: float, tokens: float, unique: float) -> Constrained:
    law = law_named("muennighoff")
    best = constrained_optimum(law, 6 * parameters * tokens, unique)
    loss = [float(constrained_loss(law, *size, unique)) for size in ((parameters, tokens), best)]
    return Constrained(unique, loss[0], float(law.loss(parameters, tokens)), *best, loss[1])


def _outcomes(wish: Wish, law: Law, rows: Sequence[Row], tokens: float) -> tuple[Outcome, ...]:
    """Of joint training, and of the curriculum that was asked for last."""
    if wish.curriculum is None:
        return ()
    languages = {row.name: row.language for row in rows}
    unique = {row.name: row.unique for row in rows}
    weights = {row.name: row.share for row in rows}
    kinds: list[Kind] = ["joint", *([wish.curriculum] if wish.curriculum != "joint" else [])]
    made = [
        make(kind, tokens, weights, languages, wish.language, wish.phases, wish.replay, wish.init) for kind in kinds
    ]
    return tuple(outcome(one, law, unique, languages, wish.language) for one in made)


def _notes(wish: Wish, flops: float, supply: Supply | None) -> list[str]:
    found = []
    if wish.published:
        sizes = "; ".join(f"{name}: {size}" for name, size in JAPANESE_CORPORA)
        found.append(f"The sources are published figures before filters, not your text. {sizes}.")
    if wish.parameters and wish.tokens and wish.flops:
        found.append(f"N and D were both given: 6ND is {flops / wish.flops:.3g} of the compute that was named.")
    if supply is None:
        found.append(f"No source is of language `{wish.language}`; --language NAME={wish.language} says which are.")
    found.append(
        "Worth of repeats: arXiv 2305.16264, fitted on a whole set repeated, not on one domain of a mixture. A later "
        "law (arXiv 2605.01640), known to us from accounts of others alone, has repeats turn harmful: beyond 4 epochs "
        "take these figures as the hopeful side."
    )
    return found


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
