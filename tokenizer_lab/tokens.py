"""Token shards: what ``jacorpus tokenizer encode`` writes and the trainer's data feed maps into memory.

A folder of token shards:

    manifest.json    counts by domain and split, the tokenizer, one entry a shard (written last); ``axes``, the
                     language of domains and the type (the corpus' domain), where they were told or split by language
    shards/*.arrow   Arrow IPC, uncompressed, schema TOKENS; each file is ONE record batch of one domain and one split
    tokenizer/       the tokenizer's own file, so that text can be had back
    run.json         what only concerns this machine: when, how long, how many workers

The documents of a (domain, split) lie in one order, that of a keyed hash of (seed, id), cut into shards 0, 1, 2, ...
A shard's tokens are one array on disk and its offsets another: a feed finds token t of a domain from the counts in
the manifest and a binary search in the offsets, reads nothing at its start, and copies nothing.

No end-of-text token is stored. The feed puts ``eos_id`` between documents (its place follows from the offsets), and
may choose another. An empty document is kept with no tokens, so that documents read = documents written.

Legend: N documents and T tokens of a shard, V ids.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from jacorpus.errors import InputError, nearest
from jacorpus.schema import ID
from tokenizer_lab.encoding.direct import DirectFile

if TYPE_CHECKING:
    from tokenizer_lab.tokenizer import Tokenizer

FORMAT = 1
KIND = "tokens"
NAME = pa.dictionary(pa.int8(), pa.string())

TOKENS = pa.schema(
    [
        pa.field("id", ID, nullable=False),
        pa.field("domain", NAME, nullable=False),  # the same in all rows of a file
        pa.field("split", NAME, nullable=False),  # train or valid; the same in all rows of a file
        pa.field("weight", pa.int8(), nullable=False),  # rehydration weight of the text shard; 1 where it has none
        pa.field("text_bytes", pa.int64(), nullable=False),  # UTF-8 bytes of the text, for bits per byte
        pa.field("tokens", pa.large_list(pa.uint32()), nullable=False),
    ]
)
"""Rows of shards/*.arrow of a token folder."""


@dataclass(frozen=True)
class TokenShard:
    """One file of documents of a domain and split, in shuffled order. Opens when first read.

    ranks: the keyed hashes of its documents lie in [ranks[0], ranks[1]).
    """

    path: Path
    domain: str
    split: str
    documents: int
    tokens: int
    text_bytes: int
    ranks: tuple[int, int]

    @cached_property
    def batch(self) -> pa.RecordBatch:
        """The rows, schema TOKENS, memory-mapped. Raises InputError for a damaged or foreign file."""
        problem = ""
        try:
            reader = pa.ipc.open_file(pa.memory_map(str(self.path)))
            if reader.schema != TOKENS or reader.num_record_batches != 1:
                problem = "it is no token shard"
            else:
                batch = reader.get_batch(0)
                if batch.num_rows == self.documents and len(batch["tokens"].values) == self.tokens:
                    return batch
                problem = f"it holds {batch.num_rows:,} documents and the manifest says {self.documents:,}"
        except (OSError, pa.ArrowException) as error:
            problem = str(error)
        raise InputError(f"{self.path} is missing or damaged ({problem}); encode the corpus again to rebuild it")

    @cached_property
    def offsets(self) -> np.ndarray:
        """int64 [N+1]: document d has the tokens [offsets[d], offsets[d + 1]) of ``ids``; no copy."""
        return self.batch["tokens"].offsets.to_numpy()

    @cached_property
    def ids(self) -> np.ndarray:
        """uint32 [T]: the tokens of all documents, one after another; no copy."""
        return self.batch["tokens"].values.to_numpy()


@dataclass(frozen=True)
class Tokens:
    """An opened folder of token shards: its manifest, nothing else is read yet."""

    folder: Path
    manifest: dict[str, Any]
    shards: tuple[TokenShard, ...]

    @property
    def vocab_size(self) -> int:
        """V: all ids are below it."""
        return self.manifest["tokenizer"]["vocab_size"]

    @property
    def eos_id(self) -> int | None:
        """Id that ends a text; None where the tokenizer has none."""
        return self.manifest["tokenizer"]["eos_id"]

    @property
    def domains(self) -> tuple[str, ...]:
        """Names, sorted."""
        return tuple(self.manifest["domains"])

    def of(self, domain: str, split: str) -> tuple[TokenShard, ...]:
        """Shards of a domain's split in their order; empty where the split has no document.

        Raises InputError for a domain that is not there.
        """
        if domain not in self.manifest["domains"]:
            raise InputError(f"{self.folder} has no domain `{domain}`{nearest(domain, self.domains)}")
        return tuple(shard for shard in self.shards if shard.domain == domain and shard.split == split)

    def groups(self) -> Iterator[tuple[str, str, tuple[TokenShard, ...]]]:
        """(domain, split, shards) of all that hold documents, in the order of the manifest."""
        for key in dict.fromkeys((shard.domain, shard.split) for shard in self.shards):
            yield *key, self.of(*key)

    def tokenizer(self) -> "Tokenizer":
        """The tokenizer the shards were made with. Raises InputError where it gives other ids by now."""
        from tokenizer_lab.tokenizer import open_tokenizer

        entry = self.manifest["tokenizer"]
        path = self.folder / entry["path"] if entry["path"] else entry["name"]
        found = open_tokenizer(path, entry["pattern"], entry["specials_given"])
        if found.fingerprint != entry["fingerprint"]:
            raise InputError(
                f"{path} is not the tokenizer that made {self.folder}: fingerprint {found.fingerprint[:12]}, "
                f"not {entry['fingerprint'][:12]}; put the original file back or encode again"
            )
        return found


def open_tokens(folder: str | Path) -> Tokens:
    """Open a folder of token shards by its manifest; shards open when they are read.

    Raises InputError where no encoding has finished there, or another kind of output lies there.
    """
    folder = Path(folder)
    manifest = manifest_of(folder)
    if manifest is None:
        raise InputError(f"{folder} holds no finished token shards; run jacorpus tokenizer encode ... --out {folder}")
    shards = tuple(
        TokenShard(
            folder / entry["path"],
            entry["domain"],
            entry["split"],
            entry["documents"],
            entry["tokens"],
            entry["text_bytes"],
            (int(entry["ranks"][0], 16), int(entry["ranks"][1], 16)),
        )
        for entry in manifest["shards"]
    )
    return Tokens(folder, manifest, shards)


def manifest_of(folder: Path) -> dict[str, Any] | None:
    """The manifest of a token folder, None where there is none yet.

    Raises InputError for a manifest of something else, of an unknown format, or that is no JSON.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        return None
    try:
        manifest = json.loads(path.read_bytes())
        kind = manifest.get("kind")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{path} can't be read ({error}); delete it and encode again") from error
    if kind != KIND:
        raise InputError(
            f"{path} is not of token shards (a corpus run?); choose another folder, such as {folder}/tokens"
        )
    if manifest["format"] != FORMAT:
        raise InputError(f"{path} has format {manifest['format']}, and this version reads {FORMAT}; encode again")
    return manifest


def write_tokens(path: Path, domain: str, split: str, columns: dict[str, pa.Array]) -> dict[str, Any]:
    """Write one shard: columns id, weight, text_bytes and tokens, in order; returns its bytes and xxh3."""
    rows = len(columns["id"])
    names = {name: _constant(value, rows) for name, value in (("domain", domain), ("split", split))}
    batch = pa.RecordBatch.from_arrays([{**columns, **names}[name] for name in TOKENS.names], schema=TOKENS)
    with DirectFile(path) as file, pa.ipc.new_file(pa.PythonFile(file, "w"), TOKENS) as writer:
        writer.write_batch(batch)
    return {"bytes": file.bytes, "xxh3": file.xxh3}


def _constant(value: str, rows: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), pa.array([value], pa.string()))
