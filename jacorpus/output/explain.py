"""One document's whole story: where it came from, what was measured, what decided, what it duplicates."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jacorpus.errors import JacorpusError
from jacorpus.output.finished import Finished, finished
from jacorpus.schema import ID
from jacorpus.shards import read_batches, read_table

MAX_STORIES = 20


def explain(out: Path, key: str) -> list[dict[str, Any]]:
    """The stories of the records with this id (32 hex digits) or URL. Raises JacorpusError when there is none."""
    folder = finished(out)
    key = key.encode("utf-8", "replace").decode()  # a word of the command line may be no UTF-8
    identity = _as_id(key)
    rows = [row for batch in folder.audit() for row in _matching(batch, identity, key)]
    if not rows:
        kind = "id or URL" if identity else "URL"
        raise JacorpusError(f"no record with the {kind} {key} in {out}: it was never read by this run")
    return [_story(folder, row) for row in rows[:MAX_STORIES]]


def _as_id(key: str) -> bytes | None:
    try:
        return bytes.fromhex(key) if len(key) == 32 else None
    except ValueError:
        return None


def _matching(batch: pa.RecordBatch, identity: bytes | None, url: str) -> list[dict[str, Any]]:
    mask = pc.fill_null(pc.equal(batch["url"], url), False)
    if identity:
        mask = pc.or_(mask, pc.equal(batch["id"], pa.scalar(identity, ID)))
    return batch.filter(mask).to_pylist()


def _story(folder: Finished, row: dict[str, Any]) -> dict[str, Any]:
    identity = row["id"]
    story: dict[str, Any] = {
        "id": identity.hex(),
        "domain": row["domain"],
        "file": row["file"],
        "position": row["position"],
        "url": row["url"],
        "state": row["state"],
        "stage": row["stage"],
        "reason": row["reason"],
        "value": row["value"],
        "detail": row["detail"],
        "bytes": row["bytes"],
    }
    signals = _signals(folder, identity, row["file"], row["domain"])
    if signals is not None:
        story["signals"] = {k: v for k, v in signals.items() if k not in ("id", "domain", "priority")}
        story["rules"] = _verdicts(folder, signals, row["failed_rules"] or b"")
    story["duplicates"] = [d for d in (_duplicates(folder, e, identity) for e in folder.manifest["clusters"]) if d]
    if row["state"] == "kept":
        story["shard"] = _shard(folder, identity, row["domain"])
    return story


def _signals(folder: Finished, identity: bytes, file: str, domain: str) -> dict[str, Any] | None:
    for entry in folder.manifest["signals"]:
        if entry["file"] == file and entry["domain"] == domain:
            table = read_table(folder.out / entry["path"])
            hit = pc.index(table["id"], pa.scalar(identity, ID)).as_py()
            if hit >= 0:
                return table.slice(hit, 1).to_pylist()[0]
    return None


def _verdicts(folder: Finished, signals: dict[str, Any], failed: bytes) -> list[dict[str, Any]]:
    """Each rule with the document's value and whether it passed."""
    rules, active = folder.rules()
    found = []
    for index, (rule, on) in enumerate(zip(rules, active, strict=True)):
        if rule.domains is not None and signals["domain"] not in rule.domains:
            continue
        value = signals.get(rule.signal)
        bad = bool(failed[index // 8] >> (index % 8) & 1) if index // 8 < len(failed) else False
        verdict = "inactive" if not on else "failed" if bad else "unknown" if value is None else "passed"
        found.append(
            {"signal": rule.signal, "bound": rule.describe(), "value": value, "verdict": verdict, "tier": rule.tier}
        )
    return found


def _duplicates(folder: Finished, entry: dict[str, Any], identity: bytes) -> dict[str, Any] | None:
    table = read_table(folder.out / entry["path"])
    hit = pc.index(table["id"], pa.scalar(identity, ID)).as_py()
    if hit < 0:
        return None
    own = table.slice(hit, 1).to_pylist()[0]
    same = table.filter(pc.equal(table["cluster_id"], pa.scalar(own["cluster_id"], ID)))
    members = [member.hex() for member in same["id"].to_pylist()[:50]]
    return {
        "label": entry["label"],
        "cluster": own["cluster_id"].hex(),
        "size": own["cluster_size"],
        "kept": own["kept_id"].hex() if own["kept_id"] else None,
        **({"snapshot": own["snapshot"]} if own["snapshot"] else {}),
        **_matched(folder, entry["label"], own["row"]),
        "similarity": round(float(own["similarity"]), 4),
        "members": members,
    }


def _matched(folder: Finished, label: str, row: int) -> dict[str, Any]:
    """The older document it matched, where the stage joined with older crawls."""
    if "matched" not in folder.manifest:
        return {}
    table = read_table(folder.out / folder.manifest["matched"]["path"])
    hit = table.filter(pc.and_(pc.equal(table["row"], row), pc.equal(table["label"], label))).to_pylist()
    return {"matched": hit[0]["matched_id"].hex(), "matched_in": hit[0]["snapshot"]} if hit else {}


def _shard(folder: Finished, identity: bytes, domain: str) -> dict[str, Any] | None:
    """Where a kept document lies, and the start of its text."""
    for entry in folder.manifest["shards"]:
        if entry["domain"] != domain:
            continue
        row = 0
        for batch in read_batches(folder.out / entry["path"]):
            hit = pc.index(batch["id"], pa.scalar(identity, ID)).as_py()
            if hit >= 0:
                found = batch.slice(hit, 1).to_pylist()[0]
                return {
                    "path": entry["path"],
                    "row": row + hit,
                    "split": found["split"],
                    "cluster_size": found["cluster_size"],
                    "weight": found["weight"],
                    "text": found["text"][:500],
                }
            row += batch.num_rows
    return None


def texts_of(folder: Finished, wanted: list[bytes]) -> dict[bytes, str]:
    """Texts as measured, of documents kept or not, from the work folder; missing ones are left out."""
    found: dict[bytes, str] = {}
    targets = pa.array(sorted(set(wanted)), ID)
    for entry in folder.manifest["signals"]:
        path = folder.out / "work" / "parts" / entry["key"][:2] / entry["key"] / "text.arrow"
        ids = read_table(folder.out / entry["path"], ["id"])["id"]
        hits = np.flatnonzero(pc.is_in(ids, targets).to_numpy(zero_copy_only=False))
        if len(hits) and path.is_file():
            found.update(_texts_at(path, hits))
    return found


def _texts_at(path: Path, rows: np.ndarray) -> dict[bytes, str]:
    found: dict[bytes, str] = {}
    first = 0
    for batch in read_batches(path):
        inside = rows[(rows >= first) & (rows < first + batch.num_rows)] - first
        if len(inside):
            picked = batch.select(["id", "text"]).take(pa.array(inside))
            found.update(zip(picked["id"].to_pylist(), picked["text"].to_pylist(), strict=True))
        first += batch.num_rows
    return found
