"""The drawn text of a training, kept in the work folder: a second run on the same corpus and budget reads it there.

A draw is told by the files (name, size, time of change), the budget, the seed, the weights and the split. Reading and
unpacking a large corpus takes far longer than training, so it is done once, whatever is then trained.

Legend: N documents.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from jacorpus.errors import InputError
from jacorpus.keys import key_of
from jacorpus.shards import PartWriter, read_table
from jacorpus.store import Store
from tokenizer_lab.corpus import Domain, Drawn, draw

HELD_OUT_BYTES = 4_000_000
"""Text of split ``valid`` that compression is measured on."""

_VERSION = 1
_ROWS = 1024
_SCHEMA = pa.schema([pa.field("text", pa.large_string(), nullable=False), pa.field("domain", pa.int32())])
Read = Callable[[int], None]


def draw_key(domains: Sequence[Domain], budget_bytes: int, seed: int, weights: dict[str, float], split: str) -> str:
    """What a draw depends on, as one hash."""
    files = [
        [domain.name, domain.shards, domain.column, sorted(_state(f.uri, f.name, f.size) for f in domain.files)]
        for domain in domains
    ]
    return key_of([_VERSION, sorted(files), budget_bytes, seed, sorted(weights.items()), split])


def _state(uri: str, name: str, size: int) -> list[Any]:
    return [name, size, os.stat(uri).st_mtime_ns if os.path.exists(uri) else 0]


def drawn_text(
    store: Store,
    domains: Sequence[Domain],
    budget_bytes: int,
    seed: int,
    weights: dict[str, float],
    split: str,
    progress: Read | None = None,
) -> tuple[str, Drawn | None, dict[str, dict[str, int]]]:
    """(key, the draw, records lost by domain), from the work folder where it is there.

    The draw is None where no document of the split exists; for split ``train`` that is an InputError.
    """
    key = draw_key(domains, budget_bytes, seed, weights, split)
    found = store.done(key)
    if found is None:
        found = _draw(store, key, domains, budget_bytes, seed, weights, split, progress)
    if not found["parts"]:
        return key, None, found["lost"]
    table = read_table(store.part(key, "texts.arrow"))
    texts = table["text"].combine_chunks() if table.num_rows else pa.array([], pa.large_string())
    domain = table["domain"].to_numpy().astype(np.int32)
    kept = Drawn(texts, domain, tuple(found["names"]), found["read"], found["taken"], found["documents"])
    return key, kept, found["lost"]


def _draw(
    store: Store,
    key: str,
    domains: Sequence[Domain],
    budget_bytes: int,
    seed: int,
    weights: dict[str, float],
    split: str,
    progress: Read | None,
) -> dict[str, Any]:
    try:
        drawn = draw(domains, budget_bytes, seed, weights or None, split, progress)
    except InputError:
        if split == "train":
            raise
        return store.finish(key, {"parts": {}, "lost": {}})
    with store.writing(key) as folder, PartWriter(folder / "texts.arrow", _SCHEMA) as writer:
        for start in range(0, len(drawn.texts), _ROWS):
            rows = [drawn.texts[start : start + _ROWS], pa.array(drawn.domain[start : start + _ROWS], pa.int32())]
            writer.write(pa.RecordBatch.from_arrays(rows, schema=_SCHEMA))
    facts = {"names": list(drawn.names), "read": drawn.read_bytes, "taken": drawn.taken_bytes}
    lost = {domain.name: dict(domain.lost) for domain in domains if domain.lost}
    parts = {"texts.arrow": writer.info}
    return store.finish(key, {"parts": parts, **facts, "documents": drawn.documents, "lost": lost})
