"""The first section: what the answer is, how sure it is, what to beware of, and what was asked."""

import math
from collections.abc import Sequence

import numpy as np

from jacorpus.report.numbers import Interval
from jacorpus.report.report import Block, Fact, Facts, Paragraph, Table, Tone, Views
from mixing.domains import AXES
from mixing.intervals import clear, interval_of
from mixing.method import Certificate, known_methods
from mixing.optimize import Result, Row
from mixing.reporting import cells
from mixing.reporting.cells import HARD, bits_text, loss_text, percent, table, weight_text

NAMED = 3
"""Domains named in the first sentence."""

GAP = 1e-5

_ABOUT = (
    ("seeds disagree", "seeds"),
    ("no significant difference", "difference"),
    ("does better than", "difference"),
    ("outside the limits", "limits"),
    ("keep.", "limits"),
    ("is seen", "repeats"),
)


def blocks(result: Result) -> list[Block]:
    """Sentences, headline numbers, warnings, weights."""
    found: list[Block] = [Paragraph(first_words(result)), Facts(tuple(_facts(result)))]
    if result.warnings:
        rows = [(_about(text), text) for text in cells.warnings(result)]
        found.append(table("Read with care", [("about", "text"), ("what to know", "text")], rows))
    return [*found, *_weights(result), Paragraph(asked(result))]


def first_words(result: Result) -> str:
    """The answer in two sentences."""
    chosen, names, spread = result.chosen, result.problem.domains.names, cells.spreads(result)
    order = [i for i in cells.used(result) if chosen.weights[i] > 0]
    told = [f"{weight_text(chosen.weights[i], spread[i])} on {names[i]}" for i in order[:NAMED]]
    if len(order) > NAMED:
        told.append(f"the rest on {len(order) - NAMED} more")
    who = "The recipe's own weights put" if result.settings.weights else f"{chosen.name} puts"
    return f"{who} {cells.listed(told)}. {_loss_words(result)}"


def _loss_words(result: Result) -> str:
    natural, chosen = cells.row_named(result, "natural"), result.chosen
    text = f"Its predicted loss on {target_words(result)} is {chosen.wanted:.4g} bits per byte"
    if natural is None or natural is chosen:
        return f"{text}."
    if float(np.abs(natural.weights - chosen.weights).sum()) < cells.SAME:
        return f"{text}: it is the natural mixture."
    gain, was = natural.better, f"{natural.wanted:.4g}"
    if gain is None or not clear(gain):
        return f"{text}; the natural mixture, with {was}, is not significantly different."
    if not cells.plain(result):
        word = "better" if gain.value > 0 else "worse"
        return f"{text}, that of the natural mixture {was}; with all wishes counted it is significantly {word}."
    part = abs(natural.wanted - chosen.wanted) / natural.wanted
    return f"{text}, {percent(part)} {'below' if gain.value > 0 else 'above'} that of the natural mixture."


def target_words(result: Result) -> str:
    """The target as the recipe has it: ``ja``, ``ja (70 %) and en (30 %)``, ``all held-out sets alike``."""
    problem, table_of = result.problem, dict(result.settings.target)
    words = [word for word in sorted(table_of, key=lambda word: (-table_of[word], word)) if table_of[word] > 0]
    if not problem.given or not words:
        return "all held-out sets alike" if len(result.sets) > 1 else result.sets[0]
    if len(words) == 1:
        return words[0]
    whole = math.fsum(table_of.values())
    return cells.listed([f"{word} ({table_of[word] / whole:.0%})".replace("%", f"{HARD}%") for word in words])


def _facts(result: Result) -> list[Fact]:
    chosen, natural = result.chosen, cells.row_named(result, "natural")
    who = "own weights" if result.settings.weights else chosen.name
    found = [
        Fact("method", who, note=f"for {target_words(result)}"),
        Fact("predicted loss", loss_text(chosen.wanted), "number", "bits per byte on the target"),
    ]
    if natural is not None and float(np.abs(natural.weights - chosen.weights).sum()) >= cells.SAME:
        found += [_gain(label, one, cells.plain(result) or "measured" in label) for label, one in _gains(natural)]
    found.append(_distance(chosen.answer.certificate))
    count = len(chosen.answer.replicates)
    if count:
        spread = f"up to L1 {chosen.spread:.2g} from their mean" if count > 1 else "no interval from a single one"
        found.append(Fact("repetitions", count, "count", f"{cells.repetitions(result, count)}; {spread}"))
    else:
        found.append(Fact("repetitions", "none", note="exact, or no seeds and draws were asked for"))
    return found


def _gains(natural: Row) -> list[tuple[str, Interval]]:
    both = ("predicted gain over natural", natural.better), ("measured gain over natural", natural.gain)
    return [(label, gain) for label, gain in both if gain is not None]


def _gain(label: str, gain: Interval, on_target: bool) -> Fact:
    unit = "bits per byte" if on_target else "bits per byte, all wishes counted"
    tone: Tone = "plain" if not clear(gain) else "kept" if gain.value > 0 else "failed"
    if not (math.isfinite(gain.low) and math.isfinite(gain.high)):
        return Fact(label, bits_text(gain.value), "number", f"{unit}; one seed gives no interval")
    note = f"{unit}; 95{HARD}%: {bits_text(gain.low)} to {bits_text(gain.high)}"
    return Fact(label, bits_text(gain.value), "number", note + ("" if clear(gain) else "; not significant"), tone)


def _distance(certificate: Certificate | None) -> Fact:
    """How far at most from the best there is."""
    label = "from the optimum"
    if certificate is None or not math.isfinite(certificate.gap):
        return Fact(label, "not known", note="the method gives no bound")
    gap = certificate.gap
    value = f"< {GAP:.5f}" if gap < GAP else f"{gap:.5f}" if gap < 0.1 else f"{gap:.3g}"
    kind = "at most; a proof" if certificate.proof else f"an estimate: {certificate.reason}".rstrip(": ")
    return Fact(label, value, "number", f"{certificate.unit}, {kind}")


def _about(warning: str) -> str:
    return next((about for words, about in _ABOUT if words in warning.lower()), "note")


def _weights(result: Result) -> list[Block]:
    """Bars and tables by domain, language and type; tabs where there is more than domains."""
    domains = result.problem.domains
    places = cells.used(result)
    groups = [("domains", [(domains.names[i], _one(len(domains), i)) for i in places])]
    for axis in AXES:
        values = [(value, domains.members(axis, value)) for value in domains.values(axis)]
        values = [(value, members) for value, members in values if members[places].any()]
        if 1 < len(values) < len(places):
            values.sort(key=lambda each: (-round(float(result.chosen.weights[each[1]].sum()), 9), each[0]))
            groups.append((f"{axis}s", values))
    pictures = [(name, _picture(result, name, members)) for name, members in groups]
    tables = [(name, _table(result, name, members)) for name, members in groups]
    if len(groups) == 1:
        return [pictures[0][1], tables[0][1]]
    return [Views(tuple(pictures)), Views(tuple(tables))]


def _one(k: int, i: int) -> np.ndarray:
    found = np.zeros(k, bool)
    found[i] = True
    return found


def _picture(result: Result, name: str, members: Sequence[tuple[str, np.ndarray]]) -> Block:
    chosen, natural = result.chosen, cells.row_named(result, "natural")
    columns = [("the answer", [float(chosen.weights[mine].sum()) for _, mine in members])]
    if natural is not None and natural is not chosen:
        columns.append(("natural", [float(natural.weights[mine].sum()) for _, mine in members]))
    title = "Weights" if name == "domains" else f"Weights of {name}"
    return cells.bars(title, [label for label, _ in members], columns)


def _table(result: Result, name: str, members: Sequence[tuple[str, np.ndarray]]) -> Table:
    """Weights with digits that hold, then with intervals, beside the natural ones."""
    problem, chosen, natural = result.problem, result.chosen, cells.row_named(result, "natural")
    draws, single = cells.repeated(result, chosen), name == "domains"
    totals = np.array([chosen.weights[mine].sum() for _, mine in members])
    sums = np.array([[draw[mine].sum() for _, mine in members] for draw in draws]).reshape(len(draws), len(members))
    intervals, several = interval_of(totals, sums), len(draws) >= 2
    spread = cells.spreads(result)
    columns: list = [(name.removesuffix("s"), "text")]
    columns += [("language", "text"), ("type", "text")] if single else [("domains", "count")]
    columns += [("weight", "share"), *([("with its interval", "share")] if several else []), ("natural", "share")]
    rows = []
    for i, (label, mine) in enumerate(members):
        domain = problem.domains.all[int(np.argmax(mine))]
        half = (intervals[i].high - intervals[i].low) / 2 if several else float(spread[mine].max())
        head = (label, domain.language, domain.type) if single else (label, int(mine.sum()))
        was = natural.weights[mine].sum() if natural is not None else None
        rows.append((*head, weight_text(totals[i], half), *([intervals[i]] if several else []), was))
    return table("", columns, rows, _table_note(result, len(draws), several))


def _table_note(result: Result, count: int, several: bool) -> str:
    digits = "Weights are shares of the tokens trained on, with no digit that "
    if several:
        return (
            f"{digits}{count} {cells.repetitions(result, count)} disagree on. In brackets the 95 % interval of "
            f"these. Natural: in proportion to the tokens there are, within the limits."
        )
    return f"{digits}equally good mixtures disagree on. Natural: in proportion to the tokens there are, within limits."


def asked(result: Result) -> str:
    """What was wanted, as sentences."""
    problem, settings, chosen = result.problem, result.settings, result.chosen
    about = known_methods().get(chosen.name, "").rstrip(".")
    found = [f"{chosen.name}: {about[:1].lower()}{about[1:]}."] if about and not settings.weights else []
    found.append(f"Asked for: a low loss on {target_words(result)}.")
    if problem.worst_case:
        found.append(f"To it is added {problem.worst_case:g} times the largest loss over that of the prior's mixture.")
    if problem.prior_strength:
        prior = settings.prior if isinstance(settings.prior, str) else "recipe's prior"
        found.append(f"The {prior} mixture pulls with {problem.prior_strength:g} bits per byte a nat of KL.")
    found += [f"The loss of {word} may rise by {percent(share)} over the prior's." for word, _, share in problem.keep]
    if problem.tokens:
        worth = "counts for less" if problem.repeats else "counts in full"
        found.append(f"{problem.tokens:,.0f} tokens are trained on; a token seen again {worth}.")
    if not problem.limits.bounds and not problem.keep:
        found.append("No limits were set.")
    idle = [name for i, name in enumerate(problem.domains.names) if i not in cells.used(result)]
    if idle:
        found.append(f"Not trained on: {cells.listed(idle)}.")
    return " ".join(found)
