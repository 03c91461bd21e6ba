"""What lies around the answer: mixtures as good, what limits cost, what one target costs another."""

import math

import numpy as np

from jacorpus.report.report import Bar, Bars, Block, Curve, Fact, Facts, Line, Paragraph, Series, Table, Views
from mixing.landscape import EPSILON, Effect, Front
from mixing.limits import Bound
from mixing.optimize import Result
from mixing.reporting import cells
from mixing.reporting.cells import bits_text, loss_text, percent, table
from mixing.reporting.methods import entropy

APART = 1e-4
"""Bits per byte; targets whose losses move less along a front don't pull apart."""

FREED = 5
"""Limits whose mixture without them is shown."""


def as_good(result: Result) -> list[Block]:
    """Ranges of weights that are as good as the best, and how spread the answer is."""
    if len(cells.used(result)) < 2:
        return []
    names, chosen = result.problem.domains.names, result.chosen
    top = int(np.argmax(chosen.weights))
    even = math.exp(entropy(chosen.weights))
    facts = (
        Fact("entropy, nats", entropy(chosen.weights), "number", f"as spread as {even:.1f} even domains"),
        Fact("largest weight", chosen.weights[top], "share", names[top]),
    )
    order = cells.used(result)
    ranges = [result.ranges[i] for i in order]
    bars = tuple(Bar(each.name, (_share(each.low), _share(each.high))) for each in ranges)
    note = "The least and the most weight of each domain among mixtures as good as the best."
    picture = Bars("Equally good weights", "share", (Series("least"), Series("most")), bars, note=note)
    return [Paragraph(_as_good_words(result)), Facts(tuple(_finite(facts))), picture, _ranges(result, order)]


def _finite(facts: tuple[Fact, ...]) -> list[Fact]:
    return [Fact(each.label, cells.finite(each.value), each.unit, each.note) for each in facts]


def _share(value: float) -> float:
    """Without dust."""
    return 0.0 if value < 1e-6 else min(float(value), 1.0)


def _as_good_words(result: Result) -> str:
    ranges = result.ranges
    widest = max(ranges, key=lambda each: (round(each.high - each.low, 9), each.name))
    what = "loss on the target" if cells.plain(result) else "objective"
    text = (
        f"A mixture whose {what} is within {percent(EPSILON)} of the least there is counts as equally good: seeds "
        f"differ by as much. "
    )
    if widest.high - widest.low < 0.01:
        text += "Here the optimum is sharp: no weight can move by more than one percent."
    else:
        low, high = percent(_share(widest.low)), percent(_share(widest.high))
        text += f"The weight of {widest.name}, for one, can be anything from {low} to {high}. "
        text += "Digits beyond that mean little."
    out = _outside(result)
    if out:
        text += f" The answer is not among them itself: it lies outside for {cells.listed(out)}."
    proof = result.chosen.answer.certificate
    if proof is None or not proof.proof:
        text += " Ranges may be wider than shown where losses are not convex."
    return text


def _outside(result: Result) -> list[str]:
    weights = result.chosen.weights
    return [
        each.name
        for each, weight in zip(result.ranges, weights, strict=True)
        if not each.low - 1e-6 <= weight <= each.high + 1e-6
    ]


def _ranges(result: Result, order: list[int]) -> Table:
    natural = cells.row_named(result, "natural")
    columns: list = [("domain", "text"), ("the answer", "share"), ("least", "share"), ("most", "share")]
    columns += [("natural", "share"), ("natural lies within", "text")]
    rows = []
    for i in order:
        each = result.ranges[i]
        was = natural.weights[i] if natural is not None else None
        inside = was is not None and each.low - 1e-6 <= was <= each.high + 1e-6
        weight = result.chosen.weights[i]
        rows.append([each.name, weight, _share(each.low), _share(each.high), was, "yes" if inside else "no"])
    note = "Each range is of one weight, the others moving with it: not any point of all ranges together is as good."
    return table("", columns, rows, note)


def targets(result: Result) -> list[Block]:
    """Fronts between targets; those that do not pull apart are a sentence."""
    apart = [front for front in result.fronts if _apart(front)]
    agreed = [f"{front.first} and {front.second}" for front in result.fronts if not _apart(front)]
    found: list[Block] = []
    if apart:
        words = [_front_words(front) for front in apart]
        found.append(Paragraph(" ".join(words)))
        for draw in (_front, _along, _points):
            views = [(f"{front.first} against {front.second}", draw(result, front)) for front in apart]
            found.append(views[0][1] if len(views) == 1 else Views(tuple(views)))
    if agreed:
        found.append(Paragraph(f"The same mixture serves {'; '.join(agreed)}: these do not pull apart."))
    return found


def _apart(front: Front) -> bool:
    losses = np.array([point[:2] for point in front.points], float)
    return bool(np.all(np.isfinite(losses)) and np.ptp(losses, axis=0).min() > APART)


def _over(values: np.ndarray) -> np.ndarray:
    """Percent over the least."""
    return 100 * (values / values.min() - 1)


def _front_words(front: Front) -> str:
    losses = np.array([point[:2] for point in front.points], float)
    (a0, b0), (a1, b1) = losses[0], losses[-1]
    return (
        f"From all for {front.first} to all for {front.second} the loss of {front.second} falls by "
        f"{percent(max(1 - b1 / b0, 0.0))} and that of {front.first} rises by {percent(max(a1 / a0 - 1, 0.0))}."
    )


def _front(result: Result, front: Front) -> Curve:
    losses = np.array([point[:2] for point in front.points], float)
    x, y = _over(losses[:, 0]), _over(losses[:, 1])
    line = Line("best mixtures", tuple((float(a), float(b)) for a, b in zip(x, y, strict=True)))
    note = "No mixture within the limits lies below the line. In percent over the least loss that each can have."
    title = f"What {front.first} costs {front.second}"
    labels = f"{front.first}, % over its least", f"{front.second}, % over its least"
    return Curve(title, *labels, (line,), note=note, y_range=(0.0, float(y.max()) * 1.05))


def _along(result: Result, front: Front) -> Curve:
    weights = np.array([point[2] for point in front.points], float)
    shares = np.linspace(0, 1, len(weights))
    label = f"part of the target on {front.second}, the rest on {front.first}"
    return cells.curve(f"Weights between {front.first} and {front.second}", label, weights, result, list(shares))


def _points(result: Result, front: Front) -> Table:
    names = result.problem.domains.names
    places = [i for i in cells.used(result) if max(point[2][i] for point in front.points) > 1e-6]
    columns: list = [(f"on {front.second}", "share"), (f"loss of {front.first}", "number")]
    columns += [(f"loss of {front.second}", "number"), *((names[i], "share") for i in places)]
    last = len(front.points) - 1
    rows = [
        [step / last, loss_text(a), loss_text(b), *(w[i] for i in places)]
        for step, (a, b, w) in enumerate(front.points)
    ]
    return table("", columns, rows)


def limits(result: Result) -> list[Block]:
    """All limits, which hold with equality, what they cost; losses to keep."""
    bounds, found = result.problem.limits.bounds, []
    if bounds:
        found += [Paragraph(_limits_words(result)), _bounds(result), *_freed(result)]
    return found + ([_kept(result)] if result.problem.keep else [])


def _limits_words(result: Result) -> str:
    if not result.effects:
        return "No limit costs anything: the best mixture lies inside all of them."
    costs = [each for each in result.effects if each.gain > cells.LITTLE]
    if not costs:
        return "Limits are touched, but cost nothing that could be told: without them the best is as good."
    first = costs[0]
    text = f"The dearest limit is {first.label}: without it the objective would be {_cost(first)} lower."
    return text + (" Gains of single limits don't add up." if len(costs) > 1 else "")


def _cost(effect: Effect) -> str:
    return f"{effect.gain:.4f} bits per byte" if effect.gain >= APART else "less than 0.0001 bits per byte"


def _bounds(result: Result) -> Table:
    """Those that cost most first."""
    weights, gains = result.chosen.weights, {each.label: each for each in result.effects}
    active = dict(result.problem.limits.active(weights))

    def place(bound: Bound) -> tuple[float, bool, str]:
        gain = gains[bound.label].gain if bound.label in gains else -1.0
        return -gain, bound.label not in active, bound.label

    columns: list = [("limit", "text"), ("least", "share"), ("most", "share"), ("the answer has", "share")]
    columns += [("holds with equality", "text"), ("objective without it, bits per byte", "number")]
    rows = []
    for bound in sorted(result.problem.limits.bounds, key=place):
        side = {"upper": "at its most", "lower": "at its least"}.get(active.get(bound.label, ""), "no")
        effect = gains.get(bound.label)
        lower = bits_text(-effect.gain) if effect is not None else None
        rows.append([bound.label, bound.lower, bound.upper, bound.total(weights), side, lower])
    note = "Costs are those of the best mixture within the limits, whatever method answered."
    return table("Limits", columns, rows, note)


def _freed(result: Result) -> list[Block]:
    shown = [each for each in result.effects if each.gain > cells.LITTLE][:FREED]
    if not shown:
        return []
    names, weights = result.problem.domains.names, result.chosen.weights
    places = sorted(
        (i for i in range(len(names)) if max(weights[i], *(each.weights[i] for each in shown)) > 1e-6),
        key=lambda i: (-round(float(weights[i]), 9), i),
    )
    columns: list = [("domain", "text"), ("the answer", "share")]
    columns += [(f"without {each.label}", "share") for each in shown]
    rows = [[names[i], weights[i], *(each.weights[i] for each in shown)] for i in places]
    left = len(result.effects) - len(shown)
    note = f"The other {left} that hold with equality cost less, or nothing." if left else ""
    return [table("Weights if a limit were not there", columns, rows, note)]


def _kept(result: Result) -> Table:
    """Losses that may rise only so far."""
    columns: list = [("loss of", "text"), ("may rise by", "share"), ("with the prior's mixture", "number")]
    columns += [("may be", "number"), ("is", "number"), ("changes by", "share"), ("kept", "text")]
    rows = []
    for (word, parts, share), over in zip(result.problem.keep, result.chosen.over, strict=True):
        loss = float(result.problem.weight_of(result.sets, parts) @ result.chosen.losses)
        cap = loss - over
        was = cap / (1 + share)
        rows.append(
            [
                word,
                share,
                loss_text(was),
                loss_text(cap),
                loss_text(loss),
                cells.tidy(loss / was - 1),
                "yes" if over <= 1e-6 else "no",
            ]
        )
    return table("Losses to keep", columns, rows, "Bits per byte, predicted.")
