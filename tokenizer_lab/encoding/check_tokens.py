"""Prove a folder of token shards: each file is whole, the counts are those of the manifest, the order is right, and
documents taken from the corpus again give the tokens that are stored."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jacorpus.keys import file_digest
from tokenizer_lab.corpus import Domain
from tokenizer_lab.encoding.reading import Documents, Tally, parts_of
from tokenizer_lab.encoding.shuffle import id_bytes, ranks
from tokenizer_lab.tokens import Tokens, TokenShard, open_tokens

DOCUMENTS = 200
"""Documents of each part of the corpus that are encoded again."""

Finding = dict[str, Any]


def validate_tokens(folder: str | Path, corpus: Sequence[Domain] = ()) -> dict[str, Any]:
    """Every check with its finding: {"checks": [{"name", "passed", "detail"}], "passed": bool}.

    corpus: where the text lies; without it no document is encoded again. Raises InputError where nothing was finished.
    """
    tokens = open_tokens(folder)
    checks = [_whole(tokens)]
    if checks[0]["passed"]:
        checks += [_rows(tokens), _order(tokens), _accounts(tokens)]
        if corpus:
            checks.append(_again(tokens, corpus))
    return {"checks": checks, "passed": all(check["passed"] for check in checks)}


def _finding(name: str, problems: list[str], detail: str) -> Finding:
    shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
    return {"name": name, "passed": not problems, "detail": shown or detail}


def _whole(tokens: Tokens) -> Finding:
    """Every listed file is there with its bytes, and nothing else is."""
    problems, listed = [], {entry["path"]: entry for entry in tokens.manifest["shards"]}
    for path, entry in listed.items():
        file = tokens.folder / path
        if not file.is_file():
            problems.append(f"{path} is missing")
        elif file.stat().st_size != entry["bytes"]:
            problems.append(f"{path} has {file.stat().st_size} bytes, not {entry['bytes']}")
        elif file_digest(file) != entry["xxh3"]:
            problems.append(f"{path} has another checksum")
    there = {path.relative_to(tokens.folder).as_posix() for path in (tokens.folder / "shards").rglob("*.arrow")}
    problems += [f"{path} is not in the manifest" for path in sorted(there - set(listed))]
    return _finding("files", problems, f"{len(listed)} shards have the checksums of the manifest")


def _rows(tokens: Tokens) -> Finding:
    """Rows, tokens and bytes of each shard are the manifest's; every id is in the vocabulary; no null anywhere."""
    problems = []
    for shard in tokens.shards:
        name = shard.path.name
        batch = shard.batch
        if any(column.null_count for column in batch.columns):
            problems.append(f"{name} holds nulls")
        if len(shard.ids) and int(shard.ids.max()) >= tokens.vocab_size:
            problems.append(f"{name} holds id {shard.ids.max()} and the vocabulary has {tokens.vocab_size}")
        if int(batch["text_bytes"].to_numpy().sum()) != shard.text_bytes:
            problems.append(f"{name} has other text_bytes than the manifest")
        if shard.offsets[0] != 0 or shard.offsets[-1] != shard.tokens or (np.diff(shard.offsets) < 0).any():
            problems.append(f"{name} has offsets that don't fit its tokens")
        names = {(shard.domain, shard.split)}
        if batch.num_rows and {(batch["domain"][0].as_py(), batch["split"][0].as_py())} != names:
            problems.append(f"{name} holds another domain or split than the manifest says")
    total = sum(shard.tokens for shard in tokens.shards)
    return _finding("rows", problems, f"{total:,} tokens, all below {tokens.vocab_size:,}")


def _order(tokens: Tokens) -> Finding:
    """Documents lie by their keyed hash, across shards; so no id is there twice in a split."""
    problems, documents = [], 0
    for domain, split, shards in tokens.groups():
        before = -1
        for shard in shards:
            found = ranks(id_bytes(shard.batch["id"]), tokens.manifest["seed"])
            first, last = int(found[0]), int(found[-1])
            inside = shard.ranks[0] <= first and last < shard.ranks[1] and before <= first
            if not inside or (found[1:] < found[:-1]).any():
                problems.append(f"{shard.path.name} is not in the order of seed {tokens.manifest['seed']}")
            before, documents = last, documents + len(found)
        if any(a.ranks[1] > b.ranks[0] for a, b in pairwise(shards)):
            problems.append(f"shards of {domain} {split} overlap")
    return _finding("order", problems, f"{documents:,} documents lie by the hash of (seed, id)")


def _accounts(tokens: Tokens) -> Finding:
    """Sums by domain and split, and read = written + lost."""
    manifest, problems = tokens.manifest, []
    sums: Counter[tuple[str, str, str]] = Counter()
    for shard in tokens.shards:
        for what in ("documents", "tokens", "text_bytes"):
            sums[shard.domain, shard.split, what] += getattr(shard, what)
    listed = {
        (domain, split, what): counts[what]
        for domain, splits in manifest["domains"].items()
        for split, counts in splits.items()
        for what in ("documents", "tokens", "text_bytes")
    }
    if dict(sums) != listed:
        problems.append("the shards do not add up to the domains of the manifest")
    counts, lost = manifest["counts"], sum(row["records"] for row in manifest["lost"])
    documents = sum(shard.documents for shard in tokens.shards)
    if not counts["read"] == documents + lost == counts["documents"] + counts["lost"]:
        problems.append(f"{counts['read']:,} records read, {documents:,} documents written, {lost:,} lost")
    inputs = sum(row["documents"] for row in manifest["inputs"])
    if inputs != documents:
        problems.append(f"the inputs held {inputs:,} documents and the shards hold {documents:,}")
    return _finding("accounts", problems, f"{counts['read']:,} records = {documents:,} documents + {lost:,} lost")


def _again(tokens: Tokens, corpus: Sequence[Domain]) -> Finding:
    """Some documents of each part of the corpus, encoded again and looked up by their id."""
    tokenizer, shelf = tokens.tokenizer(), _Shelf(tokens)
    problems: list[str] = []
    compared = lossless = 0
    for part in parts_of(corpus, _split(tokens, corpus)):
        batch = next(part.documents(Tally(), lambda _: None), None)
        if batch is None:
            continue
        batch = Documents(*(column[:DOCUMENTS] for column in vars(batch).values()))
        ids = batch.ids.to_pylist()
        encoded = tokenizer.encode(batch.texts)
        decoded = tokenizer.decode(encoded).to_pylist()
        columns = (ids, batch.domain, batch.texts.to_pylist(), encoded.to_pylist(), decoded)
        for id, domain, text, fresh, back in zip(*columns, strict=True):
            stored = shelf.tokens(domain, id)
            compared += 1
            lossless += back == text.encode()
            if stored is None:
                problems.append(f"document {id.hex()} of {domain} {part.file.name} is in no shard")
            elif stored.tolist() != fresh:
                problems.append(f"document {id.hex()} of {domain} {part.file.name} has other tokens")
    detail = f"{compared:,} documents give their tokens again; {lossless:,} of them decode to their very text"
    return _finding("documents", problems, detail)


def _split(tokens: Tokens, corpus: Sequence[Domain]) -> set[str]:
    """Names of a corpus' domains that were split by language: others took their place."""
    types = {table.get("type") for table in tokens.manifest.get("axes", {}).values()}
    return {domain.name for domain in corpus if domain.name in types}


class _Shelf:
    """Finds the stored tokens of an id."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens_of = tokens
        self.ranks: dict[Path, np.ndarray] = {}

    def tokens(self, domain: str, id: bytes) -> np.ndarray | None:
        """uint32 ids of a document, None where it is in no shard."""
        as_array = np.frombuffer(id, np.uint8).reshape(1, -1)
        rank = int(ranks(as_array, self.tokens_of.manifest["seed"])[0])
        for shard in self.tokens_of.shards:
            if shard.domain == domain and shard.ranks[0] <= rank < shard.ranks[1]:
                row = self._row(shard, rank, id)
                if row is not None:
                    return shard.ids[shard.offsets[row] : shard.offsets[row + 1]]
        return None

    def _row(self, shard: TokenShard, rank: int, id: bytes) -> int | None:
        column: pa.Array = shard.batch["id"]
        if shard.path not in self.ranks:
            self.ranks[shard.path] = ranks(id_bytes(column), self.tokens_of.manifest["seed"])
        found = self.ranks[shard.path]
        row = int(np.searchsorted(found, np.uint64(rank)))
        while row < len(found) and int(found[row]) == rank:
            if column[row].as_py() == id:
                return row
            row += 1
        return None
