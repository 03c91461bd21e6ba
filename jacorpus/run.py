"""A recipe to its output: phases of tasks through an engine, then the manifest. Read this file third.

    measure -> cluster -> decide -> write -> publish

Finished tasks are found again by their keys, so a second run does only what changed, and a killed run goes
on where it was. Nothing under the output's public names changes before everything is ready; the manifest is
written last.
"""

import datetime
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from jacorpus.errors import InputError
from jacorpus.keys import key_of, local_digest
from jacorpus.phases import Part, cluster, decide_all, write_audits, write_shards
from jacorpus.plan import MeasureTask, Pipeline, measure_key, pipeline_of
from jacorpus.progress import Silent, Watcher
from jacorpus.publish import publish_all
from jacorpus.recipe import Recipe, SourceSpec
from jacorpus.shards import PartWriter
from jacorpus.stage import InputFile
from jacorpus.store import Store
from jacorpus.tasks import Engine, Task, pending


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
            self._compile(parts)
            self._run_measures(parts)
            found = cluster(self, parts)
            decisions = decide_all(self, parts, found)
            shards = write_shards(self, parts, found, decisions)
            write_audits(self, parts, shards)
            manifest = publish_all(self, parts, found, decisions, shards, started)
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

    def run_tasks(self, kind: str, tasks: Sequence[Task]) -> dict[str, dict[str, Any]]:
        self.keys.update(task.key for task in tasks)
        left, results = pending(tasks, self.store)
        self.watcher.phase(kind, len(tasks), len(tasks) - len(left), sum(task.size for task in left))
        wall = time.monotonic()
        results |= self.engine.run(left, self.store, self.watcher.event)
        self.note(kind, len(tasks), len(tasks) - len(left), wall, sum(task.size for task in left))
        return results

    def note(self, kind: str, tasks: int, reused: int, wall: float, size: int) -> None:
        seconds = round(time.monotonic() - wall, 3)
        self.phases.append({"kind": kind, "tasks": tasks, "reused": reused, "wall_s": seconds, "bytes": size})

    def _compile(self, parts: list[Part]) -> None:
        """Kernels compile on their first use. Spread that over the workers, or each would do all of it."""
        if self.engine.workers < 2 or not pending([part.task for part in parts], self.store)[0]:
            return
        steps = [step for step in self.pipeline.steps if not step.use.startswith("extract.")]
        tasks = [Task("compile", key_of(["compile", step.key()]), step, step.label) for step in steps]
        self.watcher.phase("compile", len(tasks), 0, 0)
        self.engine.run(tasks, self.store, self.watcher.event)

    def _run_measures(self, parts: list[Part]) -> None:
        if self.recipe.limit:
            self._run_limited(parts)
            return
        results = self.run_tasks("measure", [part.task for part in parts])
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
                part.result = self.run_tasks("measure", [part.task])[key]
                left -= part.result["counts"]["records"]
                kept.append(part)
        parts[:] = kept

    def own_part(self, base: str, make: Callable[[], pa.Table]) -> str:
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
