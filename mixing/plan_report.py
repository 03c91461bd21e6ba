"""A plan as a report: its tables serve the terminal and the page alike.

``amount`` writes 1.78T for 1.78e12, as sizes of models and corpora are told.
"""

import math
from collections.abc import Iterator

import numpy as np

from jacorpus.report.numbers import Cell, Interval
from jacorpus.report.report import (
    Bar,
    Bars,
    Block,
    Column,
    Curve,
    Fact,
    Facts,
    Line,
    Paragraph,
    Report,
    Section,
    Series,
    Table,
    Tone,
    Views,
)
from mixing.curriculum import Curriculum
from mixing.plan import FEW, MFU, Figure, Plan, Supply
from mixing.scaling import LAWS, Law, draws

CURVE_POINTS = 61
SHOWN = 0.15
"""Nats over a curve's least that are drawn."""

FROM = "unique tokens are from"
"""Column of sentences, which a terminal has no room for."""


def amount(value: float) -> str:
    """Three digits and a letter.

    >>> amount(1.7805e12), amount(412.5e9), amount(98.3e9), amount(512)
    ('1.78T', '412B', '98.3B', '512')
    """
    if value and not math.isfinite(value):
        return "any"
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size * 0.9995:
            return f"{value / size:.3g}{letter}" if value < 1e15 else f"{value / size:,.0f}{letter}"
    return f"{value:.3g}"


def power(value: float) -> str:
    """Three digits and a power of ten.

    >>> power(1.05e24)
    '1.05e24'
    """
    return f"{value:.3g}".replace("e+", "e")


def figure(value: Figure | None) -> str:
    """An amount, with its 95 % interval where it has one."""
    if isinstance(value, Interval):
        return f"{amount(value.value)} [{amount(value.low)}, {amount(value.high)}]"
    return "" if value is None else amount(value)


def _middle(value: Figure) -> float:
    return value.value if isinstance(value, Interval) else value


def size_table(plan: Plan) -> Table:
    """The optimum under each set of constants, and how far they lie apart."""
    rows: list[tuple[Cell, ...]] = []
    for size in plan.sizes:
        N, D = _middle(size.parameters), _middle(size.tokens)
        rows.append((size.law, figure(size.parameters), figure(size.tokens), f"{D / N:.3g}", f"{size.loss:.4g}"))
    ends = [[_middle(getattr(size, name)) for size in plan.sizes] for name in ("parameters", "tokens")]
    ratios = [d / n for n, d in zip(*ends, strict=True)]
    spread = [f"{amount(min(one))} to {amount(max(one))}" for one in ends]
    rows.append(("lowest to highest", *spread, f"{min(ratios):.3g} to {max(ratios):.3g}", None))
    columns = ("constants", "parameters N", "tokens D", "D/N", "loss")
    note = (
        "The best split of the compute, 6ND. Brackets: 95 % of draws, of the one set with published errors (and of a "
        "fit of your own). Loss: nats a token of the text a law was fitted to; between laws it means nothing."
    )
    return Table("Size at this compute", tuple(map(Column, columns)), tuple(rows), note)


def choice_table(plan: Plan) -> Table:
    """What each set says of the N and D that were chosen."""
    rows: list[tuple[Cell, ...]] = []
    for size in plan.sizes:
        choice = size.choice
        assert choice is not None
        over, tax, excess = (
            _banded(getattr(choice, name), size.band.get(name)) for name in ("overtraining", "tax", "excess")
        )
        best = f"{amount(float(choice.best_parameters))} on {amount(float(choice.best_tokens))}"
        saved = f"{float(choice.saved):.0%}"
        rows.append((size.law, f"{over}x", tax, saved, excess, best))
    columns = ("constants", "overtraining", "compute tax", "saved by optimal split", "loss over optimum", "optimum")
    note = (
        "Overtraining: D over the D for which N is the optimum (below 1: trained on too little). Compute tax: "
        "operations over the fewest that reach the same loss, less 1. Loss in nats a token."
    )
    title = f"N = {amount(plan.parameters)} on D = {amount(plan.tokens)}"
    return Table(title, tuple(map(Column, columns)), tuple(rows), note)


def _banded(value: object, band: Interval | None) -> str:
    shown = f"{float(value):.3g}"  # type: ignore[arg-type]
    return f"{shown} [{band.low:.3g}, {band.high:.3g}]" if band else shown


def serving_table(plan: Plan) -> Table:
    """The cheapest size where inference counts too."""
    rows: list[tuple[Cell, ...]] = []
    served = 0.0
    for size in plan.sizes:
        one = size.serving
        assert one is not None
        served = one.served
        total, training = power(one.total), power(one.flops)
        rows.append((size.law, amount(one.parameters), amount(one.tokens), training, total, f"{one.saved:.1%}"))
    columns = ("constants", "parameters N", "tokens D", "training", "training + serving", "saved")
    note = (
        "Least 6ND + 2N D_served at the loss of the optimum above (arXiv 2401.00448). Saved: share of what that "
        "optimum costs with the same serving."
    )
    title = f"With {amount(served)} tokens of inference to come"
    return Table(title, tuple(map(Column, columns)), tuple(rows), note)


def source_table(plan: Plan) -> Table:
    """The ledger."""
    rows: list[tuple[Cell, ...]] = [
        (
            *(row.name, row.language, amount(row.unique), row.share, amount(row.seen), f"{row.epochs:.2f}"),
            *(amount(row.effective), f"{row.next_value:.2f}", row.told),
        )
        for row in plan.rows
    ]
    columns = [Column(name) for name in ("source", "language", "unique")]
    columns += [Column("share", "share"), Column("seen"), Column("epochs"), Column("effective")]
    columns += [Column("next token"), Column(FROM)]
    note = (
        f"Shares {plan.weights}. Effective: what the seen tokens are worth in new ones. Next token: worth of one more."
    )
    title = f"Sources over {amount(plan.tokens)} tokens"
    return Table(title, tuple(columns), tuple(rows), note)


def supply_sentences(plan: Plan) -> tuple[str, ...]:
    """The language's need, have, effective tokens, shortfall, and the size they allow."""
    one = plan.supply
    if one is None:
        return ()
    first = (
        f"{one.language}: {amount(one.need)} needed ({one.share:.3g} of all), {amount(one.have)} there: "
        f"{one.epochs:.1f} epochs, worth {amount(one.effective)} new tokens (value {one.value:.2f})."
    )
    second = "No shortfall: nothing is repeated."
    if one.shortfall:
        few = amount(one.short_of_few) if one.short_of_few else "none"
        second = f"Shortfall: {amount(one.shortfall)} to repeat nothing, {few} to see none more than {FEW:g} times."
    largest = "; ".join(f"{size.law} {figure(size.most)}" for size in plan.sizes if size.most is not None)
    third = f"Largest N, trained to its optimum, whose {one.language} is seen at most {FEW:g} times: {largest}."
    return (first, second, *([third] if largest else []))


def filter_table(supply: Supply) -> Table:
    """What becomes of the epochs if filters keep less."""
    columns = (Column("filters keep", "share"), Column("unique"), Column("epochs"), Column("value"))
    rows = tuple((kept, amount(have), f"{epochs:.1f}", f"{value:.2f}") for kept, have, epochs, value in supply.filters)
    return Table(f"If filters still take away of {supply.language}", columns, rows)


def curriculum_table(plan: Plan) -> Table:
    """Joint training and the order that was asked for."""
    language = plan.supply.language if plan.supply else ""
    languages = sorted({name for outcome in plan.outcomes for name in outcome.data_term})
    rows: list[tuple[Cell, ...]] = []
    for outcome in plan.outcomes:
        shares = " > ".join(f"{share:.2f}" for share in outcome.shares)
        terms = [f"{outcome.data_term[name]:.4f}" for name in languages]
        rows.append((outcome.curriculum.kind, shares, f"{max(outcome.epochs.values()):.1f}", *terms))
    columns = ("curriculum", f"share of {language}, by phase", "most epochs", *(f"data term {n}" for n in languages))
    note = (
        f"Data terms B/h^b by {plan.law}, nats a token, of each language's own tokens. The law knows no order, and "
        "nothing of what a model brings from its first training: only training compares these."
    )
    return Table("Curriculum", tuple(map(Column, columns)), tuple(rows), note)


def phase_table(curriculum: Curriculum) -> Table:
    """Its phases with the weight of each source."""
    names = sorted({name for phase in curriculum.phases for name in phase.mixture})
    columns = (Column("phase"), Column("tokens"), *(Column(name, "share") for name in names))
    rows = tuple(
        (i + 1, amount(phase.tokens), *(phase.mixture.get(name) for name in names))
        for i, phase in enumerate(curriculum.phases)
    )
    note = f"Trained on from {curriculum.init}." if curriculum.init else ""
    return Table(f"Phases of {curriculum.kind}", columns, rows, note)


def constrained_sentence(plan: Plan) -> str:
    """What the data-constrained law says of repeats as a whole."""
    one = plan.constrained
    return (
        f"Data-constrained law (muennighoff, all {amount(one.unique)} unique tokens as one set): repeats cost "
        f"{one.loss - one.free:.4f} nats a token here; best for these operations {amount(one.parameters)} on "
        f"{amount(one.tokens)}, {one.loss - one.best_loss:.4f} lower."
    )


def planner_sentence(plan: Plan) -> str:
    """What the planner proves; empty where it was not asked."""
    if plan.planner is None:
        return ""
    value, gap, active = plan.planner
    binding = f"; binding: {', '.join(active)}" if active else "; no bound binds"
    return f"Shares of the budget planner: data term {value:.5f}, at most {gap:.1e} above the least there is{binding}."


def tables(plan: Plan) -> Iterator[tuple[str, Table]]:
    """(section's key, table) of all that a plan has."""
    yield "size", size_table(plan)
    if plan.own:
        yield "choice", choice_table(plan)
    if plan.sizes[0].serving is not None:
        yield "serving", serving_table(plan)
    yield "sources", source_table(plan)
    if plan.supply:
        yield "supply", filter_table(plan.supply)
    if plan.outcomes:
        yield "curriculum", curriculum_table(plan)


_TITLES = {
    "size": "Size",
    "choice": "The size chosen",
    "serving": "Inference counted",
    "sources": "Sources",
    "supply": "Supply",
    "curriculum": "Curriculum",
}


def plan_report(plan: Plan, fitted: tuple[Law, Law] | None = None) -> Report:
    """The report. fitted: constants of one's own and their draws, where the plan had some."""
    blocks: dict[str, list[Block]] = {}
    for key, table in tables(plan):
        blocks.setdefault(key, []).append(table)
    blocks["size"].insert(0, _head(plan))
    blocks["size"].append(loss_views(plan, fitted))
    blocks["sources"] += [
        _bars(plan),
        *map(Paragraph, filter(None, (planner_sentence(plan), constrained_sentence(plan)))),
    ]
    if plan.supply:
        blocks["supply"] = [*map(Paragraph, supply_sentences(plan)), *blocks["supply"]]
    if plan.curriculum:
        blocks["curriculum"].append(phase_table(plan.curriculum))
    sections = [Section(key, _TITLES[key], tuple(found)) for key, found in blocks.items()]
    sections.append(Section("notes", "Notes", tuple(map(Paragraph, plan.notes))))
    sources = Table("Constants", (Column("set"), Column("source")), tuple((s.law, s.source) for s in plan.sizes))
    sections.append(Section("constants", "Constants", (sources,)))
    return Report("Training plan", plan.told or f"{power(plan.flops)} operations", tuple(sections))


def _head(plan: Plan) -> Facts:
    told = f"MFU {MFU:g} is an assumption unless you gave one" if "MFU" in plan.told else ""
    facts = [
        Fact("operations of training, C", power(plan.flops), note=told),
        Fact("parameters, N", amount(plan.parameters), note="chosen" if plan.own else f"optimum by {plan.law}"),
        Fact("tokens, D", amount(plan.tokens), note="chosen" if plan.own else f"optimum by {plan.law}"),
    ]
    if plan.supply:
        one = plan.supply
        tone: Tone = "dropped" if one.shortfall else "kept"
        facts.append(Fact(f"shortfall of {one.language}", amount(one.shortfall), "text", "to repeat nothing", tone))
    return Facts(tuple(facts))


def loss_views(plan: Plan, fitted: tuple[Law, Law] | None = None) -> Views:
    """Loss against N at this C under each set: over each set's own least, and as it is."""
    laws: list[tuple[Law, Law | None]] = [(law, draws(law)) for law in LAWS]
    laws += [fitted] if fitted else []
    best = [float(law.optimum(plan.flops)[0]) for law, _ in laws]
    sizes = np.geomspace(min(best) / 16, max(best) * 16, CURVE_POINTS)
    marks = ((math.log10(plan.parameters), f"N = {amount(plan.parameters)}"),)
    found = []
    for name, over_least in (("over each law's least", True), ("as it is", False)):
        lines = [line for law, drawn in laws for line in _lines(law, drawn, plan.flops, sizes, over_least)]
        lines.sort(key=lambda line: line.thin)
        title = f"Loss {'over the least ' if over_least else ''}at C = {power(plan.flops)}"
        note = "A set over its own optimum: the flat floor is how freely N can be chosen." if over_least else ""
        note = note or "Levels of different sets don't compare: they are of other text."
        shown = (0.0, SHOWN) if over_least else None
        found.append((name, Curve(title, "log10 of parameters N", "nats a token", tuple(lines), marks, note, shown)))
    return Views(tuple(found))


def _lines(law: Law, drawn: Law | None, flops: float, sizes: np.ndarray, over_least: bool) -> list[Line]:
    """A set's curve, and thin ones around 95 % of its draws."""
    tokens = flops / (6 * sizes)
    middle = np.asarray(law.loss(sizes, tokens))
    edges = np.zeros((0, len(sizes)))
    if drawn is not None:
        E, A, B, a, b = (np.asarray(getattr(drawn, name))[:, None] for name in ("E", "A", "B", "a", "b"))
        every = np.asarray(Law(law.name, E, A, B, a, b).loss(sizes, tokens))  # [draws, sizes]
        every = every - every.min(axis=1, keepdims=True) if over_least else every
        edges = np.percentile(every, [2.5, 97.5], axis=0)
    middle = middle - law.loss(*law.optimum(flops)) if over_least else middle
    top = middle.min() + SHOWN
    near = middle <= top
    found = [Line(law.name, _pairs(sizes[near], middle[near]))]
    for name, edge in zip(("2.5 %", "97.5 %"), edges, strict=False):
        found.append(Line(f"{law.name}, {name} of draws", _pairs(sizes[near], np.minimum(edge[near], top)), thin=True))
    return found


def _pairs(sizes: np.ndarray, losses: np.ndarray) -> tuple[tuple[float, float], ...]:
    return tuple(zip(np.log10(sizes).tolist(), losses.tolist(), strict=True))


def _bars(plan: Plan) -> Bars:
    series = (Series("unique", "kept"), Series("seen"), Series("effective", "plain"))
    bars = tuple(
        Bar(row.name, (row.unique / 1e9, row.seen / 1e9, row.effective / 1e9), f"{row.epochs:.2f} epochs")
        for row in plan.rows
    )
    return Bars("Tokens of each source, billions", "number", series, bars)
