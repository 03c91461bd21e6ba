"""The phases between measuring and publishing, coordinator side: cluster, decide, write, audit.

Each turns what is known so far into tasks, has the run do them, and adds what they gave.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from jacorpus.cluster import EDGE_BYTES, JoinTask, clusters_of, frequent_passages
from jacorpus.decide import Clusters, Decisions, decide, decision_tables, number_parts
from jacorpus.keys import key_of
from jacorpus.older import matched_older, open_older, split_older
from jacorpus.plan import MeasureTask, Step
from jacorpus.shards import read_table
from jacorpus.stage import SignaturePart
from jacorpus.tasks import Task
from jacorpus.write import AuditTask, ShardTask, SignalsTask, Slice

if TYPE_CHECKING:
    from jacorpus.run import Run


@dataclass
class Part:
    """One measured span. results: what its tasks gave, by kind."""

    task: Task
    payload: MeasureTask
    digest: str
    result: dict[str, Any] = field(default_factory=dict)
    signals_key: str = ""
    decision_key: str = ""
    audit_key: str = ""


@dataclass
class Found:
    """What the cluster phase gave: duplicates per dedup step, frequent passages per cut step."""

    clusters: list[Clusters] = field(default_factory=list)
    cluster_keys: list[str] = field(default_factory=list)
    estimates: list[str] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)
    pairs: list[int] = field(default_factory=list)
    retract: list[pa.Table] = field(default_factory=list)  # a table for each step with an index
    matched: list[pa.Table] = field(default_factory=list)  # likewise: which older document each new one matched
    frequent: dict[str, str] = field(default_factory=dict)  # label -> key of its table


def cluster(run: "Run", parts: list[Part]) -> Found:
    found = Found()
    documents = sum(part.result["counts"]["documents"] for part in parts)
    for step in (*run.pipeline.dedups(), *run.pipeline.cuts()):
        signatures = _signatures(run, parts, step)
        index = open_older(run.store, parts, step)
        signatures = index.joint(signatures) if index else signatures
        number = step.stage.partitions(documents + (index.rows if index else 0))
        if step.kind == "dedup":
            found.estimates.append(step.stage.estimate(documents))
            run.watcher.say(found.estimates[-1])
        tasks = [_join_task(run, parts, step, signatures, i, number) for i in range(number)]
        results = run.run_tasks(f"cluster {step.label}", tasks)
        files = [run.store.part(task.key, "joined.arrow") for task in tasks]
        base = key_of([task.key for task in tasks])
        if step.kind == "cut":
            found.frequent[step.label] = run.own_part(base, partial(frequent_passages, files))
            continue
        edges = sum(results[task.key]["counts"]["rows"] for task in tasks)
        run.watcher.say(f"{step.label}: {edges:,} pairs; joining them takes about {edges * EDGE_BYTES >> 20} MiB here")
        table = clusters_of(files)
        clusters = _clusters(step.label, table)
        if index:
            clusters, gone = split_older(clusters, table, index)
            found.retract.append(gone)
            found.matched.append(matched_older(step.label, files, table, index))
        found.clusters.append(clusters)
        found.cluster_keys.append(base)
        found.pairs.append(edges)
        found.metadata.append(_sum_metadata([results[task.key].get("metadata", {}) for task in tasks]))
    return found


def _clusters(label: str, table: pa.Table) -> Clusters:
    rows, roots = table["row"].to_numpy().astype(np.int64), table["root"].to_numpy().astype(np.int64)
    sizes, similarity = table["size"].to_numpy().astype(np.int32), table["similarity"].to_numpy()
    return Clusters(label, rows, roots, sizes, similarity)


def _signatures(run: "Run", parts: list[Part], step: Step) -> list[SignaturePart]:
    found, first = [], 0
    for part in parts:
        rows = part.result["counts"]["documents"]
        if step.applies(part.payload.source.domain) and rows:
            found.append(SignaturePart(run.store.part(part.task.key, f"signatures-{step.label}.arrow"), first, rows))
        first += rows
    return found


def _join_task(run: "Run", parts: list[Part], step: Step, signatures: list[SignaturePart], i: int, number: int) -> Task:
    inputs = [[part.task.key, part.result["counts"]["documents"]] for part in parts]
    key = key_of(
        {
            "kind": "join",
            "step": step.key(),
            "inputs": inputs,
            "partition": [i, number],
            "rows": sum(p.rows for p in signatures),
        }
    )
    return Task("join", key, JoinTask(step, tuple(signatures), i, number), f"{step.label} {i + 1}/{number}")


def _sum_metadata(each: list[dict[str, str]]) -> dict[str, str]:
    """Counts that partitions report, added up."""
    total: dict[str, int] = {}
    for metadata in each:
        for name, value in metadata.items():
            if value.lstrip("-").isdigit():
                total[name] = total.get(name, 0) + int(value)
    return {name: str(value) for name, value in total.items()}


def decide_all(run: "Run", parts: list[Part], found: Found) -> Decisions:
    _signals(run, parts, found)
    wall = time.monotonic()
    numbered = number_parts(
        [
            (
                run.store.part(part.signals_key, "signals.arrow"),
                part.result["counts"]["documents"],
                part.payload.source.domain,
                part.payload.source.priority,
            )
            for part in parts
        ]
    )
    decisions = decide(numbered, run.pipeline.rules, run.active, found.clusters, run.removed)
    rules = [
        rule.as_json(i, active) for i, (rule, active) in enumerate(zip(run.pipeline.rules, run.active, strict=True))
    ]
    basis = {
        "rules": rules,
        "clusters": found.cluster_keys,
        "removed": sorted(identity.hex() for identity in run.removed),
        "valid_ratio": run.recipe.valid_ratio,
        "signals": [part.signals_key for part in parts],
    }
    tables = decision_tables(numbered, decisions, run.recipe.valid_ratio)
    for number, (part, table) in enumerate(zip(parts, tables, strict=True)):
        part.decision_key = run.own_part(key_of({"decision": basis, "part": number}), partial(_same, table))
    run.note("decide", 1, 0, wall, 0)
    return decisions


def _same(table: pa.Table) -> pa.Table:
    return table


def _signals(run: "Run", parts: list[Part], found: Found) -> None:
    columns, tasks = run.pipeline.columns(), []
    for part in parts:
        source = part.payload.source
        cuts = tuple(
            (
                step,
                run.store.part(part.task.key, f"signatures-{step.label}.arrow"),
                run.store.part(found.frequent[step.label], "table.arrow"),
            )
            for step in run.pipeline.cuts()
            if step.applies(source.domain)
        )
        basis = {
            "kind": "signals",
            "measured": part.task.key,
            "priority": source.priority,
            "cuts": [[step.key(), found.frequent[step.label]] for step, _, _ in cuts],
        }
        part.signals_key = key_of(basis)
        measured = run.store.part(part.task.key, "signals.arrow")
        payload = SignalsTask(measured, columns, source.domain, source.priority, cuts)
        tasks.append(Task("signals", part.signals_key, payload, f"signals of {part.task.name}"))
    run.run_tasks("signals", tasks)


def write_shards(run: "Run", parts: list[Part], found: Found, decisions: Decisions) -> list[dict[str, Any]]:
    """The shards: name, domain, split, task and result."""
    kept, shards, first = decisions.kept, [], 0
    spans = []
    for part in parts:
        rows = part.result["counts"]["documents"]
        spans.append((part, first, rows))
        first += rows
    for domain in dict.fromkeys(source.domain for source in run.recipe.sources):
        for valid in (False, True):
            slices = [
                s
                for span in spans
                if span[0].payload.source.domain == domain
                for s in [_pieces(run, span, kept, valid)]
            ]
            for number, pieces in enumerate(_group(slices, run.recipe.shard_bytes)):
                split = "valid" if valid else "train"
                name = f"{domain}-{split}-{number:05d}.arrow"
                shards.append(
                    {"name": name, "domain": domain, "split": split, **_shard(run, domain, valid, pieces, found)}
                )
    results = run.run_tasks("write", [shard["task"] for shard in shards])
    for shard in shards:
        shard["result"] = results[shard["task"].key]
    return shards


def _pieces(
    run: "Run", span: tuple[Part, int, int], kept: np.ndarray, valid: bool
) -> tuple[Part, np.ndarray, np.ndarray]:
    """(part, rows kept in this split, bytes of each)."""
    part, first, rows = span
    held = read_table(run.store.part(part.decision_key, "table.arrow"))["split"].to_numpy(zero_copy_only=False)
    inside = np.flatnonzero(kept[first : first + rows] & (held == valid))
    sizes = read_table(run.store.part(part.signals_key, "signals.arrow"))["bytes"].to_numpy()
    return part, inside, sizes[inside]


def _group(
    pieces: Sequence[tuple[Part, np.ndarray, np.ndarray]], shard_bytes: int
) -> list[list[tuple[Part, int, int]]]:
    """Kept rows cut into shards of about ``shard_bytes`` of text: (part, start row, stop row) lists."""
    groups: list[list[tuple[Part, int, int]]] = []
    current: list[tuple[Part, int, int]] = []
    filled = 0
    for part, rows, sizes in pieces:
        start = 0
        while start < len(rows):
            ends = filled + np.cumsum(sizes[start:])
            take = int(np.searchsorted(ends, shard_bytes)) + 1
            stop = min(start + take, len(rows))
            current.append((part, int(rows[start]), int(rows[stop - 1]) + 1))
            filled = int(ends[stop - start - 1])
            start = stop
            if filled >= shard_bytes:
                groups.append(current)
                current, filled = [], 0
    return [*groups, current] if current else groups


def _shard(run: "Run", domain: str, valid: bool, pieces: list[tuple[Part, int, int]], found: Found) -> dict[str, Any]:
    steps = tuple(run.pipeline.writing(domain))
    slices = tuple(
        Slice(
            run.store.part(part.task.key, "text.arrow"),
            run.store.part(part.decision_key, "table.arrow"),
            start,
            stop,
        )
        for part, start, stop in pieces
    )
    basis = {
        "kind": "write",
        "slices": [[part.task.key, part.decision_key, start, stop] for part, start, stop in pieces],
        "valid": valid,
        "steps": [step.key() for step in steps],
        "frequent": [found.frequent[step.label] for step in steps if step.kind == "cut"],
    }
    frequent = {label: run.store.part(key, "table.arrow") for label, key in found.frequent.items()}
    payload = ShardTask(slices, valid, steps, frequent)
    return {"task": Task("write", key_of(basis), payload, f"shard of {domain}")}


def write_audits(run: "Run", parts: list[Part], shards: list[dict[str, Any]]) -> None:
    lost = {bytes.fromhex(row[0]): tuple(row[1:]) for shard in shards for row in shard["result"]["lost"]}
    labels = tuple(step.label for step in run.pipeline.dedups())
    tasks = []
    for part in parts:
        basis = {
            "kind": "audit",
            "measured": part.task.key,
            "decision": part.decision_key,
            "lost": [[k.hex(), *v] for k, v in lost.items()],
        }
        part.audit_key = key_of(basis)
        payload = AuditTask(
            run.store.part(part.task.key, "records.arrow"),
            run.store.part(part.signals_key, "signals.arrow"),
            run.store.part(part.decision_key, "table.arrow"),
            part.payload.source.domain,
            part.payload.file.name,
            run.pipeline.rules,
            tuple(run.active),
            labels,
            lost,
        )
        tasks.append(Task("audit", part.audit_key, payload, f"audit of {part.task.name}"))
    run.run_tasks("audit", tasks)
