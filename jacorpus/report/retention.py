"""What became of everything read: waterfalls by stage and by reason, shares by domain and source."""

from collections import Counter
from collections.abc import Sequence

from jacorpus.report.folder import Folder
from jacorpus.report.ledger import Ledger
from jacorpus.report.report import Bar, Bars, Block, Cell, Column, Section, Series, Step, Table, Views, Waterfall

STATES = (Series("kept", "kept"), Series("dropped", "dropped"), Series("failed", "failed"))


def retention(folder: Folder, ledger: Ledger) -> Section:
    """Waterfalls by stage and by reason, shares by domain, a table by source."""
    domains = folder.manifest["domains"]
    everything: list[tuple[str, str | None, str]] = [("documents", None, "documents"), ("bytes of text", None, "bytes")]
    asked = everything + [(domain, domain, "documents") for domain in domains if len(domains) > 1][:12]
    by_stage = Views(tuple((name, _by_stage(folder, domain, weight)) for name, domain, weight in asked))
    by_reason = Views(tuple((name, _by_reason(folder, domain, weight)) for name, domain, weight in asked))
    bars = tuple(Bar(name, (float(d["kept"]), float(d["dropped"]), float(d["failed"]))) for name, d in domains.items())
    return Section(
        "retention",
        "Retention",
        (
            by_stage,
            by_reason,
            Bars("By domain: kept, dropped, failed", "count", STATES, bars, stacked=True),
            *_by_source(folder, ledger),
        ),
    )


def _totals(folder: Folder, domain: str | None, weight: str) -> tuple[float, float]:
    """(all, kept); in bytes of text, what failed has none."""
    own = [fate for fate in folder.manifest["fates"] if domain in (None, fate["domain"])]
    own = [fate for fate in own if weight == "documents" or fate["state"] != "failed"]
    return sum(fate[weight] for fate in own), sum(fate[weight] for fate in own if fate["state"] == "kept")


def _waterfall(title: str, folder: Folder, domain: str | None, weight: str, losses: Sequence[Step]) -> Waterfall:
    everything, kept = _totals(folder, domain, weight)
    first = Step("read" if weight == "documents" else "measured", everything, "plain", True)
    return Waterfall(
        title, "count" if weight == "documents" else "bytes", (first, *losses, Step("kept", kept, "kept", True))
    )


def _by_stage(folder: Folder, domain: str | None, weight: str) -> Waterfall:
    uses = folder.uses
    losses: Counter[tuple[str, str]] = Counter()
    for (state, stage, _), number in folder.fates(domain, weight):
        if weight == "documents" or state != "failed":
            losses[stage, state] += number
    steps = [
        Step(
            f"{stage}, failed" if state == "failed" else stage,
            number,
            "failed" if state == "failed" else "dropped",
            note=uses.get(stage, ""),
        )
        for (stage, state), number in losses.items()
    ]
    return _waterfall("What each stage takes away", folder, domain, weight, steps)


def _by_reason(folder: Folder, domain: str | None, weight: str) -> Waterfall:
    fates = [
        (fate, number) for fate, number in folder.fates(domain, weight) if weight == "documents" or fate[0] != "failed"
    ]
    several = Counter(reason for (_, _, reason), _ in fates)
    steps = [
        Step(
            f"{reason} ({stage})" if several[reason] > 1 or state == "failed" else reason,
            number,
            "failed" if state == "failed" else "dropped",
            note=f"{state} by {stage}",
        )
        for (state, stage, reason), number in fates
    ]
    return _waterfall("The first reason each document met", folder, domain, weight, steps)


def _by_source(folder: Folder, ledger: Ledger) -> list[Block]:
    """By source within a domain, counted in the audit."""
    sources = {(one["domain"], one["file"]): str(one["source"]) for one in folder.manifest["inputs"]}
    counts: dict[tuple[str, str], Counter[str]] = {}
    for (domain, file, state), number in ledger.files.items():
        counts.setdefault((domain, sources.get((domain, file), "")), Counter())[state] += number
    states = [series.name for series in STATES]
    columns = (
        Column("domain"),
        Column("source"),
        Column("read", "count"),
        *(Column(state, "count") for state in states),
        Column("kept share", "share"),
    )
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (*key, sum(own.values()), *(own[state] for state in states), own["kept"] / (sum(own.values()) or 1))
        for key, own in sorted(counts.items())
    )
    return [Table("By source", columns, rows)] if rows else []
