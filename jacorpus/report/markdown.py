"""A report as Markdown: every chart becomes a table, every marked passage is bold."""

from jacorpus.report.report import (
    Bars,
    Block,
    Column,
    Curve,
    Excerpts,
    Facts,
    Histogram,
    Paragraph,
    Report,
    Scatter,
    Segmentations,
    Table,
    Views,
    Waterfall,
    show,
)


def markdown(report: Report) -> str:
    """The whole report, ending in one line break."""
    lines = [f"# {report.title}", "", report.subtitle, ""]
    for section in report.sections:
        lines += [f"## {section.title}", ""]
        for block in section.blocks:
            lines += _block(block)
    return "\n".join(lines).rstrip() + "\n"


def _block(block: Block) -> list[str]:
    match block:
        case Paragraph(text):
            return [text, ""]
        case Facts(facts):
            return _table(
                (Column("what"), Column("value"), Column("")), [(f.label, show(f.value, f.unit), f.note) for f in facts]
            )
        case Table():
            return _titled(block.title, block.note, _table(block.columns, block.rows))
        case Views(views):
            return [line for name, view in views[:2] for line in [f"*{name}*", "", *_block(view)]]
        case Excerpts():
            return _excerpts(block)
        case Segmentations():
            return _segmentations(block)
        case _:
            columns, rows = as_table(block)
            return _titled(block.title, block.note, _table(columns, rows))


def as_table(block: Bars | Waterfall | Histogram | Curve | Scatter) -> tuple[tuple[Column, ...], list[tuple]]:
    """A chart's numbers as columns and rows."""
    match block:
        case Bars():
            titles = tuple(Column(series.name, block.unit) for series in block.series)
            return (Column(""), *titles), [(bar.label, *bar.values) for bar in block.bars]
        case Waterfall():
            return (Column(""), Column("value", block.unit)), [
                (s.label, s.value if s.total else -s.value) for s in block.steps
            ]
        case Histogram():
            bounds = ", ".join(threshold.label for threshold in block.thresholds)
            titled = ("bounds", "text"), ("documents", "count"), ("beyond a bound", "count"), ("unknown", "count")
            row = (bounds, block.total, block.failing, block.unknown)
            return tuple(Column(title, unit) for title, unit in titled), [row]  # type: ignore[arg-type]
        case Curve():
            names = tuple(Column(line.name, "number") for line in block.lines)
            by_x = [dict(line.points) for line in block.lines]
            xs = sorted({x for points in by_x for x in points})
            return (Column(block.x_label, "number"), *names), [(x, *(points.get(x) for points in by_x)) for x in xs]
        case Scatter():
            columns = (Column(""), Column(block.x_label, "number"), Column(block.y_label, "number"))
            return columns, [(point.label, point.x, point.y) for point in block.points]


def _segmentations(block: Segmentations) -> list[str]:
    """Tokens set apart by bars; the number of them behind the name."""
    columns = Column("tokenizer"), Column("tokens", "count"), Column("cut")
    rows = [(row.name, len(row.segments), "¦".join(s.text for s in row.segments)) for row in block.rows]
    return _titled(block.title, block.note, _table(columns, rows))


def _titled(title: str, note: str, lines: list[str]) -> list[str]:
    return [*([f"**{title}**", ""] if title else []), *lines, *([note, ""] if note else [])]


def _table(columns: tuple[Column, ...], rows) -> list[str]:
    rule = "|".join("---" if column.unit == "text" else "---:" for column in columns)
    body = [
        "| " + " | ".join(_cell(show(value, column.unit)) for value, column in zip(row, columns, strict=True)) + " |"
        for row in rows
    ]
    return ["| " + " | ".join(_cell(column.title) for column in columns) + " |", f"|{rule}|", *body, ""]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _excerpts(block: Excerpts) -> list[str]:
    lines = []
    for excerpt in block.excerpts:
        facts = ", ".join(f"{label}: {value}" for label, value in excerpt.facts)
        text = "".join(
            f"**{piece.text}**" if piece.mark == "hit" else _changed(piece.text, piece.mark) for piece in excerpt.pieces
        )
        lines += [f"- {_cell(excerpt.title)} ({_cell(facts)})", *(f"  > {line}" for line in text.splitlines())]
    return _titled(block.title, block.note, [*lines, ""])


def _changed(text: str, mark: str) -> str:
    return {"removed": f"~~{text}~~", "added": f"**+{text}**", "gap": "…"}.get(mark, text)
