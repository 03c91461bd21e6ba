"""rensa's deduplicator over character 5-grams, one document after another, added when it is new.

``dedup_rensa.py IN.jsonl OUT.jsonl``, JSONL to JSONL. Bound .7, 128 values, 16 bands of 8. N-grams are Python
strings, as its interface takes them from Japanese text. One document at a time is the fastest way here: its batch
calls want the n-grams of many documents as Python strings together, which costs twice the time.
"""

import sys

import orjson
from clock import measured, say
from rensa import RMinHash, RMinHashDeduplicator


def run(source: str, target: str, limit: int | None = None) -> dict[str, int]:
    """Lines that stay are written as they are."""
    index = RMinHashDeduplicator(threshold=0.7, num_perm=128, use_lsh=True, num_bands=16)
    removed = size = row = 0
    with open(source, "rb") as file, open(target, "wb") as out:
        for row, line in enumerate(file):
            if row == limit:
                break
            text = orjson.loads(line)["text"]
            size += len(text)
            sketch = RMinHash(num_perm=128, seed=42)
            sketch.update([text[i : i + 5] for i in range(max(len(text) - 4, 1))])
            name = str(row)
            if index.is_duplicate(name, sketch):
                removed += 1
            else:
                index.add(name, sketch)
                out.write(line)
    return {"removed": removed, "chars": size, "documents": row + 1}


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], 50)
    cpu, wall, facts = measured(lambda: run(sys.argv[1], sys.argv[2]))
    say(["rensa", "orjson"], cpu, wall, **facts)
