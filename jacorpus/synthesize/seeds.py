"""Seeds: records of any table or text our sources read, each with an id that its documents will carry."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from jacorpus.measure import document_id
from jacorpus.sources.arrow import Arrow
from jacorpus.sources.jsonl import Jsonl
from jacorpus.sources.parquet import Parquet
from jacorpus.sources.paths import expand
from jacorpus.stage import InputFile, Lost

_SENTENCE_ENDS = "。！？\n"


@dataclass(frozen=True)
class Seed:
    """One record. id: its own field ``id``, else of its place. fields: all it holds, ``text`` first.

    lost: why it can't be a seed, where it can't.
    """

    id: str
    file: str
    position: int
    url: str | None
    fields: dict[str, Any]
    lost: Lost | None = None

    def text(self, limit: int = 0) -> str:
        """The text, up to the last sentence that ends within ``limit`` characters (0: all)."""
        text = str(self.fields["text"])
        if not limit or len(text) <= limit:
            return text
        end = max(text.rfind(mark, 0, limit) for mark in _SENTENCE_ENDS) + 1
        return text[: end or limit]

    def lineage(self) -> dict[str, Any]:
        """What its documents tell of it."""
        told = {"seed": self.id, "seed_file": self.file, "seed_position": self.position, "seed_url": self.url}
        return told | {f"seed_{k}": self.fields[k] for k in ("domain", "license") if k in self.fields}


def read_seeds(paths: tuple[str, ...], column: str, limit: int = 0) -> Iterator[Seed]:
    """Seeds in the order of files and positions. A corpus's output folder stands for its shards.

    Damaged records, and records whose id was there before, come with ``lost``.
    """
    seen: set[str] = set()
    for number, seed in enumerate(_records(paths, column)):
        if limit and number >= limit:
            return
        if seed.id in seen and not seed.lost:
            detail = f"an earlier seed has the id {seed.id!r}; give each record an id of its own"
            seed = Seed(seed.id, seed.file, seed.position, seed.url, {}, Lost(seed.position, "duplicate_id", detail))
        seen.add(seed.id)
        yield seed


def _records(paths: tuple[str, ...], column: str) -> Iterator[Seed]:
    shards = [f"{path}/shards" if (Path(path) / "manifest.json").is_file() else path for path in paths]
    for file in expand(shards, Path.cwd()):
        kind = {".arrow": Arrow, ".parquet": Parquet}.get(Path(file.name).suffix, Jsonl)
        source: Any = kind(column=column)
        for span in source.cut(file, 1 << 40):
            for chunk in source.read(file, span):
                lost = [_lost(file, each) for each in chunk.lost]
                rows = [_seed(file, row) for row in chunk.records.to_pylist()]
                yield from sorted(rows + lost, key=lambda seed: seed.position)


def _place(file: InputFile, position: int) -> str:
    return document_id("seed", file.name, position).hex()


def _lost(file: InputFile, lost: Lost) -> Seed:
    return Seed(_place(file, lost.position), file.name, lost.position, lost.url, {}, lost)


def _seed(file: InputFile, row: dict[str, Any]) -> Seed:
    meta = orjson.loads(row["meta"]) if row["meta"] else {}
    if isinstance(meta.get("meta"), str):  # of a shard: what the document's own source told
        meta = _nested(meta.pop("meta")) | meta
    own = meta.get("id")
    identity = str(own) if isinstance(own, str | int) else _place(file, row["position"])
    return Seed(identity, file.name, row["position"], row["url"], {**meta, "text": row["text"]})


def _nested(text: str) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def identity_of(seed: str, template: str, version: str, draw: int) -> bytes:
    """Id of a synthetic document: 16 bytes of SHA-256 over seed, template, version and draw."""
    return document_id(f"synthetic\0{template}\0{version}", seed, draw)
