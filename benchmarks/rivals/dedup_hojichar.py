"""HojiChar's GenerateDedupLSH and InlineDeduplicator in one Compose, JSONL to JSONL.

``dedup_hojichar.py IN.jsonl OUT.jsonl [14x8]``: its defaults (500 values, 27 bands of 18), or 112 values in 14
bands of 8, which is its fastest near the published Japanese pipelines.
"""

import sys
from typing import Any

from clock import measured, say
from hojichar import Compose, document_filters
from hojichar.filters.deduplication import GenerateDedupLSH, InlineDeduplicator


def composed(shape: str) -> Any:
    """The filters, new each time: the deduplicator keeps what it saw."""
    signer = GenerateDedupLSH(num_perm=112) if shape else GenerateDedupLSH()
    if shape:
        signer.num_bands, signer.band_size = map(int, shape.split("x"))
    loader = document_filters.JSONLoader(key="text", ignore=True)
    return Compose([loader, signer, InlineDeduplicator(), document_filters.JSONDumper()])


def run(source: str, target: str, shape: str, limit: int | None = None) -> dict[str, int]:
    """A removed document comes back empty."""
    cleaner, size, removed, row = composed(shape), 0, 0, 0
    with open(source, encoding="utf-8") as lines, open(target, "w", encoding="utf-8") as out:
        for row, line in enumerate(lines):
            if row == limit:
                break
            size += len(line.encode())
            kept = cleaner(line)
            removed += not kept
            if kept:
                out.write(kept + "\n")
    return {"removed": removed, "bytes": size, "documents": row + 1}


if __name__ == "__main__":
    shape = sys.argv[3] if len(sys.argv) > 3 else ""
    run(sys.argv[1], sys.argv[2], shape, 50)
    cpu, wall, facts = measured(lambda: run(sys.argv[1], sys.argv[2], shape))
    say(["hojichar", "rensa", "nltk"], cpu, wall, **facts)
