"""The text a tokenizer is trained, compared or verified on: documents of named domains, streamed.

A domain is ``NAME=PATH[,PATH...]`` or a bare path (named by its file). A path is a JSONL, Parquet, Arrow or text file
(compressed or not), a glob, a folder, or the output folder of ``jacorpus corpus run``, whose shards bring their own
domains and their split: documents of split ``valid`` are never trained on, and every bits-per-byte figure is measured
on them.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from jacorpus.errors import InputError
from jacorpus.measure import document_id
from jacorpus.schema import ID
from jacorpus.shards import read_batches
from jacorpus.sources.arrow import Arrow
from jacorpus.sources.jsonl import Jsonl
from jacorpus.sources.parquet import Parquet
from jacorpus.sources.paths import expand
from jacorpus.sources.text import Text
from jacorpus.stage import Chunk, InputFile, Lost, Source, Span

TEXTS = pa.schema(
    [
        pa.field("id", ID, nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
    ]
)
"""Rows of a stream of documents."""

BATCH_BYTES = 8 << 20
_PACKED = (".gz", ".zst", ".bz2", ".xz")
_PAGES = (".warc", ".wet", ".arc")
_PER_CENT = 100


@dataclass
class Domain:
    """One named part of a corpus. lost: records that the last pass over the documents could not
    read, ``file: reason`` -> number."""

    name: str
    files: list[InputFile]
    shards: bool = False  # files are shards of a corpus run
    column: str = "text"
    lost: dict[str, int] = field(default_factory=dict)

    def documents(self, split: str | None = None) -> Iterator[pa.RecordBatch]:
        """Batches of schema TEXTS of at most about 8 MB (one document is never cut).

        split: ``train`` or ``valid``. A shard knows it; of other files 0.5 % by a hash of the id are ``valid``.
        """
        self.lost.clear()
        for file in self.files:
            for batch in self._shard(file, split) if self.shards else self._records(file, split):
                yield from pieces_of(batch)

    def _shard(self, file: InputFile, split: str | None) -> Iterator[pa.RecordBatch]:
        for batch in read_batches(Path(file.uri)):
            if split is not None:
                batch = batch.filter(pc.equal(batch["split"], split))
            if batch.num_rows:
                yield batch.select(TEXTS.names).cast(TEXTS)

    def _records(self, file: InputFile, split: str | None) -> Iterator[pa.RecordBatch]:
        for span in source_of(file, self.column).cut(file, 1 << 62):
            for chunk in chunks_of(file, span, self.column):
                for lost in chunk.lost:
                    place = f"{file.name}: {lost.reason}"
                    self.lost[place] = self.lost.get(place, 0) + 1
                if chunk.records.num_rows:
                    yield _documents(chunk.records, self.name, file.name, split)


def _documents(records: pa.RecordBatch, domain: str, name: str, split: str | None) -> pa.RecordBatch:
    ids = [document_id(domain, name, position) for position in records["position"].to_pylist()]
    arrays = [pa.array(ids, ID), records["text"].cast(pa.large_string()), pa.array([domain] * len(ids), pa.string())]
    batch = pa.RecordBatch.from_arrays(arrays, schema=TEXTS)
    if split is None:
        return batch
    held = held_out(ids)
    return batch.filter(pa.array(held if split == "valid" else ~held))


def held_out(ids: Sequence[bytes]) -> np.ndarray:
    """bool [N]: which documents of a file that knows no split are ``valid``, 0.5 % by a hash of the id."""
    return np.array([xxhash.xxh3_64_intdigest(id) % (2 * _PER_CENT) == 0 for id in ids], bool)


def pieces_of(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """A batch of records with a text, in slices of at most BATCH_BYTES of text (one document is never cut)."""
    sizes = np.cumsum(pc.binary_length(batch["text"]).to_numpy(zero_copy_only=False))
    start = 0
    while start < batch.num_rows:
        before = sizes[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(sizes, before + BATCH_BYTES, "right")))
        yield batch.slice(start, stop - start)
        start = stop


def source_of(file: InputFile, column: str) -> Source:
    """What reads a file, by the end of its name. Raises InputError for a kind that holds no documents."""
    name = file.name.lower()
    for packed in _PACKED:
        name = name.removesuffix(packed)
    if name.endswith((".jsonl", ".json", ".ndjson")):
        return Jsonl(column=column)
    if name.endswith(".parquet"):
        return Parquet(column=column)
    if name.endswith((".arrow", ".ipc", ".feather")):
        return Arrow(column=column)
    if name.endswith((".txt", ".text", ".md")):
        return Text()
    if name.endswith(_PAGES):
        raise InputError(f"{file.uri} holds web pages; curate them first: jacorpus corpus run RECIPE")
    raise InputError(f"{file.uri} is of no known kind; expected .jsonl, .parquet, .arrow or .txt (perhaps compressed)")


def chunks_of(file: InputFile, span: Span, column: str) -> Iterator[Chunk]:
    """What a span of a file holds, every record with its text.

    A text file's bytes are decoded as a corpus run decodes a page's (UTF-8, or the charset they fit); what is no text
    is lost, with the reason ``empty``, ``over_budget`` or ``unknown_label``.
    """
    for chunk in source_of(file, column).read(file, span):
        if chunk.records["body"].null_count < chunk.records.num_rows:
            chunk.lost += _decode_bodies(chunk)
        yield chunk


def _decode_bodies(chunk: Chunk) -> list[Lost]:
    """Put the text of each body into the chunk's records; returns those that have none."""
    from jacorpus.extract.charset import Undecoded, decode

    texts, lost = [], []
    for position, body in zip(*(chunk.records[name].to_pylist() for name in ("position", "body")), strict=True):
        decoded = decode(body, html=False)
        if isinstance(decoded, Undecoded):
            lost.append(Lost(position, decoded.reason, decoded.detail, len(body)))
        texts.append(None if isinstance(decoded, Undecoded) else decoded.text)
    column = pa.array(texts, chunk.records["text"].type)
    records = chunk.records.set_column(chunk.records.schema.get_field_index("text"), "text", column)
    chunk.records = records.filter(pc.is_valid(column))
    return lost


def open_corpus(items: Sequence[str], column: str = "text") -> list[Domain]:
    """Domains of the words of a command line; see the module's docstring.

    Raises InputError for a path that matches nothing, a file of no known kind, or a domain named twice.
    """
    domains: list[Domain] = []
    for item in items:
        name, equals, paths = item.partition("=")
        if not equals or os.path.exists(item):
            name, paths = "", item
        listed = [path for path in paths.split(",") if path] or [item]
        if len(listed) == 1 and (Path(listed[0]) / "manifest.json").is_file():
            domains += _shard_domains(Path(listed[0]), name)
            continue
        files = expand(listed, Path.cwd())
        for file in files:
            source_of(file, column)
        domains.append(Domain(name or _named(listed[0]), files, column=column))
    seen: set[str] = set()
    for domain in domains:
        if domain.name in seen:
            raise InputError(f"two corpora are named `{domain.name}`; name them apart: --corpus NAME=PATH")
        seen.add(domain.name)
    return domains


def _named(path: str) -> str:
    """``data/ja/aozora.jsonl.zst`` -> ``ja/aozora``: the folder tells languages apart."""
    stem = Path(path).name.partition(".")[0]
    folder = Path(path).parent.name
    return f"{folder}/{stem}" if folder and not any(c in folder for c in "*?[") else stem


def _shard_domains(out: Path, only: str) -> list[Domain]:
    manifest: dict[str, Any] = json.loads((out / "manifest.json").read_text("utf-8"))
    if "shards" not in manifest:
        raise InputError(f"{out / 'manifest.json'} lists no text shards; expected the output of jacorpus corpus run")
    found: dict[str, list[InputFile]] = {}
    for shard in manifest["shards"]:
        path = out / shard["path"]
        if not path.is_file():
            raise InputError(f"{path} is listed in the manifest and missing; run the recipe again")
        found.setdefault(shard["domain"], []).append(InputFile(str(path), shard["path"], path.stat().st_size))
    if only:
        files = [file for each in found.values() for file in each]
        return [Domain(only, files, shards=True)]
    if not found:
        raise InputError(f"{out} holds no document that was kept")
    return [Domain(name, files, shards=True) for name, files in sorted(found.items())]


def nothing_in(domains: Sequence[Domain], which: str = "") -> InputError:
    """The error to raise where a pass over the domains gave no document with text; tells what could not be read."""
    lost = [(place, number) for domain in domains for place, number in domain.lost.items()]
    total = sum(number for _, number in lost)
    why = f"; {total:,} records could not be read ({lost[0][0]}): is the text in another --column?" if lost else ""
    names = ", ".join(domain.name for domain in domains)
    return InputError(f"nothing to read in {names}: no document with text{which}{why}")


@dataclass(frozen=True)
class Drawn:
    """A drawn part of a corpus, in an order of its own (by hash), the same for any order of files.

    texts: large_string [N]. domain: int32 [N], index into names. names: domains. read_bytes, taken_bytes: UTF-8
    bytes by domain name. documents: drawn by domain name.
    """

    texts: pa.LargeStringArray
    domain: np.ndarray
    names: tuple[str, ...]
    read_bytes: dict[str, int]
    taken_bytes: dict[str, int]
    documents: dict[str, int]


def draw(
    domains: Sequence[Domain],
    budget_bytes: int,
    seed: int = 0,
    weights: dict[str, float] | None = None,
    split: str | None = "train",
    progress: Any = None,
) -> Drawn:
    """Draw documents of each domain up to its share of a budget, over the *whole* input in bounded memory.

    A document's rank is a hash of (seed, id); each domain keeps those of lowest rank that fit its bytes, so that the
    draw depends on neither the order of files nor their number. weights: domain -> relative share of the budget
    (default: natural, by bytes read; the shares then follow from one rank over all). progress: called with bytes read.
    Raises InputError for a weight of an unknown domain or when nothing was drawn.
    """
    names = tuple(domain.name for domain in domains)
    if weights is not None and set(weights) - set(names):
        wrong = ", ".join(sorted(set(weights) - set(names)))
        raise InputError(f"a weight is given for {wrong}, and the corpus has {', '.join(names)}")
    pools: list[_Pool] = []
    if weights is None:
        pools = [_Pool(budget_bytes)] * len(names)
    else:
        total = sum(weights.get(name, 0.0) for name in names) or 1.0
        pools = [_Pool(int(budget_bytes * weights.get(name, 0.0) / total)) for name in names]
    read = dict.fromkeys(names, 0)
    for index, domain in enumerate(domains):
        for batch in domain.documents(split):
            sizes = pc.binary_length(batch["text"]).to_numpy(zero_copy_only=False)
            read[domain.name] += int(sizes.sum())
            pools[index].offer(batch, index, sizes, seed)
            if progress:
                progress(int(sizes.sum()))
    unique = list({id(pool): pool for pool in pools}.values())
    rows = sorted(row for pool in unique for row in pool.rows())
    if not rows:
        raise nothing_in(domains, f" of split {split}" if split else "")
    texts = pa.array([row[3] for row in rows], pa.large_string())
    domain_index = np.array([row[2] for row in rows], np.int32)
    taken, documents = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for _, _, index, text in rows:
        taken[names[index]] += len(text.encode())
        documents[names[index]] += 1
    return Drawn(texts, domain_index, names, read, taken, documents)


class _Pool:
    """The documents of lowest rank whose bytes fit a budget; a document over the whole budget is kept alone."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._heap: list[tuple[int, bytes, int, str]] = []  # rank negated: the worst is on top
        self._bytes = 0
        self._limit = 1 << 64

    def offer(self, batch: pa.RecordBatch, domain: int, sizes: np.ndarray, seed: int) -> None:
        import heapq

        if self.budget <= 0:
            return
        texts = batch["text"]
        for i, id in enumerate(batch["id"].to_pylist()):
            rank = xxhash.xxh3_64_intdigest(id, seed)
            if rank >= self._limit or not sizes[i]:
                continue
            heapq.heappush(self._heap, (-rank, id, domain, texts[i].as_py()))
            self._bytes += int(sizes[i])
            while self._bytes > self.budget and len(self._heap) > 1:
                worst = heapq.heappop(self._heap)
                self._bytes -= len(worst[3].encode())
                self._limit = min(self._limit, -worst[0])

    def rows(self) -> Iterator[tuple[int, bytes, int, str]]:
        """(rank, id, domain, text), in no order."""
        for negated, id, domain, text in self._heap:
            yield -negated, id, domain, text
