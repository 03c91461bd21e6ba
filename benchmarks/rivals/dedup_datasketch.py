"""datasketch as its documentation shows it: a MinHash of character 5-grams each, LSH query, insert if new.

``python benchmarks/rivals/dedup_datasketch.py FILE.jsonl`` prints one line of JSON: CPU seconds, documents
removed, version. Reading the JSON is not timed.
"""

import json
import sys
import time
from importlib.metadata import version

from datasketch import MinHash, MinHashLSH

with open(sys.argv[1], encoding="utf-8") as file:
    texts = [json.loads(line)["text"] for line in file]

start = time.process_time()
index = MinHashLSH(threshold=0.7, num_perm=128)
removed = 0
for row, text in enumerate(texts):
    sketch = MinHash(num_perm=128)
    sketch.update_batch({text[i : i + 5].encode() for i in range(max(len(text) - 4, 1))})
    if index.query(sketch):
        removed += 1
    else:
        index.insert(row, sketch)
used = time.process_time() - start
print(json.dumps({"cpu_s": used, "removed": removed, "version": version("datasketch")}))
