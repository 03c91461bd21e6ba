"""MB/s of UTF-8 a core of the normalizers, beside unicodedata and pyarrow: ``python -m benchmarks.normalize``.

CPU time, median of several warm runs, on the first texts (up to BYTES) of each file.
"""

import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import zstandard

from benchmarks.record import DATA, cpu_seconds, save
from jacorpus.kernels.nfkc import normal_form
from jacorpus.normalize.mojibake import Mojibake
from jacorpus.normalize.punctuation import Punctuation
from jacorpus.normalize.whitespace import Whitespace
from jacorpus.normalize.width import Width
from jacorpus.schema import DOCUMENT

TEXTS = [DATA / name for name in ("ja/aozora.jsonl.zst", "ja/docs.jsonl.zst", "en/docs.jsonl.zst")]
BYTES = 16_000_000
RUNS = 3


def documents(path: Path) -> pa.RecordBatch:
    """The first texts of a file as a DOCUMENT batch."""
    rows, size = [], 0
    with zstandard.open(path, "rt", encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines):
            rows.append({"id": number.to_bytes(16), "text": orjson.loads(line)["text"], "domain": "web"})
            size += len(line.encode())
            if size > BYTES:
                break
    return pa.RecordBatch.from_pylist(rows, schema=DOCUMENT)


def measure(path: Path) -> list[dict[str, Any]]:
    """One row a normalizer; the rivals' results are compared with ours."""
    batch = documents(path)
    texts = batch.column("text")
    megabytes = pc.sum(pc.binary_length(texts)).as_py() / 1e6
    strings = texts.to_pylist()
    calls: dict[str, Callable[[], Any]] = {
        "nfkc": lambda: normal_form(texts, "NFKC"),
        "nfc": lambda: normal_form(texts, "NFC"),
        "nfkc, pyarrow": lambda: pc.utf8_normalize(texts, "NFKC"),
        "nfkc, unicodedata": lambda: [unicodedata.normalize("NFKC", text) for text in strings],
        "width": lambda: Width().apply(batch),
        "whitespace": lambda: Whitespace().apply(batch),
        "punctuation": lambda: Punctuation().apply(batch),
        "mojibake": lambda: Mojibake().apply(batch),
    }
    rows, results = [], {}
    for name, call in calls.items():
        seconds, results[name] = cpu_seconds(call, RUNS)
        rows.append(
            {"text": path.parent.name + "/" + path.name, "normalizer": name, "MB/s": round(megabytes / seconds, 1)}
        )
        print(rows[-1], flush=True)
    if results["nfkc"].to_pylist() != results["nfkc, unicodedata"]:
        raise AssertionError(f"NFKC differs from unicodedata on {path.name}")
    return rows


if __name__ == "__main__":
    save("normalize", [row for path in TEXTS for row in measure(path)], ["numba", "numpy", "pyarrow", "ftfy"])
