"""Texts of two corpora that say the same: records whose key ``align`` has the same value.

Which pages are taken is decided by a hash of the key, so that it depends on neither order nor number of files.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import orjson
import pyarrow as pa
import xxhash

from jacorpus.sources.jsonl import Jsonl
from jacorpus.stage import InputFile
from tokenizer_lab.comparison.encoded import Texts
from tokenizer_lab.corpus import Domain

KEY = "align"
LEAST = 10  # shared keys; fewer say nothing
_PLAIN = (".jsonl", ".json", ".ndjson")
_PACKED = (".gz", ".zst", ".bz2", ".xz")


@dataclass(frozen=True)
class Pair:
    """name: ``ja/docs : en/docs``. one, other: documents in the same order."""

    name: str
    one: Texts
    other: Texts


def base_of(domains: Sequence[Domain]) -> Domain:
    """What the others are compared with: the corpus whose name says English, else the first."""
    for domain in domains:
        if "en" in domain.name.lower().replace("-", "/").replace("_", "/").split("/"):
            return domain
    return domains[0]


def aligned(domains: Sequence[Domain], budget_bytes: int, seed: int = 0) -> list[Pair]:
    """Each corpus beside the base corpus, where at least LEAST keys are shared; of each about budget_bytes."""
    keyed = [(domain, sizes) for domain in domains if (sizes := _sizes(domain))]
    if len(keyed) < 2:
        return []
    base = base_of([domain for domain, _ in keyed])
    base_sizes = next(sizes for domain, sizes in keyed if domain is base)
    pairs = []
    for domain, sizes in keyed:
        if domain is base:
            continue
        keys = _chosen({key: size for key, size in sizes.items() if key in base_sizes}, budget_bytes, seed)
        if len(keys) >= LEAST:
            about = f"{len(keys):,} pages with the same `{KEY}`"
            one, other = (_texts(side, keys, about) for side in (domain, base))
            pairs.append(Pair(f"{domain.name} : {base.name}", one, other))
    return pairs


def _chosen(sizes: dict[str, int], budget_bytes: int, seed: int) -> list[str]:
    keys: list[str] = []
    taken = 0
    for key in sorted(sizes, key=lambda key: (xxhash.xxh3_64_intdigest(key.encode(), seed), key)):
        if taken + sizes[key] > budget_bytes and keys:
            break
        keys.append(key)
        taken += sizes[key]
    return keys


def _sizes(domain: Domain) -> dict[str, int]:
    """UTF-8 bytes of the first record of each key; empty where records have none."""
    sizes: dict[str, int] = {}
    for key, text in _records(domain):
        sizes.setdefault(key, len(text.encode()))
    return sizes


def _texts(domain: Domain, keys: Sequence[str], about: str) -> Texts:
    wanted, found = set(keys), dict[str, str]()
    for key, text in _records(domain):
        if key in wanted:
            found.setdefault(key, text)
    return Texts(domain.name, pa.array([found[key] for key in keys], pa.large_string()), about=about)


def _records(domain: Domain) -> Iterator[tuple[str, str]]:
    """(key, text) of each record that has a key; files whose first batch has none are left at once."""
    if domain.shards:
        return
    for file in domain.files:
        if _is_jsonl(file):
            yield from _of_file(Jsonl(column=domain.column), file)


def _of_file(source: Jsonl, file: InputFile) -> Iterator[tuple[str, str]]:
    found = False
    for span in source.cut(file, 1 << 62):
        for chunk in source.read(file, span):
            for meta, text in zip(chunk.records["meta"].to_pylist(), chunk.records["text"], strict=True):
                key = orjson.loads(meta).get(KEY) if meta else None
                if isinstance(key, str) and key:
                    found = True
                    yield key, text.as_py()
            if not found and chunk.records.num_rows:
                return


def _is_jsonl(file: InputFile) -> bool:
    name = file.name.lower()
    for packed in _PACKED:
        name = name.removesuffix(packed)
    return name.endswith(_PLAIN)
