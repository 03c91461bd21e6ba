"""MB/s of UTF-8 a core: word lists, compression, words. `python -m benchmarks.keywords [TEXTS.jsonl.zst [LIST ...]]`

TEXTS: lines with `text`, the first 10 MB are used. LIST: files of one word a line. Rivals in the same run: `re` as
HojiChar uses it (the alternation, in the list's order) on the first MB, MeCab alone without any signal.
"""

import io
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import zstandard

from benchmarks.record import DATA, cpu_seconds, save
from jacorpus.kernels.keywords import keyword_hits, word_table
from jacorpus.signals.compression import Compression
from jacorpus.signals.wordless import Wordless
from jacorpus.signals.words import Words, segment

TEXTS = DATA / "ja" / "docs.jsonl.zst"
LISTS = [DATA / "noisy" / "ngwords" / f"hojichar_{kind}_keywords_ja.txt" for kind in ("adult", "discrimination")]
TEXT_BYTES = 10_000_000
SLOW_BYTES = 1_000_000


def texts(path: Path, limit: int) -> Iterator[str]:
    with path.open("rb") as file:
        for line in io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file)):
            text = orjson.loads(line)["text"]
            limit -= len(text.encode())
            yield text
            if limit <= 0:
                return


def batch(path: Path, limit: int) -> pa.RecordBatch:
    rows = list(texts(path, limit))
    ids = pa.array([row.to_bytes(16, "big") for row in range(len(rows))], pa.binary(16))
    return pa.record_batch({"id": ids, "text": pa.array(rows, pa.large_string())})


def speed(work: Callable[[pa.RecordBatch], Any], documents: pa.RecordBatch, repeats: int = 3) -> float:
    """MB of UTF-8 a CPU second."""
    size = sum(len(text.encode()) for text in documents.column("text").to_pylist())
    return round(size / 1e6 / cpu_seconds(lambda: work(documents), repeats)[0], 2)


def by_regex(words: list[str]) -> Callable[[pa.RecordBatch], Any]:
    pattern = re.compile("|".join(map(re.escape, words)))
    return lambda documents: [len(pattern.findall(text)) for text in documents.column("text").to_pylist()]


def by_kernel(words: list[str]) -> Callable[[pa.RecordBatch], Any]:
    table = word_table(words)
    return lambda documents: keyword_hits(documents.column("text"), table)


def main(corpus: Path, lists: list[Path]) -> None:
    documents, few = batch(corpus, TEXT_BYTES), batch(corpus, SLOW_BYTES)
    rows: list[dict[str, Any]] = []
    for path in lists:
        words = [word for word in path.read_text("utf-8").splitlines() if word]
        facts = {"list": path.stem, "words": len(words)}
        rows.append({"what": "keywords", **facts, "mb_s": speed(by_kernel(words), documents)})
        rows.append({"what": "re, the alternation", **facts, "mb_s": speed(by_regex(words), few, 1)})
    for kind in ("zlib", "lz4"):
        rows.append({"what": f"compression {kind}", "mb_s": speed(Compression((kind,)).measure, documents, 1)})
    rows.append({"what": "wordless", "mb_s": speed(Wordless().measure, documents)})
    rows.append({"what": "words", "mb_s": speed(Words().measure, few)})
    alone = speed(lambda b: [segment(text) for text in b.column("text").to_pylist()], few)
    rows.append({"what": "MeCab and reading its output", "mb_s": alone})
    for row in rows:
        print({**row, "corpus": corpus.name})
    save("keywords", [{**row, "corpus": corpus.name} for row in rows], ["numba", "pyarrow", "fugashi", "unidic-lite"])


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    main(given[0] if given else TEXTS, given[1:] or LISTS)
