"""A report: a tree of sections that a person reads, and that renders as JSON, Markdown and HTML.

One type serves corpus, tokenizer, mixture, evaluation and benchmark. A report holds sections, a section holds
blocks, a block is one of the dataclasses below. Blocks hold raw numbers with a unit; ``show`` writes a number the
way people read it, so that every rendering (the terminal's too) says the same.

Units and how they are shown: jacorpus.report.numbers.
"""

import dataclasses
import json
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, TypeAlias

from jacorpus.report.numbers import Cell, Unit, show

Tone: TypeAlias = Literal["kept", "dropped", "failed", "plain"]


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Fact:
    """One headline number. note: a few words below it."""

    label: str
    value: Cell
    unit: Unit = "text"
    note: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True)
class Facts:
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Column:
    title: str
    unit: Unit = "text"


@dataclass(frozen=True)
class Table:
    """rows: one cell a column; None is shown as an empty cell."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Series:
    name: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Bar:
    """values: one a series. note: shown when pointed at."""

    label: str
    values: tuple[float, ...]
    note: str = ""


@dataclass(frozen=True)
class Bars:
    """Horizontal bars: side by side for each series, or stacked to the whole (``stacked``)."""

    title: str
    unit: Unit
    series: tuple[Series, ...]
    bars: tuple[Bar, ...]
    stacked: bool = False
    note: str = ""


@dataclass(frozen=True)
class Step:
    """One row of a waterfall. A total stands on the axis, a loss hangs from the sum before it."""

    label: str
    value: float
    tone: Tone = "dropped"
    total: bool = False
    note: str = ""


@dataclass(frozen=True)
class Waterfall:
    title: str
    unit: Unit
    steps: tuple[Step, ...]
    note: str = ""


@dataclass(frozen=True)
class Threshold:
    """A bound drawn into a histogram.

    side: what the bound asks for; the other side is dropped. strict: the value itself is dropped too.
    """

    value: float
    side: Literal["min", "max"]
    label: str
    strict: bool = False

    @property
    def closed(self) -> Literal["left", "right"]:
        """Which bin next to the bound its value belongs to: the one on its left or on its right."""
        return "left" if (self.side == "max") != self.strict else "right"


@dataclass(frozen=True)
class Histogram:
    """Counts of a signal's values.

    edges: len(counts) + 1, ascending. below, above: values outside the edges. unknown: documents without a
    value. log: edges are even in the logarithm. failing: documents beyond a threshold, counted exactly.
    """

    title: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    thresholds: tuple[Threshold, ...] = ()
    below: int = 0
    above: int = 0
    unknown: int = 0
    failing: int = 0
    log: bool = False
    note: str = ""

    @property
    def total(self) -> int:
        """Documents with a value."""
        return sum(self.counts) + self.below + self.above


@dataclass(frozen=True)
class Line:
    """thin: drawn faintly and without tooltips, for measurements behind their mean."""

    name: str
    points: tuple[tuple[float, float], ...]
    thin: bool = False


@dataclass(frozen=True)
class Curve:
    """Lines over one axis; marks are vertical lines with a label. y_range: of the axis; None takes it from the data."""

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    marks: tuple[tuple[float, str], ...] = ()
    note: str = ""
    y_range: tuple[float, float] | None = None


Mark: TypeAlias = Literal["", "hit", "added", "removed", "gap"]


@dataclass(frozen=True)
class Piece:
    """A run of text. mark: ``hit`` the offending passage; ``added``, ``removed`` against another text; ``gap`` cut."""

    text: str
    mark: Mark = ""


@dataclass(frozen=True)
class Excerpt:
    """A document's passage. facts: label and value shown above the text."""

    title: str
    facts: tuple[tuple[str, str], ...]
    pieces: tuple[Piece, ...]
    tone: Tone = "plain"


@dataclass(frozen=True)
class Excerpts:
    """Passages of documents that share a fate. total: how many documents share it. open: unfolded at first."""

    title: str
    excerpts: tuple[Excerpt, ...]
    total: int | None = None
    tone: Tone = "plain"
    note: str = ""
    open: bool = False


@dataclass(frozen=True)
class Point:
    label: str
    x: float
    y: float


@dataclass(frozen=True)
class Scatter:
    """Labeled points. log_x: the horizontal axis is even in the logarithm."""

    title: str
    x_label: str
    y_label: str
    points: tuple[Point, ...]
    log_x: bool = False
    note: str = ""


@dataclass(frozen=True)
class Segment:
    """One token of a passage: the text it stands for, ``⟨E3⟩`` for a byte of a character cut in two. note: its id and
    place, shown when pointed at. strange: bytes, or an unknown token."""

    text: str
    note: str = ""
    strange: bool = False


@dataclass(frozen=True)
class Segmented:
    name: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Segmentations:
    """The same passage as several tokenizers cut it, one below the other."""

    title: str
    rows: tuple[Segmented, ...]
    note: str = ""


@dataclass(frozen=True)
class Views:
    """The same thing seen in several ways (documents or bytes, one domain or all); a page shows one at a time."""

    views: tuple[tuple[str, "Block"], ...]


Block: TypeAlias = (
    Paragraph | Facts | Table | Bars | Waterfall | Histogram | Curve | Scatter | Excerpts | Segmentations | Views
)


@dataclass(frozen=True)
class Section:
    """key: a word that stays the same from report to report, used in links and JSON."""

    key: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Report:
    """title: what was made; subtitle: one line on what this is."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data; every block says its ``kind``."""
        return _plain(self)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=1, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        from jacorpus.report.markdown import markdown

        return markdown(self)

    def to_html(self) -> str:
        """One self-contained page: no request leaves it."""
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
        from markupsafe import Markup

        from jacorpus.report import svg

        here = Path(__file__).parent
        page = Environment(
            loader=FileSystemLoader(here),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        page.globals.update(
            show=show,
            kind=_kind,
            draw=lambda block: Markup(svg.draw(block)),
            css=Markup((here / "page.css").read_text(encoding="utf-8")),
            js=Markup((here / "page.js").read_text(encoding="utf-8")),
        )
        page.filters["runs"] = _runs
        return page.get_template("page.html").render(report=self)


def _kind(block: Block) -> str:
    return type(block).__name__.lower()


def _runs(blocks: tuple[Block, ...]) -> list[tuple[str, list[Block]]]:
    """Neighbors of one kind together: the page sets histograms in a grid and puts a filter over excerpts."""
    return [(name, list(run)) for name, run in groupby(blocks, _kind)]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if not dataclasses.is_dataclass(value):
        return value
    fields = {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return {"kind": _kind(value), **fields} if isinstance(value, Block) else fields
