"""The report of a mixture: the answer first, then how firm it is, what it was compared with, what it takes.

    report_of(result)               .to_html() is one page that needs no network; .to_json(), .to_markdown()
    write_report(result, folder)    report.html and report.json
    ledger(result)                  tokens, epochs and what repeats are worth, by source

Sections with nothing to say are left out: a mixture without limits has none of limits.
"""

import os
from pathlib import Path

from jacorpus.report.report import Block, Report, Section
from mixing.optimize import Result
from mixing.reporting import answer, cells, landscape, methods, sources, trust
from mixing.reporting.sources import ledger

__all__ = ["ledger", "report_of", "write_report"]


def report_of(result: Result) -> Report:
    """Of what ``optimize`` found."""
    parts: tuple[tuple[str, str, list[Block]], ...] = (
        ("answer", "The answer", answer.blocks(result)),
        ("as_good", "As good", landscape.as_good(result)),
        ("methods", "Methods side by side", methods.blocks(result)),
        ("way", "On the way", methods.way(result)),
        ("targets", "Targets against each other", landscape.targets(result)),
        ("limits", "Limits", landscape.limits(result)),
        ("sources", "What is taken from each source", sources.blocks(result)),
        ("trust", "How far to trust it", trust.blocks(result)),
    )
    sections = tuple(Section(key, title, tuple(blocks)) for key, title, blocks in parts if blocks)
    return Report(f"Mixture by {_who(result)}", _subtitle(result), sections)


def write_report(result: Result, folder: Path) -> Path:
    """Write ``report.html`` and ``report.json``, each whole or not at all; returns the page's path. Raises OSError."""
    report = report_of(result)
    for name, text in (("report.json", report.to_json()), ("report.html", report.to_html())):
        (folder / f"{name}.tmp").write_text(text, encoding="utf-8")
        os.replace(folder / f"{name}.tmp", folder / name)
    return folder / "report.html"


def _who(result: Result) -> str:
    return "your own weights" if result.settings.weights else result.chosen.name


def _subtitle(result: Result) -> str:
    count = len(cells.used(result))
    text = f"{count} domain{'' if count == 1 else 's'}, for {answer.target_words(result)}"
    return f"{text}, {result.problem.tokens:,.0f} tokens of training." if result.problem.tokens else f"{text}."
