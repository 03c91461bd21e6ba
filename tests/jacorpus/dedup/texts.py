"""Texts and signature files for the tests of deduplication."""

import io
import json
import random
from collections.abc import Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import zstandard

from jacorpus.schema import DOCUMENT
from jacorpus.stage import SignaturePart

WORDS = ["東京", "大阪", "研究", "言語", "モデル", "学習", "データ", "日本語", "文章", "公園", "電車", "音楽", "料理"]
ENDS = ["が届いた。", "を調べた。", "に驚いた。", "と話した。", "へ向かった。", "は静かだった。", "も増えている。"]


def real_texts(folder: Path, count: int) -> list[str]:
    """The first paragraphs' worth (2,000 characters) of real documents."""
    with (folder / "ja/docs.jsonl.zst").open("rb") as file:
        lines = io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file))
        return [json.loads(line)["text"][:2000] for line in islice(lines, count)]


def sentences(draw: random.Random, count: int) -> str:
    """Made-up prose."""
    return "".join(draw.choice(WORDS) + "の" + draw.choice(WORDS) + draw.choice(ENDS) for _ in range(count))


def documents(texts: Sequence[str | None], urls: Sequence[str | None] | None = None) -> pa.RecordBatch:
    """A batch of schema DOCUMENT with running ids."""
    count = len(texts)
    filled: dict[str, Any] = {
        "id": [number.to_bytes(16, "big") for number in range(count)],
        "text": [text or "" for text in texts],
        "domain": ["web"] * count,
        "url": urls or [None] * count,
        "lang": [None] * count,
        "timestamp": [None] * count,
        "meta": [None] * count,
    }
    return pa.record_batch([pa.array(filled[field.name], field.type) for field in DOCUMENT], schema=DOCUMENT)


def signed(stage: Any, batch: pa.RecordBatch, folder: Path, cuts: Sequence[int] = ()) -> list[SignaturePart]:
    """Signature files of the batch, one for each piece between the cuts, two record batches in each."""
    parts = []
    bounds = [0, *cuts, len(batch)]
    folder.mkdir(parents=True, exist_ok=True)
    for number, (start, stop) in enumerate(pairwise(bounds)):
        path = folder / f"{number:08d}.arrow"
        middle = (start + stop) // 2
        with pa.ipc.new_file(str(path), stage.signature_schema()) as writer:
            for low, high in ((start, middle), (middle, stop)):
                columns = stage.sign(batch.slice(low, high - low))
                writer.write(pa.record_batch(list(columns.values()), schema=stage.signature_schema()))
        parts.append(SignaturePart(path, start, stop - start))
    return parts


def all_edges(stage: Any, parts: Sequence[SignaturePart], partitions: int) -> dict[tuple[int, int], float]:
    """Union over the partitions: (a, b) -> similarity."""
    edges: dict[tuple[int, int], float] = {}
    for partition in range(partitions):
        for row in stage.join(parts, partition, partitions).to_pylist():
            edges[row["a"], row["b"]] = row["similarity"]
    return edges
