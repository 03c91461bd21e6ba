"""Small inline-SVG charts: waterfall, bars, histogram with its bounds, curve, scatter.

Colors come from the page: shapes carry classes (``kept``, ``dropped``, ``failed``, ``plain``, ``s0`` ...), the style
sheet gives them a fill from CSS variables, so that one picture serves light and dark. Every chart has a title for
screen readers, every mark a tooltip (``<title>``). Lengths are user units of the viewBox, close to pixels.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from xml.sax.saxutils import escape

from jacorpus.report.report import Bars, Curve, Histogram, Line, Scatter, Threshold, Tone, Waterfall, show

ROW = 25  # height of a row of bars
WIDTH = 946.0  # of a chart of rows
WIDEST_LABEL = 250.0


def draw(block: Waterfall | Bars | Histogram | Curve | Scatter) -> str:
    """The chart as one ``<svg>`` element."""
    match block:
        case Waterfall():
            return _waterfall(block)
        case Bars():
            return _bars(block)
        case Histogram():
            return _histogram(block)
        case Curve():
            return _curve(block)
        case Scatter():
            return _scatter(block)


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) in [low, high], about ``wanted`` of them.

    >>> ticks(0, 1), ticks(13, 940, 4)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [200.0, 400.0, 600.0, 800.0])
    """
    if not high > low:
        return [low]
    power = 10 ** math.floor(math.log10((high - low) / wanted))
    step = min((m * power for m in (1, 2, 5, 10)), key=lambda s: abs((high - low) / s - wanted))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{n * step:.12g}") for n in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten in [low, high], then 2 and 5 times those: in the order of their worth."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [m * 10.0**p for m in (1, 2, 5) for p in powers if low <= m * 10.0**p <= high]


def text_width(text: str, size: float = 12.5) -> float:
    """About how wide a text is set: wide characters 1 em, others 0.6 em."""
    return size * sum(1.0 if ord(c) > 0x2E7F else 0.6 for c in text)


def _short(text: str, width: float, size: float = 12.5) -> str:
    """The text, cut with an ellipsis to fit width."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text + "…"


def _svg(title: str, width: float, height: float, body: list[str], name: str) -> str:
    head = f'<svg class="chart {name}" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{_attribute(title)}">'
    return head + "".join(body) + "</svg>"


def _attribute(text: str) -> str:
    return escape(text, {'"': "&quot;"})


def _text(x: float, y: float, text: str, name: str = "", anchor: str = "start", full: str = "") -> str:
    tip = f"<title>{escape(full)}</title>" if full and full != text else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{name}" text-anchor="{anchor}">{escape(text)}{tip}</text>'


def _rect(x: float, y: float, width: float, height: float, name: str, tip: str = "", round: float = 0) -> str:
    corner = f' rx="{round:g}"' if round else ""
    tip = f"<title>{escape(tip)}</title>" if tip else ""
    size = f'width="{max(width, 0):.2f}" height="{max(height, 0):.2f}"'
    return f'<rect x="{x:.2f}" y="{y:.2f}" {size} class="{name}"{corner}>{tip}</rect>'


def _line(x1: float, y1: float, x2: float, y2: float, name: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{name}"/>'


@dataclass(frozen=True)
class _Columns:
    """Right ends of a row's label, value and share; bars take the rest of the width."""

    label: float
    value: float
    share: float

    @property
    def start(self) -> float:
        return self.share + 18

    def x(self, fraction: float) -> float:
        return self.start + fraction * (WIDTH - self.start)

    def texts(self, y: float, label: str, value: str, share: str = "", strong: str = "") -> list[str]:
        """The row's three texts on the base line y."""
        return [
            _text(0, y, _short(label, self.label), f"label {strong}", full=label),
            _text(self.value, y, value, f"value {strong}", "end"),
            *([_text(self.share, y, share, "share", "end")] if share else []),
        ]


def _columns(labels: Iterable[str], values: Iterable[str], shares: bool = True) -> _Columns:
    label = min(max(map(text_width, labels), default=0) + 8, WIDEST_LABEL)
    value = label + max(map(text_width, values), default=0) + 24
    return _Columns(label, value, value + (66 if shares else 0))


def _waterfall(block: Waterfall) -> str:
    """Totals start at the axis; each loss starts where the sum before it ended."""
    whole = max((step.value for step in block.steps if step.total), default=0) or 1
    values = [("" if step.total else "−") + show(step.value, block.unit) for step in block.steps]
    columns = _columns((step.label for step in block.steps), values)
    body, level = [], 0.0
    for row, (step, value) in enumerate(zip(block.steps, values, strict=True)):
        y, share = row * ROW, show(step.value / whole, "share")
        before, level = (0.0, step.value) if step.total else (level, level - step.value)
        left, right = columns.x(min(before, level) / whole), columns.x(max(before, level) / whole)
        tip = f"{step.label}: {value}, {share}" + (f" ({step.note})" if step.note else "")
        body.append(_rect(0, y, WIDTH, ROW, "hover", tip))
        if row and not step.total:
            body.append(_line(right, y - 5.5, right, y + 5.5, "joint"))
        body.append(_rect(left, y + 5, max(right - left, 1.5), ROW - 10, f"bar {step.tone}", tip, 2))
        body += columns.texts(y + 17, step.label, value, share, "strong" if step.total else "")
    return _svg(block.title, WIDTH, len(block.steps) * ROW, body, "rows")


def _bars(block: Bars) -> str:
    return _stacked(block) if block.stacked else _grouped(block)


def _stacked(block: Bars) -> str:
    """Each row filled to the whole; beside it its sum and the share of the first series."""
    values = [show(sum(bar.values), block.unit) for bar in block.bars]
    columns = _columns((bar.label for bar in block.bars), values)
    body = []
    for row, (bar, sum_text) in enumerate(zip(block.bars, values, strict=True)):
        y, at, whole = row * ROW, 0.0, sum(bar.values) or 1
        for number, (series, value) in enumerate(zip(block.series, bar.values, strict=True)):
            tip = f"{bar.label}, {series.name}: {show(value, block.unit)}, {show(value / whole, 'share')}"
            left, right = columns.x(at / whole), columns.x((at + value) / whole)
            body.append(_rect(left, y + 5, right - left, ROW - 10, f"bar {_color(series.tone, number)}", tip))
            at += value
        body += columns.texts(y + 17, bar.label, sum_text, show(bar.values[0] / whole, "share"))
    return _svg(block.title, WIDTH, len(block.bars) * ROW, body, "rows")


def _grouped(block: Bars) -> str:
    """One row a label, one bar a series within it, all to one scale."""
    whole = max((value for bar in block.bars for value in bar.values), default=0) or 1
    texts = (show(value, block.unit) for bar in block.bars for value in bar.values)
    columns = _columns((bar.label for bar in block.bars), texts, shares=False)
    thick, body, y = (ROW - 10 if len(block.series) == 1 else 12), [], 0.0
    for bar in block.bars:
        height = max(ROW, len(block.series) * (thick + 2) + 10)
        body.append(_rect(0, y, WIDTH, height, "hover", f"{bar.label} ({bar.note})" if bar.note else bar.label))
        for number, (series, value) in enumerate(zip(block.series, bar.values, strict=True)):
            top, right = y + 5 + number * (thick + 2), columns.x(value / whole)
            tip = f"{bar.label}, {series.name}: {show(value, block.unit)}"
            width = max(right - columns.start, 1.0 if value else 0.0)
            body.append(_rect(columns.start, top, width, thick, f"bar {_color(series.tone, number)}", tip, 2))
            body += columns.texts(top + thick / 2 + 4.5, "" if number else bar.label, show(value, block.unit))
        y += height
    return _svg(block.title, WIDTH, y, body, "rows")


def _color(tone: Tone, number: int) -> str:
    return tone if tone != "plain" else f"s{number % 6}"


PLOT = (8.0, 40.0, 352.0, 152.0)  # left, top, right, bottom of a histogram's plot


def _histogram(block: Histogram) -> str:
    """Bars of counts; what lies beyond a bound is tinted. Where one side would be invisible heights are roots."""
    left, top, right, bottom = PLOT
    scale = _scale(block.edges[0], block.edges[-1], left, right, block.log)
    places = [(bound, _place(bound, [scale(edge) for edge in block.edges], scale)) for bound in block.thresholds]
    low = min(max([left, *(x for bound, x in places if bound.side == "min")]), right)
    high = max(min([right, *(x for bound, x in places if bound.side == "max")]), left)
    spans = [(scale(a), scale(b)) for a, b in pairwise(block.edges)]
    beyond = [not low < (a + b) / 2 < high for a, b in spans]
    highest = max(block.counts, default=0) or 1
    sides = (
        max((n for n, o in zip(block.counts, beyond, strict=True) if o == out), default=0) for out in (False, True)
    )
    root = 0 < min(sides) < 0.08 * highest
    body = [_rect(a, top, b - a, bottom - top, "beyond") for a, b in ((left, low), (high, right)) if b > a]
    for count, out, (a, b), edges in zip(block.counts, beyond, spans, pairwise(block.edges), strict=True):
        tall = (bottom - top) * (math.sqrt(count / highest) if root else count / highest)
        tip = f"{show(edges[0], 'number')} to {show(edges[1], 'number')}: {show(count, 'count')}"
        tall = max(tall, 1 if count else 0)
        body.append(_rect(a + 0.4, bottom - tall, b - a - 0.8, tall, f"bar {'dropped' if out else 'kept'}", tip))
    body.append(_line(left, bottom, right, bottom, "axis"))
    body += _ticks(_histogram_ticks(block), scale)
    body += _bounds(places)
    note = f"highest bar {show(highest, 'count')}" + (", heights are square roots" if root else "")
    body.append(_text(right, bottom + 33, note, "axis-label", "end"))
    return _svg(block.title, right + 8, bottom + 40, body, "histogram")


def _place(bound: Threshold, edges: list[float], scale: Callable[[float], float]) -> float:
    """Where a bound's line stands: between two bars where an edge is within half a bar, else at its value."""
    x, outward = scale(bound.value), 0.01 if bound.closed == "left" else -0.01
    edge = min(edges, key=lambda place: abs(place - x - outward))
    return edge if abs(edge - x) <= 0.505 * (edges[-1] - edges[0]) / (len(edges) - 1) else x


def _histogram_ticks(block: Histogram) -> list[float]:
    first, last = block.edges[0], block.edges[-1]
    if block.log:
        return log_ticks(first, last)
    whole = first % 1 == 0.5 and (last - first) / len(block.counts) == 1  # a bar for each whole number
    return [tick for tick in ticks(first, last, 4) if not whole or tick % 1 == 0]


def _ticks(values: Iterable[float], scale: Callable[[float], float]) -> list[str]:
    """Marks with their numbers below a histogram; one that would touch an earlier one is left out."""
    left, _, right, bottom = PLOT
    body: list[str] = []
    taken: list[tuple[float, float]] = []
    for value in values:
        x, half = scale(value), text_width(show(value, "number"), 11) / 2
        middle = min(max(x, left + half), right - half)
        if all(middle + half + 5 < a or middle - half - 5 > b for a, b in taken):
            taken.append((middle - half, middle + half))
            body += [
                _line(x, bottom, x, bottom + 4, "axis"),
                _text(middle, bottom + 17, show(value, "number"), "axis-label", "middle"),
            ]
    return body


def _tick(x: float, bottom: float, value: float, right: float) -> list[str]:
    text = show(value, "number")
    return [
        _line(x, bottom, x, bottom + 4, "axis"),
        _text(x, bottom + 17, text, "axis-label", "end" if x > right - 4 else "middle"),
    ]


def _bounds(places: list[tuple[Threshold, float]]) -> list[str]:
    """Lines with labels, two rows of them, each label on the side where it fits."""
    left, top, right, bottom = PLOT
    body, rows = [], [left - 99.0, left - 99.0]
    for bound, x in sorted(places, key=lambda place: place[1]):
        wide = text_width(bound.label, 12.5)
        anchor = "end" if x + wide + 4 > right and x - wide > left else "start"
        begin = x - wide - 3 if anchor == "end" else x + 3
        row = 0 if begin > rows[0] else 1
        rows[row] = begin + wide + 6
        y = top - 22 + row * 15
        body.append(_line(x, y - 9, x, bottom, "bound"))
        body.append(_text(x + (-4 if anchor == "end" else 4), y, bound.label, "bound-label", anchor))
    return body


def _scale(low: float, high: float, left: float, right: float, log: bool = False) -> Callable[[float], float]:
    f: Callable[[float], float] = math.log10 if log else float
    span = (f(high) - f(low)) or 1.0
    return lambda value: left + (f(value) - f(low)) / span * (right - left)


def _curve(block: Curve) -> str:
    """Both axes from the data's range, unless the curve says its own; a range within [0, 1] is drawn as [0, 1]."""
    left, top, right, bottom = 48.0, 34.0, 540.0, 250.0
    points = [point for line in block.lines for point in line.points] or [(0.0, 0.0)]
    (x0, x1), (y0, y1) = (_range([p[axis] for p in points]) for axis in (0, 1))
    y0, y1 = block.y_range or (y0, y1)
    x_of, y_of = _scale(x0, x1, left, right), _scale(y0, y1, bottom, top)
    body = [_line(left, y_of(t), right, y_of(t), "grid") for t in ticks(y0, y1)]
    body += [_text(left - 8, y_of(t) + 4, show(t, "number"), "axis-label", "end") for t in ticks(y0, y1)]
    for tick in ticks(x0, x1):
        body += _tick(x_of(tick), bottom, tick, right)
    for x, label in block.marks:
        anchor = "end" if x_of(x) + text_width(label, 11.5) > right else "start"
        body += [
            _line(x_of(x), top, x_of(x), bottom, "bound"),
            _text(x_of(x) + (4 if anchor == "start" else -4), top - 6, label, "bound-label", anchor),
        ]
    for number, line in enumerate(block.lines):
        body += _polyline(line, f"s{number % 6}", x_of, y_of)
    body += [
        _text((left + right) / 2, bottom + 34, block.x_label, "axis-label", "middle"),
        _text(0, top - 18, block.y_label, "axis-label"),
    ]
    return _svg(block.title, right + 10, bottom + 42, body, "curve")


def _polyline(line: Line, name: str, x_of: Callable[[float], float], y_of: Callable[[float], float]) -> list[str]:
    """The line, and unless it is thin an unseen dot on each point that carries its tooltip."""
    places = [(x_of(x), y_of(y), f"{line.name} {show(x, 'number')}: {show(y, 'number')}") for x, y in line.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
    name += " thin" if line.thin else ""
    return [
        f'<polyline points="{path}" class="line {name}"><title>{escape(line.name)}</title></polyline>',
        *(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="7" class="dot"><title>{escape(tip)}</title></circle>'
            for x, y, tip in places
            if not line.thin
        ),
    ]


def _scatter(block: Scatter) -> str:
    """Points with names; a name that would cover an earlier one moves round its point, or is left to the tooltip."""
    left, top, right, bottom = 48.0, 30.0, 700.0, 320.0
    xs, ys = [p.x for p in block.points] or [1.0], [p.y for p in block.points] or [0.0]
    low, high = (min(xs) / 1.5, max(xs) * 1.5) if block.log_x else _range(xs)
    y0, y1 = (min(0.0, *ys), max(ys) * 1.08 or 1.0) if len(ys) > 1 else (0.0, ys[0] * 1.2 or 1.0)
    x_of, y_of = _scale(low, high, left, right, block.log_x), _scale(y0, y1, bottom, top)
    body = [_line(left, y_of(t), right, y_of(t), "grid") for t in ticks(y0, y1)]
    body += [_text(left - 8, y_of(t) + 4, show(t, "number"), "axis-label", "end") for t in ticks(y0, y1)]
    for tick in sorted(log_ticks(low, high) if block.log_x else ticks(low, high)):
        if not block.log_x or str(tick)[0] == "1" or high / low < 50:
            body += _tick(x_of(tick), bottom, tick, right)
    taken = [(x_of(p.x) - 6, x_of(p.x) + 6, y_of(p.y) + 4) for p in block.points]
    for point in sorted(block.points, key=lambda p: (-p.y, p.label)):
        x, y = x_of(point.x), y_of(point.y)
        tip = f"{point.label}: {show(point.x, 'number')}, {show(point.y, 'number')}"
        body.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" class="point"><title>{escape(tip)}</title></circle>')
        body += _name_of_point(x, y, point.label, right, taken)
    body += [
        _text((left + right) / 2, bottom + 34, block.x_label, "axis-label", "middle"),
        _text(0, top - 14, block.y_label, "axis-label"),
    ]
    return _svg(block.title, right + 10, bottom + 42, body, "scatter")


def _name_of_point(x: float, y: float, label: str, right: float, taken: list[tuple[float, float, float]]) -> list[str]:
    text = _short(label, 220, 11)
    wide = text_width(text, 11)
    for dx, dy in ((9, 4), (-9 - wide, 4), (-wide / 2, -10), (-wide / 2, 19)):
        a, b = x + dx, y + dy
        free = all(a + wide < c or a > d or abs(b - e) > 12 for c, d, e in taken)
        if free and a >= 0 and a + wide <= right + 10:
            taken.append((a, a + wide, b))
            return [_text(a, b, text, "axis-label", full=label)]
    return []


def _range(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high if high > low else low + 1)
