"""Takedown: documents out of a finished corpus by id or URL; the next member of a cluster takes their place."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jacorpus.errors import JacorpusError
from jacorpus.output.finished import finished
from jacorpus.run import read_removals
from jacorpus.store import write_json


def name_removals(out: Path, keys: Sequence[str]) -> dict[str, Any]:
    """Add ids (32 hex digits) or URLs to ``removals.json``; the next run of the recipe honors it.

    Returns {"ids": all removed ids, "new": ids added, "unknown": keys that match no record}.
    Raises JacorpusError when nothing matches.
    """
    folder = finished(out)
    ids = {key.lower() for key in keys if len(key) == 32 and all(c in "0123456789abcdef" for c in key.lower())}
    urls = pa.array(sorted(set(keys)), pa.string())
    found: set[str] = set()
    matched_urls: set[str] = set()
    for batch in folder.audit():
        hit = batch.filter(pc.fill_null(pc.is_in(batch["url"], urls), False))
        found.update(identity.hex() for identity in hit["id"].to_pylist())
        matched_urls.update(hit["url"].to_pylist())
        if ids:
            wanted = pa.array([bytes.fromhex(i) for i in sorted(ids)], batch["id"].type)
            found.update(i.hex() for i in batch.filter(pc.is_in(batch["id"], wanted))["id"].to_pylist())
    unknown = [key for key in keys if key not in matched_urls and key.lower() not in found]
    if not found:
        raise JacorpusError(f"none of {len(keys)} ids or URLs is in {out}; nothing was removed")
    before = {identity.hex() for identity in read_removals(out)}
    write_json(out / "removals.json", {"ids": sorted(before | found)})
    return {"ids": sorted(before | found), "new": sorted(found - before), "unknown": unknown}


def read_keys(words: Sequence[str]) -> list[str]:
    """Keys as given; ``@file`` stands for a file of one key a line."""
    keys: list[str] = []
    for word in words:
        if word.startswith("@"):
            try:
                keys.extend(line.strip() for line in Path(word[1:]).read_text("utf-8").splitlines() if line.strip())
            except OSError as error:
                raise JacorpusError(f"{word[1:]} can't be read: {error.strerror}") from error
        else:
            keys.append(word)
    return keys
