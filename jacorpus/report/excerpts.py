"""Documents to look at: dropped and failed ones by reason, kept ones by domain, each cut to its telling passage."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from jacorpus.report.folder import Folder
from jacorpus.report.ledger import Fate, Ledger, id_halves
from jacorpus.report.passages import differing, excerpt, offending
from jacorpus.report.report import Column, Excerpt, Excerpts, Piece, Table, show
from jacorpus.rule import Rule

Texts: TypeAlias = Callable[[list[bytes]], dict[bytes, str]]
"""Texts of the ids asked for; ids it does not know are absent from the answer."""

SHARDS_OPENED = 8  # a domain; one batch of each is read


def keeps(rule: Rule) -> str:
    """What a rule keeps: ``≥ 400``, ``in ja, en``."""
    return rule.describe().replace(">= ", "≥\u00a0").replace("<= ", "≤\u00a0").replace("in ", "in\u00a0")


def dropped(folder: Folder, ledger: Ledger, texts: Texts | None) -> list[Excerpts]:
    """One block for each fate that dropped a document."""
    chosen = [(fate, total, ledger.drawn.get(fate, [])) for fate, total in folder.fates() if fate[0] == "dropped"]
    rules = folder.rules
    ids = {row[name] for _, _, rows in chosen for row in rows for name in ("id", "kept_id") if row[name]}
    known = texts(sorted(ids)) if texts else {}
    blocks = []
    for fate, total, rows in chosen:
        passages = tuple(_dropped(row, _rule_of(row, rules), known, folder) for row in rows)
        blocks.append(Excerpts(f"{fate[2]} · {fate[1]}", passages, total, "dropped"))
    return blocks


def failures(ledger: Ledger, fates: Sequence[tuple[Fate, int]]) -> list[Table]:
    """Each reason with some of its records: where they lie and what was wrong."""
    columns = (Column("file"), Column("position", "count"), Column("what happened"), Column("URL"))
    return [
        Table(
            f"{reason} · {stage}: {show(total, 'count')}",
            columns,
            tuple(
                (row["file"], row["position"], row["detail"] or "", row["url"] or "")
                for row in ledger.drawn.get((state, stage, reason), [])
            ),
        )
        for (state, stage, reason), total in fates
        if state == "failed"
    ]


def kept(out: Path, shards: Sequence[dict[str, Any]], domains: dict[str, dict[str, int]], each: int) -> list[Excerpts]:
    """Some kept documents of each domain, out of up to 8 of its shards."""
    blocks = []
    for domain, counts in domains.items():
        own = [shard["path"] for shard in shards if shard["domain"] == domain and shard["documents"]]
        some = own[:: max(1, -(-len(own) // SHARDS_OPENED))]
        rows = sorted((row for path in some for row in _first_rows(out / path, each)), key=lambda row: row["draw"])[
            :each
        ]
        passages = tuple(_kept(row) for row in rows)
        if passages:
            blocks.append(Excerpts(f"kept · {domain}", passages, counts["kept"], "kept"))
    return blocks


def _first_rows(path: Path, each: int) -> list[dict[str, Any]]:
    """The ``each`` rows of smallest draw out of a shard's first batch."""
    with pa.memory_map(str(path)) as file:
        reader = pa.ipc.open_file(file)
        if not reader.num_record_batches:
            return []
        batch = reader.get_batch(0)
        draws = id_halves(batch["id"])[:, 1]
        rows = np.argsort(draws, kind="stable")[:each]
        return [
            {**row, "draw": int(draws[i])} for i, row in zip(rows, batch.take(pa.array(rows)).to_pylist(), strict=True)
        ]


def _kept(row: dict[str, Any]) -> Excerpt:
    facts = [("id", row["id"].hex()), ("split", row["split"]), ("characters", show(len(row["text"]), "count"))]
    if row["cluster_size"] > 1:
        facts.append(("stands for", f"{row['cluster_size']:,} documents"))
    return Excerpt(row["url"] or row["id"].hex(), tuple(facts), excerpt(row["text"], []), "kept")


def _rule_of(row: dict[str, Any], rules: Sequence[Rule]) -> Rule | None:
    """The rule behind an audit row: same stage and reason, in force for its domain, and failed by its value."""
    own = [
        rule
        for rule in rules
        if (rule.stage, rule.reason) == (row["stage"], row["reason"])
        and (not rule.domains or row["domain"] in rule.domains)
    ]
    if row["value"] is not None:
        value = pa.array([row["value"]])
        own = [
            rule
            for rule in own
            if all(not isinstance(bound, tuple) for _, bound in rule.bound) and rule.fails(value)[0]
        ] or own
    return own[0] if own else None


def _dropped(row: dict[str, Any], rule: Rule | None, texts: dict[bytes, str], folder: Folder) -> Excerpt:
    facts = [("id", row["id"].hex()), ("domain", row["domain"])]
    if rule is not None:
        value = "" if row["value"] is None else f" {show(row['value'], 'number')}"
        facts.insert(0, (rule.signal + value, f"not {keeps(rule)}"))
    elif row["value"] is not None:
        facts.insert(0, ("value", show(row["value"], "number")))
    if row["kept_id"]:
        facts.append(("kept instead", row["kept_id"].hex()))
    if row["detail"]:
        facts.append(("detail", row["detail"]))
    return Excerpt(
        row["url"] or f"{row['file']} at {row['position']:,}",
        tuple(facts),
        _passage(row, rule, texts, folder),
        "dropped",
    )


def _passage(row: dict[str, Any], rule: Rule | None, texts: dict[bytes, str], folder: Folder) -> tuple[Piece, ...]:
    text = texts.get(row["id"])
    if text is None:
        return ()
    keeper = texts.get(row["kept_id"])
    if keeper is not None and keeper != text:
        return differing(text, keeper)
    if rule is None:
        return excerpt(text, [])
    blank_lines = folder.options.get(rule.signal.split(".")[0], {}).get("split") == "lf"
    return excerpt(text, offending(rule.signal, text, folder.keywords(rule.signal), blank_lines))
