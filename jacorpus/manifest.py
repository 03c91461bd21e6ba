"""The manifest: what exists and where it came from. It holds no time, host, absolute path or worker count."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jacorpus.errors import JacorpusError
from jacorpus.keys import key_of, portable
from jacorpus.plan import stages_for_manifest

if TYPE_CHECKING:
    from jacorpus.phases import Found, Part
    from jacorpus.run import Run

FORMAT = 2


def assemble(
    run: "Run", parts: list["Part"], found: "Found", shards: list[dict[str, Any]], cluster_keys: list[str]
) -> dict[str, Any]:
    """The manifest of a finished run."""
    recipe, store = run.recipe, run.store
    fates = _fates(run, parts)
    domains = _by_domain(fates, [source.domain for source in recipe.sources])
    counts = {state: sum(d[state] for d in domains.values()) for state in ("read", "kept", "dropped", "failed")}
    sums: dict[str, int] = {}
    for shard in shards:
        for name, number in shard["result"]["sums"].items():
            sums[name] = sums.get(name, 0) + number
    return {
        "format": FORMAT,
        "name": recipe.name,
        "seed": recipe.seed,
        "bytes_per_token": recipe.bytes_per_token,
        "valid_ratio": recipe.valid_ratio,
        "limit": recipe.limit,
        "recipe": key_of(portable(_identity(recipe.resolved()))),
        "counts": counts,
        "bytes": {
            "read_text": sum(part.result["counts"]["bytes"] for part in parts),
            "kept_text": sum(shard["result"]["counts"]["text_bytes"] for shard in shards),
        },
        "skipped": _skipped(parts),
        "inputs": _input_list(parts),
        "stages": stages_for_manifest(recipe, run.pipeline),
        "rules": [rule.as_json(i, run.active[i]) for i, rule in enumerate(run.pipeline.rules)],
        "domains": domains,
        "fates": fates,
        "dedup": _dedup(found),
        "written": dict(sorted(sums.items())),
        "removed": len(run.removed),
        "unprotected": unprotected(run),
        "columns": {name: str(kind) for name, kind in run.pipeline.columns().items()},
        "signals": [
            {**_listed(f"signals/part-{i:05d}.arrow", store.done(part.signals_key), "signals.arrow"), **_origin(part)}
            for i, part in enumerate(parts)
        ],
        "audit": [
            {**_listed(f"audit/part-{i:05d}.arrow", store.done(part.audit_key), "audit.arrow"), **_origin(part)}
            for i, part in enumerate(parts)
        ],
        "clusters": [
            {"label": clusters.label, **_listed(f"clusters/{clusters.label}.arrow", store.done(key), "table.arrow")}
            for clusters, key in zip(found.clusters, cluster_keys, strict=True)
        ],
        "shards": [_shard(shard) for shard in shards],
    }


def _identity(resolved: dict[str, Any]) -> dict[str, Any]:
    """The resolved recipe without where its input and output lie (inputs are listed by content)."""
    sources = [{k: v for k, v in source.items() if k != "paths"} for source in resolved["source"]]
    return {**{k: v for k, v in resolved.items() if k != "out"}, "source": sources}


def _listed(path: str, result: dict[str, Any] | None, name: str) -> dict[str, Any]:
    if result is None:
        raise JacorpusError(f"{path}: its task is not done; run the recipe again")
    return {"path": path, **result["parts"][name]}


def _origin(part: "Part") -> dict[str, Any]:
    payload = part.payload
    stop = payload.span.stop if payload.span.stop < 1 << 60 else None
    return {
        "domain": payload.source.domain,
        "priority": payload.source.priority,
        "file": payload.file.name,
        "span": [payload.span.start, stop],
        "documents": part.result["counts"]["documents"],
        "key": part.task.key,
    }


def _shard(shard: dict[str, Any]) -> dict[str, Any]:
    result = shard["result"]
    part = result["parts"]["shard.arrow"]
    return {
        "path": f"shards/{shard['name']}",
        "domain": shard["domain"],
        "split": shard["split"],
        "documents": result["counts"]["documents"],
        "text_bytes": result["counts"]["text_bytes"],
        "bytes": part["bytes"],
        "sha256": part["sha256"],
    }


def _fates(run: "Run", parts: list["Part"]) -> list[dict[str, Any]]:
    """Documents and bytes by (domain, state, stage, reason)."""
    total: dict[tuple[str, str, str, str], list[int]] = {}
    for part in parts:
        result = run.store.done(part.audit_key)
        assert result is not None
        for row in result["fates"]:
            key = (part.payload.source.domain, row["state"], row["stage"] or "", row["reason"] or "")
            sums = total.setdefault(key, [0, 0])
            sums[0] += row["documents"]
            sums[1] += row["bytes"]
    return [
        {"domain": d, "state": s, "stage": st or None, "reason": r or None, "documents": n, "bytes": b}
        for (d, s, st, r), (n, b) in sorted(total.items())
    ]


def _by_domain(fates: list[dict[str, Any]], domains: list[str]) -> dict[str, dict[str, int]]:
    found = {d: {"read": 0, "kept": 0, "dropped": 0, "failed": 0, "kept_bytes": 0} for d in dict.fromkeys(domains)}
    for row in fates:
        found[row["domain"]]["read"] += row["documents"]
        found[row["domain"]][row["state"]] += row["documents"]
        if row["state"] == "kept":
            found[row["domain"]]["kept_bytes"] += row["bytes"]
    return found


def unprotected(run: "Run") -> dict[str, dict[str, Any]]:
    """Per benchmark: items that decontamination can't look for (too short), with a few of them."""
    found: dict[str, dict[str, Any]] = {}
    for step in run.pipeline.steps:
        listed = getattr(step.stage, "unprotected", None)
        for one in listed() if callable(listed) else ():
            entry = found.setdefault(one.benchmark, {"items": 0, "such_as": []})
            entry["items"] += 1
            if len(entry["such_as"]) < 5:
                entry["such_as"].append(one.id)
    return found


def _skipped(parts: list["Part"]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for kind, number in part.result["skipped"].items():
            total[kind] = total.get(kind, 0) + number
    return dict(sorted(total.items()))


def _input_list(parts: list["Part"]) -> list[dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for part in parts:
        source, file = part.payload.source, part.payload.file
        entry = found.setdefault(
            (source.domain, file.name),
            {
                "source": source.use,
                "domain": source.domain,
                "file": file.name,
                "bytes": file.size,
                "digest": part.digest,
                "records": 0,
            },
        )
        entry["records"] += part.result["counts"]["records"]
    return list(found.values())


def _dedup(found: "Found") -> list[dict[str, Any]]:
    listed = []
    for i, clusters in enumerate(found.clusters):
        listed.append(
            {
                "label": clusters.label,
                "estimate": found.estimates[i],
                "pairs": found.pairs[i],
                "clusters": int((clusters.rows == clusters.roots).sum()),
                "documents": len(clusters.rows),
                "largest": int(clusters.sizes.max()) if len(clusters.rows) else 0,
                **found.metadata[i],
            }
        )
    return listed


def load_manifest(out: Path) -> dict[str, Any]:
    """The manifest of a finished output folder. Raises JacorpusError when there is none."""
    path = out / "manifest.json"
    try:
        manifest = json.loads(path.read_bytes())
    except FileNotFoundError:
        hint = (
            "the run was not finished; run its recipe again"
            if (out / "work").is_dir()
            else "is it the output folder of a run?"
        )
        raise JacorpusError(f"no manifest at {path}: {hint}") from None
    except OSError as error:
        raise JacorpusError(f"{path} can't be read ({error.strerror}): is {out} the output folder of a run?") from error
    except ValueError as error:
        raise JacorpusError(f"{path} is damaged ({error}); run the recipe again") from error
    if manifest.get("format") != FORMAT:
        raise JacorpusError(f"{path} has format {manifest.get('format')}, this version reads {FORMAT}")
    return manifest
