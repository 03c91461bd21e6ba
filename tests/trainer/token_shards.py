"""Folders of token shards made of given documents, without a corpus or a tokenizer."""

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jacorpus.schema import ID
from tokenizer_lab.tokens import FORMAT, KIND, Tokens, open_tokens, write_tokens

Documents = list[list[int]]
VOCAB = 50_000


def identity(domain: str, split: str, number: int) -> bytes:
    """Id of the n-th document."""
    return hashlib.sha256(f"{domain} {split} {number}".encode()).digest()[:16]


def numbered(count: int, first: int, seed: int = 0, longest: int = 40) -> Documents:
    """Documents of 0 ... longest tokens, no id twice: first, first + 1, ..."""
    draw, found = random.Random(seed), []
    for _ in range(count):
        size = draw.choice([0, 1, 2, draw.randrange(longest), longest])
        found.append(list(range(first, first + size)))
        first += size
    return found


def token_folder(
    folder: Path,
    domains: dict[str, dict[str, Documents]],
    per_shard: int = 7,
    eos_id: int | None = 0,
    vocab_size: int = VOCAB,
    **manifest: Any,
) -> Tokens:
    """Write shards of ``per_shard`` documents and their manifest, as far as a feed reads it."""
    (folder / "shards").mkdir(parents=True)
    shards, counts = [], {}
    for domain, splits in domains.items():
        counts[domain] = {split: _counts(documents) for split, documents in splits.items() if documents}
        for split, documents in splits.items():
            for number, first in enumerate(range(0, len(documents), per_shard)):
                mine = documents[first : first + per_shard]
                path = f"shards/{domain}-{split}-{number:05d}.arrow"
                written = write_tokens(folder / path, domain, split, columns(domain, split, mine, first))
                entry = {**_counts(mine), "bytes": written["bytes"], "ranks": ["00", "ff"]}
                shards.append({"path": path, "domain": domain, "split": split, **entry})
    tokenizer = {"vocab_size": vocab_size, "eos_id": eos_id, "fingerprint": "f" * 64}
    content = {"kind": KIND, "format": FORMAT, "key": "k" * 32, "tokenizer": tokenizer, "domains": counts}
    (folder / "manifest.json").write_text(json.dumps({**content, "shards": shards, **manifest}))
    return open_tokens(folder)


def _counts(documents: Documents) -> dict[str, int]:
    size = sum(map(len, documents))
    return {"documents": len(documents), "tokens": size, "text_bytes": 3 * size}


def columns(domain: str, split: str, documents: Documents, first: int) -> dict[str, pa.Array]:
    """What ``write_tokens`` takes."""
    sizes = np.array([len(document) for document in documents], np.int64)
    flat = np.array([token for document in documents for token in document], np.uint32)
    ids = [identity(domain, split, first + i) for i in range(len(documents))]
    return {
        "id": pa.array(ids, ID),
        "weight": pa.array(np.ones(len(documents), np.int8)),
        "text_bytes": pa.array(3 * sizes),
        "tokens": pa.LargeListArray.from_arrays(np.concatenate([[0], np.cumsum(sizes)]), pa.array(flat)),
    }
