"""The report of a finished corpus run, built from its output folder alone.

Everything is read from the manifest, the audit, the signals, the clusters and the shards; only texts of dropped
documents, which no output holds, come through ``texts``. Times come from run.json and stand in a section of their
own: the rest of the report is the same for the same manifest.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jacorpus.report import duplicates, excerpts
from jacorpus.report.excerpts import Texts
from jacorpus.report.folder import Folder
from jacorpus.report.histograms import Wanted, count_names, histograms
from jacorpus.report.ledger import Ledger, read_ledger
from jacorpus.report.report import (
    Block,
    Cell,
    Column,
    Fact,
    Facts,
    Paragraph,
    Report,
    Section,
    Table,
    show,
)
from jacorpus.report.retention import retention
from jacorpus.rules.rule import Rule

EACH = 4  # documents shown a reason
CLUSTERS, MEMBERS = 6, 3  # clusters shown a dedup stage, duplicates shown a cluster


def corpus_report(out: Path, texts: Texts | None = None) -> Report:
    """The whole report of a finished output folder.

    texts: gives the measured text of ids, where the run kept it; without it dropped documents are listed without
    their passage. Raises OSError or KeyError when the folder is no finished output.
    """
    folder = Folder(out, json.loads((out / "manifest.json").read_text("utf-8")))
    ledger = read_ledger(folder.parts("audit"), EACH, folder.dropping)
    sections = [
        _overview(folder),
        retention(folder, ledger),
        Section("thresholds", "Thresholds", _thresholds(folder)),
        Section("rules", "Rules", _rules(folder, ledger)),
        Section("documents", "Documents", _documents(folder, ledger, texts)),
        Section("duplicates", "Duplicates", _duplicates(folder, texts)),
        Section("failures", "Failed records", tuple(excerpts.failures(ledger, folder.fates()))),
        Section("languages", "Languages and charsets", _names(folder)),
        Section("privacy", "Privacy and benchmarks", _privacy(folder)),
        Section("recipe", "Stages", _stages(folder)),
        Section("run", "This run", _run(out)),
    ]
    counts = folder.manifest["counts"]
    share = show(counts["kept"] / (counts["read"] or 1), "share")
    read, kept = show(counts["read"], "count"), show(counts["kept"], "count")
    subtitle = f"Corpus report: {read} records read, {kept} documents kept ({share})."
    return Report(folder.manifest["name"], subtitle, tuple(section for section in sections if section.blocks))


def _overview(folder: Folder) -> Section:
    manifest, counts, size = folder.manifest, folder.manifest["counts"], folder.manifest["bytes"]
    read = counts["read"] or 1
    facts = [
        Fact("records read", counts["read"], "count"),
        Fact("documents kept", counts["kept"], "count", show(counts["kept"] / read, "share"), "kept"),
        Fact("dropped", counts["dropped"], "count", show(counts["dropped"] / read, "share"), "dropped"),
        Fact("failed", counts["failed"], "count", show(counts["failed"] / read, "share"), "failed"),
        Fact("text kept", size["kept_text"], "bytes", f"of {show(size['read_text'], 'bytes')} measured", "kept"),
    ]
    if manifest.get("bytes_per_token"):
        tokens = size["kept_text"] / manifest["bytes_per_token"]
        facts.append(
            Fact("tokens, about", tokens, "count", f"at {manifest['bytes_per_token']:g} bytes per token", "kept")
        )
    skipped = ", ".join(f"{show(n, 'count')} {kind}" for kind, n in sorted(manifest.get("skipped", {}).items()) if n)
    blocks: list[Block] = [Facts(tuple(facts))]
    if skipped:
        blocks.append(Paragraph(f"Beside the records the inputs held: {skipped}."))
    return Section("overview", "Overview", (*blocks, _inputs(manifest["inputs"])))


def _inputs(inputs: Sequence[dict[str, Any]]) -> Table:
    columns = (
        Column("domain"),
        Column("source"),
        Column("files", "count"),
        Column("on disk", "bytes"),
        Column("first file"),
    )
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in inputs:
        groups.setdefault((one["domain"], str(one["source"])), []).append(one)
    rows = tuple(
        (domain, source, len(own), sum(one["bytes"] for one in own), own[0]["file"])
        for (domain, source), own in sorted(groups.items())
    )
    return Table("Inputs", columns, rows)


def _thresholds(folder: Folder) -> tuple[Block, ...]:
    groups: dict[tuple[str, tuple[str, ...] | None], list[Rule]] = {}
    for number, rule in enumerate(folder.rules):
        if number in folder.dropping:
            groups.setdefault((rule.signal, rule.domains), []).append(rule)
    wanted = [Wanted(signal, domains, tuple(rules)) for (signal, domains), rules in groups.items()]
    drawn = histograms(folder.parts("signals"), wanted)
    text = (
        "Every signal that a dropping rule uses, over all documents measured, with its bound. The tinted side is "
        "dropped. A document counts here wherever it lies beyond the bound, even if an earlier rule dropped it first."
    )
    return (Paragraph(text), *drawn) if drawn else ()


def _rules(folder: Folder, ledger: Ledger) -> tuple[Block, ...]:
    """Every rule of the resolved recipe, those not in force included."""
    first = {fate[1:]: number for fate, number in folder.fates() if fate[0] == "dropped"}
    titles = ("reason", "signal", "keeps", "stage", "domains", "in force")
    columns = (
        *(Column(title) for title in titles),
        Column("fail", "count"),
        Column("fail it alone", "count"),
        Column("dropped by it", "count"),
    )
    rows: list[tuple[Cell, ...]] = []
    for listed, rule in zip(folder.manifest["rules"], folder.rules, strict=True):
        number = listed["index"]
        force = "no: not measured" if not listed["active"] else f"recorded, tier {rule.tier}" if rule.tier else "yes"
        counts = ledger.failing[number], ledger.alone[number], first.pop((rule.stage, rule.reason), None)
        domains = ", ".join(rule.domains or ("all",))
        rows.append(
            (
                rule.reason,
                rule.signal,
                rule.describe(),
                rule.stage,
                domains,
                force,
                *(counts if number in folder.dropping else (counts[0], None, None)),
            )
        )
    note = (
        "Fail: beyond the bound, whatever else. Alone: no other rule would drop it. "
        "Dropped by it: its first reason; rules that share a reason share the number, shown once."
    )
    return (Table("All rules", columns, tuple(rows), note),) if rows else ()


def _documents(folder: Folder, ledger: Ledger, texts: Texts | None) -> tuple[Block, ...]:
    kept = excerpts.kept(folder.out, folder.manifest["shards"], folder.manifest["domains"], EACH)
    dropped = excerpts.dropped(ledger, folder.fates(), folder.rules, texts)
    text = (
        "A fair draw of each fate, the same in every run. "
        "The passage a rule objects to is marked where there is one to point at."
    )
    if texts is None:
        text += " The measured text was not kept, so dropped documents are listed without their passage."
    return (Paragraph(text), *kept, *dropped) if kept or dropped else ()


def _duplicates(folder: Folder, texts: Texts | None) -> tuple[Block, ...]:
    dedup = folder.manifest.get("dedup", [])
    if not dedup:
        return ()
    blocks: list[Block] = [duplicates.summary(dedup), *duplicates.curves(dedup, folder.manifest["stages"])]
    for part in folder.manifest.get("clusters", []):
        path = folder.out / part["path"]
        if part["rows"]:
            blocks.append(duplicates.sizes(path, part["label"]))
            blocks += duplicates.largest(path, part["label"], texts, CLUSTERS, MEMBERS)
    return tuple(blocks)


def _names(folder: Folder) -> tuple[Block, ...]:
    """A table for each signal that is a name: language, charset, and what else there is."""
    tables = []
    for name, counts in sorted(count_names(folder.parts("signals")).items()):
        total = sum(documents for documents, _ in counts.values()) or 1
        ordered = sorted(counts.items(), key=lambda item: (-item[1][0], item[0]))
        rows = [(value or "(unknown)", documents, documents / total, size) for value, (documents, size) in ordered[:20]]
        rest = ordered[20:]
        if rest:
            documents, size = (sum(counts[i] for _, counts in rest) for i in (0, 1))
            rows.append((f"{len(rest):,} others", documents, documents / total, size))
        tables.append(
            Table(
                name,
                (Column("name"), Column("documents", "count"), Column("share", "share"), Column("text", "bytes")),
                tuple(rows),
            )
        )
    return tuple(tables)


def _privacy(folder: Folder) -> tuple[Block, ...]:
    """Redactions by kind, and documents that hold a benchmark's text."""
    blocks: list[Block] = []
    redactions = folder.manifest.get("redactions") or {}
    if redactions:
        rows = tuple(sorted(redactions.items(), key=lambda item: (-item[1], item[0])))
        blocks.append(Table("Redacted in the kept text", (Column("kind"), Column("places", "count")), rows))
    uses = {stage["label"]: str(stage["use"]) for stage in folder.manifest["stages"]}
    hits = [
        (stage, reason, n)
        for (state, stage, reason), n in folder.fates()
        if state == "dropped" and uses.get(stage, "").startswith("decontaminate")
    ]
    if hits:
        blocks.append(
            Table(
                "Documents that hold a benchmark's text",
                (Column("stage"), Column("reason"), Column("dropped", "count")),
                tuple(hits),
            )
        )
    return tuple(blocks)


def _stages(folder: Folder) -> tuple[Block, ...]:
    rows = tuple(
        (
            stage["label"],
            stage["use"],
            ", ".join(
                f"{key} = {json.dumps(value, ensure_ascii=False)}"
                for key, value in sorted(stage.get("options", {}).items())
            ),
        )
        for stage in folder.manifest["stages"]
    )
    note = f"Seed {folder.manifest['seed']}. The whole recipe as it was resolved is recipe.resolved.toml."
    return (Table("Stages in order", (Column("label"), Column("use"), Column("options")), rows, note),) if rows else ()


def _run(out: Path) -> tuple[Block, ...]:
    path = out / "run.json"
    if not path.is_file():
        return ()
    run = json.loads(path.read_text("utf-8"))
    columns = (
        Column("phase"),
        Column("tasks", "count"),
        Column("reused", "count"),
        Column("wall time", "s"),
        Column("CPU time", "s"),
        Column("bytes", "bytes"),
        Column("per wall second", "bytes/s"),
        Column("per CPU second", "bytes/s"),
    )
    rows = tuple(
        (
            p["kind"],
            p["tasks"],
            p["reused"],
            p["wall_s"],
            p["cpu_s"],
            p["bytes"],
            _rate(p["bytes"], p["wall_s"]),
            _rate(p["bytes"], p["cpu_s"]),
        )
        for p in run.get("phases", [])
    )
    facts = [("started", run.get("started")), ("finished", run.get("finished")), ("host", run.get("host"))]
    facts += [("workers", run.get("workers")), ("engine", run.get("engine")), *sorted(run.get("versions", {}).items())]
    about = Table(
        "Where and when",
        (Column("what"), Column("value")),
        tuple((name, str(value)) for name, value in facts if value is not None),
    )
    return Table("Phases", columns, rows, "What was reused took no time; these numbers change from run to run."), about


def _rate(size: float, seconds: float) -> float | None:
    return size / seconds if size and seconds > 0 else None
