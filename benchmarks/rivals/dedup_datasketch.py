"""datasketch as its documentation shows it: a MinHash of character 5-grams each, LSH query, insert if new.

``dedup_datasketch.py IN.jsonl OUT.jsonl``, JSONL to JSONL. Bound .7, 128 values, the library's choice of bands.
"""

import json
import sys

from clock import measured, say
from datasketch import MinHash, MinHashLSH


def run(source: str, target: str, limit: int | None = None) -> dict[str, int]:
    """Lines that stay are written as they are."""
    index = MinHashLSH(threshold=0.7, num_perm=128)
    removed = size = row = 0
    with open(source, encoding="utf-8") as lines, open(target, "w", encoding="utf-8") as out:
        for row, line in enumerate(lines):
            if row == limit:
                break
            text = json.loads(line)["text"]
            size += len(text.encode())
            sketch = MinHash(num_perm=128)
            sketch.update_batch({text[i : i + 5].encode() for i in range(max(len(text) - 4, 1))})
            if index.query(sketch):
                removed += 1
            else:
                index.insert(row, sketch)
                out.write(line)
    return {"removed": removed, "bytes": size, "documents": row + 1}


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], 50)
    cpu, wall, facts = measured(lambda: run(sys.argv[1], sys.argv[2]))
    say(["datasketch", "numpy"], cpu, wall, **facts)
