"""What all sections write with: weights with as many digits as hold, cells that JSON takes, lines thinned to a picture.

Legend: k domains, R repetitions (seeds or draws), T points in time; weights float64 [k].
"""

import math
import re
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from jacorpus.report.numbers import Cell, Interval, Unit, show
from jacorpus.report.report import Bar, Bars, Column, Curve, Line, Series, Table
from mixing.optimize import Result, Row

POINTS = 150
"""Points of a line: more than a picture of 500 points' width can tell apart."""

LINES = 6
"""Lines of a curve: as many as there are colors."""

SAME = 1e-6
"""L1 distance below which two mixtures are one."""

BITS = 4
"""Decimals of differences in bits per byte; held-out text tells no more apart."""

LITTLE = 1e-5

HARD = "\N{NO-BREAK SPACE}"


def finite(value: Any) -> Cell:
    """A cell that JSON takes: plain Python, None for what is not finite, an interval without ends its value alone.

    >>> finite(np.float64(0.5)), finite(math.inf), finite(Interval(1.0, -math.inf, math.inf))
    (0.5, None, 1.0)
    """
    if isinstance(value, Interval):
        parts = [finite(part) for part in (value.value, value.low, value.high)]
        return parts[0] if None in parts else Interval(*parts)  # type: ignore[arg-type]
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    number = float(value)
    return number + 0.0 if math.isfinite(number) else None  # + 0.0: no -0


def table(title: str, columns: Sequence[tuple[str, Unit]], rows: Sequence[Sequence[Any]], note: str = "") -> Table:
    """A table of cells made ``finite``. columns: (title, unit)."""
    cells = tuple(tuple(finite(cell) for cell in row) for row in rows)
    return Table(title, tuple(Column(*column) for column in columns), cells, note)


def weight_text(weight: float, spread: float) -> str:
    """A weight in percent, with no digit below its spread (half the width of a 95 % interval), whole percents at least.

    >>> weight_text(0.71234, 0.1), weight_text(0.71234, 0.004), weight_text(0.003, 0.1), weight_text(0.0, 0.0)
    ('71 %', '71.2 %', '< 1 %', '0 %')
    """
    if weight <= 0 or weight > 1 - LITTLE:
        return "0 %" if weight <= 0 else "100 %"
    most = 1 if weight >= 0.01 else 2
    wanted = math.ceil(-math.log10(spread) - 1e-9) - 2 if spread > 0 else most
    places = min(max(wanted, 0), most)
    return f"{weight:.{places}%}"[:-1] + " %" if weight >= 0.5 * 10.0 ** -(places + 2) else f"< {10.0**-places:g} %"


def spreads(result: Result) -> np.ndarray:
    """float64 [k]: half the width of each weight's interval; without repetitions, of the range that is as good."""
    chosen = result.chosen
    if len(chosen.answer.replicates) >= 2:
        return np.array([(each.high - each.low) / 2 for each in chosen.intervals])
    return np.array([(each.high - each.low) / 2 for each in result.ranges])


def bits(value: float | None) -> float | None:
    """A difference in bits per byte to the digits that mean something."""
    return None if value is None or not math.isfinite(value) else round(float(value), BITS) + 0.0


def bits_text(value: float) -> str:
    """The same as a person reads it, small ones with all decimals: ``0.0030``, ``−0.0120``."""
    return f"{value:.{BITS}f}".replace("-", "−") if round(value, BITS) else "0"


def tidy(share: float) -> float:
    """A change as a share, 0 where it is less than a thousandth of a percent."""
    return 0.0 if abs(share) < LITTLE else float(share)


def part_of(interval: Interval | None, whole: float) -> Interval | None:
    """An interval in bits per byte as a share of a loss, its ends of less than a thousandth of a percent set to 0."""
    if interval is None or not whole > 0:
        return None

    return Interval(*(tidy(value / whole) for value in (interval.value, interval.low, interval.high)))


def repeated(result: Result, row: Row) -> np.ndarray:
    """float64 [R, k]: a row's repetitions within the limits."""
    k = len(result.problem.domains)
    return np.array([result.problem.within(each) for each in row.answer.replicates]).reshape(-1, k)


def repetitions(result: Result, count: int) -> str:
    """What repetitions were, as far as their number tells."""
    seeds, draws = count == result.problem.seeds, count == result.problem.draws
    return "seeds" if seeds and not draws else "draws of held-out text" if draws and not seeds else "seeds or draws"


def plain(result: Result) -> bool:
    """The objective is the target's loss and nothing else."""
    return not (result.problem.worst_case or result.problem.prior_strength)


def row_named(result: Result, name: str) -> Row | None:
    """A method's row."""
    return next((row for row in result.rows if row.name == name), None)


def titled(result: Result) -> list[str]:
    """A column's title for each row's method; the answer says so."""
    return [f"{row.name} (the answer)" if i == 0 else row.name for i, row in enumerate(result.rows)]


def used(result: Result) -> list[int]:
    """Places of domains that can be trained on, heaviest in the answer first, then by name."""
    problem = result.problem
    there = (problem.domains.array("tokens") > 0) & (problem.limits.upper > 0)
    weights = result.chosen.weights
    return sorted(np.flatnonzero(there | (weights > 0)), key=lambda i: (-round(float(weights[i]), 9), i))


def bars(
    title: str,
    labels: Sequence[str],
    columns: Sequence[tuple[str, Sequence[float]]],
    note: str = "",
    unit: Unit = "share",
) -> Bars:
    """Values side by side. columns: (name, a value a label)."""
    series = tuple(Series(name) for name, _ in columns)
    listed = tuple(Bar(label, tuple(float(values[i]) for _, values in columns)) for i, label in enumerate(labels))
    return Bars(title, unit, series, listed, note=note)


def curve(title: str, x_label: str, weights: np.ndarray, result: Result, xs: Sequence[float] | None = None) -> Curve:
    """Weights [T, k] over xs (their numbers), thinned. Where there are more domains than colors those that weigh least
    on the way are summed into one line; domains without weight have none. Colors go by the weights of the answer."""
    names, place = result.problem.domains.names, {i: at for at, i in enumerate(used(result))}
    places = np.unique(np.linspace(0, len(weights) - 1, min(POINTS, len(weights))).round().astype(int))
    at = np.arange(len(weights)) if xs is None else np.asarray(xs, float)
    most = weights.max(0)
    some = [i for i in range(len(names)) if most[i] > SAME]
    some.sort(key=lambda i: (-round(float(most[i]), 9), i))
    shown = some if len(some) <= LINES else some[: LINES - 1]
    rest = some[len(shown) :]
    shown.sort(key=lambda i: (place.get(i, len(names)), i))
    lines = [Line(names[i], _points(at, weights[:, i], places)) for i in shown]
    if rest:
        lines.append(Line(f"{len(rest)} others", _points(at, weights[:, rest].sum(1), places)))
    top = max(y for line in lines for _, y in line.points)
    return Curve(title, x_label, "weight", tuple(lines), y_range=(0.0, min(1.0, 1.1 * top)))


def _points(xs: np.ndarray, ys: np.ndarray, places: np.ndarray) -> tuple[tuple[float, float], ...]:
    return tuple((float(xs[i]), float(ys[i])) for i in places)


def sentence(text: str, names: Collection[str] = ()) -> str:
    """With a capital and a full stop; one of ``names`` at the beginning stays as it is written.

    >>> sentence("no significant difference"), sentence("unimax does better", ["unimax"])
    ('No significant difference.', 'unimax does better.')
    """
    first = text.split(" ", 1)[0].rstrip(":,;")
    head = text[:1] if first in names or not first.isalpha() else text[:1].upper()
    return head + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def warnings(result: Result) -> list[str]:
    """What to beware of, as whole sentences, like ones in one."""
    names = {row.name for row in result.rows} | set(result.problem.domains.names)
    return [sentence(text, names) for text in merged(result.warnings)]


def merged(texts: Sequence[str]) -> list[str]:
    """Warnings in their order; those that differ in a method, or in a source and its epochs, are one.

    >>> merged(["no significant difference between mixmin and unimax by count tables", "x",
    ...         "no significant difference between mixmin and natural by count tables"])
    ['no significant difference between mixmin and unimax or natural by count tables', 'x']
    >>> merged(["web is seen 5.0 times; cap it", "law is seen 9.1 times; cap it"])
    ['web is seen 5.0 times and law 9.1 times; cap it']
    """
    found: dict[tuple[str, str], list[str]] = {}
    for text in texts:
        alike = re.fullmatch(r"(no significant difference between \S+ and )(\S+)( by .*)", text)
        often = re.fullmatch(r"(\S+) is seen (\S+ times)(;.*)", text)
        if alike:
            found.setdefault((alike[1], alike[3]), []).append(alike[2])
        elif often:
            names = found.setdefault(("", often[3]), [])
            names.append(f"{often[1]} {'' if names else 'is seen '}{often[2]}")
        else:
            found.setdefault((text, ""), []).append("")
    return [
        head + (listed(names, "or" if head else "and") if names[0] else "") + tail
        for (head, tail), names in found.items()
    ]


def listed(words: Sequence[str], last: str = "and") -> str:
    """``a, b and c``."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def percent(value: float) -> str:
    """A share within a sentence; no line breaks within it."""
    return show(float(value), "share").replace(" %", HARD + "%")


def loss_text(value: float) -> str | None:
    """A loss, all with as many decimals, so that a column lines up."""
    return f"{value:.{BITS}f}" if math.isfinite(value) else None
