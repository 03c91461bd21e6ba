"""Curves of a training run: smoothed, thinned to what a picture can show, whole and from the middle on.

A run logs thousands of steps. ``thin`` keeps the lowest and the highest of each stretch, so that no spike is lost;
``smooth`` is a moving average that forgets, corrected for its start. Both are plain functions of the points: the same
log gives the same picture.
"""

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from jacorpus.report.report import Block, Curve, Line, Views, show

MOST = 240
"""Points of a line."""
SPAN = 50
"""A smoothed value looks back over about a 50th of the run."""
TAIL = 0.002
"""Part of a thin line, at either end, that has no say in the range of the axis."""
APART = 0.14
"""Part of the width that a mark's label takes."""

Points = tuple[tuple[float, float], ...]
Marks = Sequence[tuple[float, str]]


def points(rows: Iterable[Mapping[str, Any]], key: str) -> Points:
    """(step, value) of rows that have one."""
    return tuple((float(row["step"]), float(row[key])) for row in rows if row.get(key) is not None)


def thin(line: Points, most: int = MOST) -> Points:
    """At most ``most`` points (2 at least): first, last, and the lowest and highest of each of even stretches.

    >>> thin(((0, 1), (1, 5), (2, 0), (3, 2), (4, 2), (5, 9), (6, 3)), 4)
    ((0, 1), (2, 0), (5, 9), (6, 3))
    """
    if len(line) <= most:
        return line
    inner, stretches = len(line) - 2, max((most - 2) // 2, 0)
    chosen = {0, len(line) - 1}
    for k in range(stretches):
        stretch = range(1 + k * inner // stretches, 1 + (k + 1) * inner // stretches)
        chosen.add(min(stretch, key=lambda i: line[i][1]))
        chosen.add(max(stretch, key=lambda i: line[i][1]))
    return tuple(line[i] for i in sorted(chosen))


def smooth(line: Points, span: int | None = None) -> Points:
    """An exponential moving average over about ``span`` points (by default a 50th of them)."""
    span = span or max(len(line) // SPAN, 1)
    keep, average, weight, found = 1 - 2 / (span + 1), 0.0, 0.0, []
    for x, y in line:
        average, weight = keep * average + (1 - keep) * y, keep * weight + (1 - keep)
        found.append((x, average / weight))
    return tuple(found)


def curve(
    title: str, y_label: str, lines: Sequence[Line], marks: Marks = (), note: str = "", floor: bool = False
) -> Curve:
    """Thinned lines over steps. floor: the vertical axis starts at 0. Spikes of thin lines end at the edge."""
    low, high = _bounds(lines)
    beyond = [y for line in lines for _, y in line.points if not low <= y <= high]
    if beyond:
        far = show(max(beyond, key=lambda y: max(y - high, low - y)), "number")
        count, of = len(beyond), sum(len(line.points) for line in lines if line.thin)
        note += f" Beyond the picture and drawn at its edge: {count:,} of {of:,} values, the farthest {far}."
    drawn = tuple(
        Line(line.name, tuple((x, min(max(y, low), high)) for x, y in thin(line.points)), line.thin) for line in lines
    )
    margin = 0.04 * (high - low) or 0.04 * abs(high) or 1.0
    y_range = (0.0 if floor else low - margin, high + margin)
    return Curve(title, "step", y_label, drawn, _apart(drawn, marks), note.strip(), y_range)


def _bounds(lines: Sequence[Line]) -> tuple[float, float]:
    """Lowest and highest value shown: all of the plain lines, the bulk of the thin ones and a quarter more."""
    low, high = math.inf, -math.inf
    for line in (line for line in lines if line.points):
        values = sorted(y for _, y in line.points)
        cut = int(TAIL * len(values)) if line.thin else 0
        pad = 0.25 * (values[-1 - cut] - values[cut]) if cut else 0.0
        low, high = min(low, max(values[cut] - pad, values[0])), max(high, min(values[-1 - cut] + pad, values[-1]))
    return low, high


def halves(title: str, y_label: str, lines: Sequence[Line], marks: Marks = (), note: str = "") -> list[Block]:
    """The whole run, and its later half, where the start no longer flattens it; nothing where there is no line."""
    lines = [line for line in lines if len(line.points) > 1]
    if not lines:
        return []
    whole = curve(title, y_label, lines, marks, note)
    xs = [x for line in lines for x, _ in line.points]
    middle = (min(xs) + max(xs)) / 2
    later = [Line(line.name, tuple(p for p in line.points if p[0] >= middle), line.thin) for line in lines]
    later = [line for line in later if len(line.points) > 1]
    if not later:
        return [whole]
    return [Views((("whole run", whole), ("later half", curve(title, y_label, later, marks, note))))]


def _apart(lines: Sequence[Line], marks: Marks) -> tuple[tuple[float, str], ...]:
    """Marks within the picture; a label that would cover the one before it is left out."""
    xs = [x for line in lines for x, _ in line.points]
    low, high, taken, found = min(xs), max(xs), -math.inf, []
    for x, label in sorted(marks):
        if low < x < high:
            free = x - taken > APART * (high - low)
            found.append((x, label if free else ""))
            taken = x if free else taken
    return tuple(found)


def _with_mean(line: Points, skipped: Set[int]) -> list[Line]:
    """Each step, and smoothed over those that made an update."""
    made = tuple((x, y) for x, y in line if x not in skipped)
    return [Line("each step", line, thin=True), Line("smoothed", smooth(made))]


def loss(steps: Sequence[Mapping[str, Any]], marks: Marks, skipped: Set[int] = frozenset()) -> list[Block]:
    """The training loss, each step and smoothed."""
    note = "Mean cross-entropy of a step's tokens, z-loss not included. Smoothed: without skipped steps."
    lines = _with_mean(points(steps, "loss"), skipped)
    return halves("Training loss", "nats per token", lines, marks, note)


def valid_bits(evaluations: Sequence[Mapping[str, Any]], split: str, marks: Marks) -> list[Block]:
    """Bits per byte of an evaluated split, over all and by domain."""
    own = [row for row in evaluations if row["split"] == split]
    domains = sorted({row["domain"] for row in own if row.get("domain") is not None})
    lines = [
        Line("all" if name is None else name, points((r for r in own if r.get("domain") == name), "bits_per_byte"))
        for name in (None, *domains)
    ]
    return halves(f"Bits per byte, {split} split", "bits per byte", lines, marks, "Documents never trained on.")


def train_bits(steps: Sequence[Mapping[str, Any]], marks: Marks) -> list[Block]:
    """Bits per byte of what is trained on, smoothed, over all and by domain."""
    key = "bits_per_byte_by_domain"
    domains = sorted({name for row in steps for name in row.get(key) or {}})
    lines = [Line("all", smooth(points(steps, "bits_per_byte")))]
    for name in domains:
        own = [{"step": row["step"], "bits": (row.get(key) or {}).get(name)} for row in steps]
        lines.append(Line(name, smooth(points(own, "bits"))))
    note = "From each domain's loss and its tokens per byte. Smoothed. All: as the mixture weights the domains."
    return halves("Bits per byte, training", "bits per byte", lines, marks, note)


def learning_rate(steps: Sequence[Mapping[str, Any]], marks: Marks) -> list[Block]:
    """The learning rate in units of a power of ten."""
    line = points(steps, "lr")
    highest = max((y for _, y in line), default=0.0)
    if len(line) < 2 or highest <= 0:
        return []
    power = math.floor(math.log10(highest))
    scaled = tuple((x, y / 10.0**power) for x, y in line)
    unit = f"× 10{str(power).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
    return [curve("Learning rate", unit, [Line("learning rate", scaled)], marks, floor=True)]


def gradient_norm(steps: Sequence[Mapping[str, Any]], marks: Marks, skipped: Set[int] = frozenset()) -> list[Block]:
    """The gradient's norm before clipping."""
    line = points(steps, "grad_norm")
    if len(line) < 2:
        return []
    note = "Over all parameters, before clipping."
    return [curve("Gradient norm", "norm", _with_mean(line, skipped), marks, note, floor=True)]


def throughput(steps: Sequence[Mapping[str, Any]], marks: Marks) -> list[Block]:
    """Tokens per second."""
    line = points(steps, "tokens_per_s")
    if len(line) < 2:
        return []
    scale, label = (1000, "thousand tokens per s") if max(y for _, y in line) >= 10_000 else (1, "tokens per s")
    lines = [Line("tokens per s", tuple((x, y / scale) for x, y in line))]
    return [curve("Throughput", label, lines, marks, floor=True)]
