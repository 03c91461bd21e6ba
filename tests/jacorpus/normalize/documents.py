"""Batches of documents for the tests of normalizers."""

from pathlib import Path

import orjson
import pyarrow as pa
import zstandard

from jacorpus.schema import DOCUMENT


def document_batch(texts: list[str]) -> pa.RecordBatch:
    """A DOCUMENT batch whose other columns are filled, so that a lost one shows."""
    rows = [
        {
            "id": n.to_bytes(16),
            "text": text,
            "domain": "web",
            "url": f"https://example.jp/{n}",
            "lang": None,
            "meta": "{}",
        }
        for n, text in enumerate(texts)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=DOCUMENT)


def apply_texts(stage, texts: list[str]) -> list[str]:
    """The texts a transform makes of these."""
    batch = stage.apply(document_batch(texts)).batch
    batch.validate(full=True)
    assert batch.schema == DOCUMENT
    return batch.column("text").to_pylist()


def read_texts(path: Path, count: int) -> list[str]:
    """The first texts of a .jsonl.zst file of the real data."""
    texts: list[str] = []
    with zstandard.open(path, "rt", encoding="utf-8", newline="\n") as lines:
        for line in lines:
            texts.append(orjson.loads(line)["text"])
            if len(texts) == count:
                break
    return texts
