"""The report of a finished corpus run, built from its output folder alone.

Everything is read from the manifest, the audit, the signals, the clusters and the shards; only texts of dropped
documents, which no output holds, come through ``texts``. Times come from run.json and stand in a section of their
own: the rest of the report is the same for the same manifest.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jacorpus.manifest import load_manifest
from jacorpus.report import duplicates, excerpts
from jacorpus.report.excerpts import Texts, keeps
from jacorpus.report.folder import Folder
from jacorpus.report.histograms import Wanted, histograms
from jacorpus.report.ledger import Ledger, read_ledger
from jacorpus.report.names import Counts, Named, count_names
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
from jacorpus.rule import Rule

NAMES = 20  # rows of a table of names
EACH = 4  # documents shown a reason
CLUSTERS, MEMBERS = 6, 3  # clusters shown a dedup stage, duplicates shown a cluster


def corpus_report(out: Path, texts: Texts | None = None) -> Report:
    """The whole report of a finished output folder.

    texts: gives the measured text of ids, where the run kept it; without it dropped documents are listed without
    their passage. Raises JacorpusError when no run finished in the folder.
    """
    folder = Folder(out, load_manifest(out))
    ledger = read_ledger(folder.parts("audit"), EACH, folder.dropping)
    names = count_names(folder.parts("signals"), folder.parts("audit"))
    sections = [
        _overview(folder),
        retention(folder, ledger),
        Section("thresholds", "Thresholds", _thresholds(folder)),
        Section("rules", "Rules", _rules(folder, ledger)),
        Section("documents", "Documents", _documents(folder, ledger, texts)),
        Section("duplicates", "Duplicates", _duplicates(folder, texts)),
        Section("failures", "Failed records", tuple(excerpts.failures(ledger, folder.fates()))),
        Section("languages", "Languages, charsets, sites", _names(folder, names)),
        Section("privacy", "Privacy and benchmarks", _privacy(folder, names)),
        Section("recipe", "Stages", _stages(folder)),
        Section("run", "This run", _run(folder.run)),
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
    titles = ("reason", "signal", "keeps", "stage", "domains", "in force")
    numbers = ("beyond it", "beyond it alone", "dropped by it")
    rows: list[tuple[Cell, ...]] = []
    for listed, rule in zip(folder.manifest["rules"], folder.rules, strict=True):
        i = listed["index"]
        force = "no: not measured" if not listed["active"] else f"recorded, tier {rule.tier}" if rule.tier else "yes"
        texts = (rule.reason, rule.signal, keeps(rule), rule.stage, ", ".join(rule.domains or ("all",)), force)
        drops = (ledger.alone[i], ledger.first[i]) if i in folder.dropping else (None, None)
        rows.append((*texts, ledger.failing[i] if listed["active"] else None, *drops))
    note = (
        "Beyond it: documents outside the bound, whatever else they fail. Alone: no other rule would drop them. "
        "Dropped by it: it was the first to object."
    )
    columns = *(Column(title) for title in titles), *(Column(title, "count") for title in numbers)
    return (Table("All rules", columns, tuple(rows), note),) if rows else ()


def _documents(folder: Folder, ledger: Ledger, texts: Texts | None) -> tuple[Block, ...]:
    kept = excerpts.kept(folder.out, folder.manifest["shards"], folder.manifest["domains"], EACH)
    dropped = excerpts.dropped(folder, ledger, texts)
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


def _names(folder: Folder, names: dict[str, Counts]) -> tuple[Block, ...]:
    """A table for each signal that is a name: language, charset, host, and what else there is."""
    return tuple(_named(name, counts) for name, counts in sorted(names.items()) if not folder.is_benchmark(name))


def _named(name: str, counts: Counts) -> Table:
    """The most frequent names, the rest in one row."""
    total = sum(count.documents for count in counts.values()) or 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1].documents, item[0]))
    rows = [(value or "(unknown)", count) for value, count in ordered[:NAMES]]
    if ordered[NAMES:]:
        rows.append((f"{len(ordered) - NAMES:,} others", sum((c for _, c in ordered[NAMES:]), Named())))
    columns = (
        Column(name),
        Column("documents", "count"),
        Column("share", "share"),
        Column("text", "bytes"),
        Column("kept", "count"),
        Column("kept share", "share"),
    )
    cells = tuple((v, c.documents, c.documents / total, c.bytes, c.kept, c.kept / c.documents) for v, c in rows)
    return Table("", columns, cells)


def _privacy(folder: Folder, names: dict[str, Counts]) -> tuple[Block, ...]:
    """Redactions by kind, and documents that hold text of a benchmark."""
    uses = folder.uses
    blocks: list[Block] = []
    written = folder.manifest.get("written", {})
    redacted = [(name, n) for name, n in written.items() if uses.get(name.split(".")[0], "").startswith("redact.")]
    if redacted:
        rows = tuple(sorted(redacted, key=lambda item: (-item[1], item[0])))
        blocks.append(Table("Redacted in the kept text", (Column("kind"), Column("places", "count")), rows))
    for name, counts in sorted(names.items()):
        hits = {value: count for value, count in counts.items() if value}
        if folder.is_benchmark(name):
            columns = Column(name), Column("documents", "count"), Column("kept", "count")
            ordered = sorted(hits.items(), key=lambda item: (-item[1].documents, item[0]))[:NAMES]
            cells = tuple((value, count.documents, count.kept) for value, count in ordered)
            note = "" if cells else "No document holds text of a benchmark."
            blocks.append(Table("Documents that hold text of a benchmark", columns, cells, note))
    return tuple(blocks)


def _stages(folder: Folder) -> tuple[Block, ...]:
    """Stages that measure or change documents, then those that only bring rules."""
    listed = [(stage["label"], stage["use"], stage["options"]) for stage in folder.manifest["stages"]]
    plain = {"use", "label", "domains"}
    listed += [(s["label"], s["use"], {k: v for k, v in s.items() if k not in plain and v}) for s in folder.rule_stages]
    rows = tuple((label, use, _options(options)) for label, use, options in listed)
    note = f"Seed {folder.manifest['seed']}. The whole recipe as it was resolved is recipe.resolved.toml."
    return (Table("Stages", (Column("label"), Column("use"), Column("options")), rows, note),) if rows else ()


def _options(options: dict[str, Any]) -> str:
    return ", ".join(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in sorted(options.items()))


def _run(run: dict[str, Any]) -> tuple[Block, ...]:
    """Times and versions, out of run.json."""
    if not run:
        return ()
    phases = run.get("phases", [])
    clocks = [name for name in ("wall", "cpu") if any(f"{name}_s" in phase for phase in phases)]
    columns = [Column("phase"), Column("tasks", "count"), Column("reused", "count"), Column("bytes", "bytes")]
    for name in clocks:
        columns += [Column(f"{name} time", "s"), Column(f"per {name} second", "bytes/s")]
    rows = [
        (
            *(phase[name] for name in ("kind", "tasks", "reused")),
            phase["bytes"] or None,
            *(cell for name in clocks for cell in _clock(phase["bytes"], phase.get(f"{name}_s"))),
        )
        for phase in phases
    ]
    facts = [("started", run.get("started")), ("finished", run.get("finished")), ("host", run.get("host"))]
    facts += [("workers", run.get("workers")), ("engine", run.get("engine")), *sorted(run.get("versions", {}).items())]
    about = Table(
        "Where and when",
        (Column("what"), Column("value")),
        tuple((name, str(value)) for name, value in facts if value is not None),
    )
    note = "Work found done is reused and takes no time. These numbers change from run to run."
    return Table("Phases", tuple(columns), tuple(rows), note), about


def _clock(size: int, seconds: float | None) -> tuple[Cell, Cell]:
    """Seconds, and bytes a second."""
    return seconds, size / seconds if size and seconds else None
