"""Prove a finished output: each file is whole, each record has one fate, each kept document is in one shard."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jacorpus.decide import id_words
from jacorpus.errors import JacorpusError
from jacorpus.output.finished import Finished, finished
from jacorpus.output.recount import recount
from jacorpus.recipe import load_recipe, recipe_from_tables
from jacorpus.shards import read_batches, read_table

Finding = dict[str, Any]


def validate(out: Path, inputs: bool = True) -> dict[str, Any]:
    """Every check with its finding: {"checks": [{"name", "passed", "detail"}], "passed": bool}.

    inputs: also count the input files again, with an independent reader.
    """
    folder = finished(out)
    checks = [_whole(folder), _work(folder), *_accounts(folder), _signals(folder), _shards(folder)]
    if inputs:
        checks.extend(_inputs(folder))
    return {"checks": checks, "passed": all(check["passed"] for check in checks)}


def _finding(name: str, problems: list[str], detail: str) -> Finding:
    shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
    return {"name": name, "passed": not problems, "detail": shown or detail}


def _whole(folder: Finished) -> Finding:
    """Every listed file is there with its bytes, and nothing else is."""
    problems, files = [], 0
    for kind in ("signals", "audit", "clusters", "shards"):
        listed = {entry["path"]: entry for entry in folder.manifest[kind]}
        for path, entry in listed.items():
            problem = _compare(folder.out / path, entry)
            problems.extend([f"{path} {problem}"] if problem else [])
            files += 1
        problems.extend(f"{p.name} is not in the manifest" for p in _unlisted(folder.out / kind, kind, set(listed)))
    return _finding("files", problems, f"{files} files have the checksums of the manifest")


def _work(folder: Finished) -> Finding:
    """Parts that the next run would build on are as they were written. Text that was given up is no problem."""
    problems, files = [], 0
    for mark in sorted((folder.out / "work" / "done").glob("*.json")):
        for name, entry in json.loads(mark.read_bytes()).get("parts", {}).items():
            path = folder.out / "work" / "parts" / mark.stem[:2] / mark.stem / name
            if path.is_file() or name != "text.arrow":
                problem = _compare(path, entry)
                problems.extend(
                    [f"{path.relative_to(folder.out)} {problem}; delete it and run again"] if problem else []
                )
                files += 1
    return _finding("work", problems, f"{files} parts under work/ are as they were written")


def _compare(path: Path, entry: dict[str, Any]) -> str | None:
    if not path.is_file():
        return "is missing"
    if path.stat().st_size != entry["bytes"]:
        return f"has {path.stat().st_size} bytes, not {entry['bytes']}"
    with open(path, "rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    return None if found == entry["sha256"] else "has another checksum"


def _unlisted(where: Path, kind: str, listed: set[str]) -> list[Path]:
    return [p for p in sorted(where.glob("*.arrow")) if f"{kind}/{p.name}" not in listed] if where.is_dir() else []


def _accounts(folder: Finished) -> list[Finding]:
    """read = kept + dropped + failed, for each part and the run; no id twice; no unknown state."""
    total: Counter[str] = Counter()
    problems: list[str] = []
    words: list[np.ndarray] = []
    for entry in folder.manifest["audit"]:
        table = read_table(folder.out / entry["path"], ["id", "state", "reason"])
        states = Counter(table["state"].to_pylist())
        total.update(states)
        if sum(states.values()) != entry["rows"]:
            problems.append(f"{entry['path']}: {sum(states.values())} rows, the manifest says {entry['rows']}")
        for state in set(states) - {"kept", "dropped", "failed"}:
            problems.append(f"{entry['path']}: unknown state {state}")
        unexplained = pc.sum(pc.and_(pc.is_null(table["reason"]), pc.not_equal(table["state"], "kept"))).as_py() or 0
        if unexplained:
            problems.append(f"{entry['path']}: {unexplained} records dropped or failed without a reason")
        words.extend(id_words(chunk) for chunk in table["id"].chunks)
    counts = folder.manifest["counts"]
    for state in ("kept", "dropped", "failed"):
        if total[state] != counts[state]:
            problems.append(f"{total[state]} records {state} in the audit, {counts[state]} in the manifest")
    if counts["read"] != counts["kept"] + counts["dropped"] + counts["failed"]:
        problems.append("read is not kept + dropped + failed")
    listed = sum(entry["records"] for entry in folder.manifest["inputs"])
    if listed != counts["read"]:
        problems.append(f"{listed} records in the inputs, {counts['read']} read")
    detail = "read {read:,} = kept {kept:,} + dropped {dropped:,} + failed {failed:,}".format(**counts)
    return [_finding("accounting", problems, detail), _unique(words)]


def _unique(words: list[np.ndarray]) -> Finding:
    ids = np.concatenate(words) if words else np.zeros((0, 2), np.uint64)
    order = np.lexsort((ids[:, 1], ids[:, 0]))
    same = int((ids[order][1:] == ids[order][:-1]).all(axis=1).sum()) if len(ids) else 0
    return _finding("ids", [f"{same} ids occur twice"] if same else [], f"{len(ids):,} ids, each once")


def _signals(folder: Finished) -> Finding:
    """Each measured document has one row of signals."""
    problems, rows = [], 0
    for entry in folder.manifest["signals"]:
        table = read_table(folder.out / entry["path"], ["id"])
        rows += table.num_rows
        if table.num_rows != entry["documents"]:
            problems.append(f"{entry['path']}: {table.num_rows} rows, {entry['documents']} documents")
    kept_or_dropped = folder.manifest["counts"]["kept"] + folder.manifest["counts"]["dropped"]
    lost = sum(f["documents"] for f in folder.manifest["fates"] if f["state"] == "failed") + kept_or_dropped
    if not kept_or_dropped <= rows <= lost:
        problems.append(f"{rows} rows of signals for {kept_or_dropped} kept or dropped documents")
    return _finding("signals", problems, f"{rows:,} rows")


def _shards(folder: Finished) -> Finding:
    """The shards hold the kept documents of the audit, each once, under their counts."""
    problems, in_shards = [], []
    for entry in folder.manifest["shards"]:
        documents = size = 0
        for batch in read_batches(folder.out / entry["path"]):
            documents += batch.num_rows
            size += pc.sum(pc.binary_length(batch["text"])).as_py() or 0
            in_shards.append(id_words(batch["id"]))
        if (documents, size) != (entry["documents"], entry["text_bytes"]):
            problems.append(f"{entry['path']}: {documents} documents of {size} bytes, not as in the manifest")
    in_audit = []
    for batch in folder.audit():
        kept = batch.filter(pc.equal(batch["state"], "kept"))
        in_audit.append(id_words(pa.concat_arrays([kept["id"]])))
    a, b = (_sorted_ids(each) for each in (in_shards, in_audit))
    if not np.array_equal(a, b):
        problems.append(f"the shards hold {len(a)} documents, the audit keeps {len(b)}, and they are not the same")
    return _finding("shards", problems, f"{len(a):,} kept documents, each in one shard")


def _sorted_ids(words: list[np.ndarray]) -> np.ndarray:
    ids = np.concatenate(words) if words else np.zeros((0, 2), np.uint64)
    return ids[np.lexsort((ids[:, 1], ids[:, 0]))]


def _inputs(folder: Finished) -> list[Finding]:
    """Count the inputs again. A file that is no longer there is said, and does not pass."""
    from jacorpus.sources.paths import expand

    if folder.manifest["limit"]:
        return [_finding("inputs", [], "a trial run with --limit: inputs are not counted again")]
    listed = {(e["domain"], e["file"]): e for e in folder.manifest["inputs"]}
    problems, notes, counted = [], [], 0
    try:
        recipe = load_resolved(folder)
        sources = [(s, expand(s.paths, recipe.folder)) for s in recipe.sources]
    except JacorpusError as error:
        return [_finding("inputs", [f"the inputs can't be found again ({error})"], "")]
    for source, files in sources:
        for file in files:
            entry = listed.pop((source.domain, file.name), None)
            if entry is None and source.stage.cut(file, recipe.task_bytes):  # else it holds no data, by its source
                problems.append(f"{file.name} is new since the run")
            if entry is None or "://" in file.uri:
                continue
            found = recount(source.use, Path(file.uri), {})
            if found is None:
                notes.append(f"{file.name}: {source.use} has no second reader")
                continue
            counted += 1
            problems.extend(_differs(file.name, entry["records"], *found, notes))
    problems.extend(f"{name} is gone" for _, name in listed)
    detail = "; ".join([f"{counted} files counted again with an independent reader, same records", *notes[:5]])
    return [_finding("inputs", problems, detail)]


def _differs(name: str, ours: int, theirs: int, sound: bool, notes: list[str]) -> list[str]:
    if sound and ours != theirs:
        return [f"{name}: {ours} records in the audit, {theirs} counted again"]
    if not sound:
        notes.append(f"{name} is damaged: {theirs} records up to the damage, {ours} in the audit")
        return [f"{name}: {ours} records in the audit, at least {theirs} in the file"] if ours < theirs else []
    return []


def load_resolved(folder: Finished) -> Any:
    """The recipe of a finished run, with paths relative to where it lay then."""
    import tomllib

    path = folder.out / "recipe.resolved.toml"
    if not path.is_file():
        return load_recipe(path)
    return recipe_from_tables(tomllib.loads(path.read_text("utf-8")), folder.recipe_folder(), folder.manifest["name"])
