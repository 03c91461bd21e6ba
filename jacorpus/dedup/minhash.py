"""Near-duplicates: MinHash signatures, bands that propose pairs, an estimate that confirms each.

A closure over unconfirmed band matches chains unlike texts together, so every edge is verified: the whole
signature's estimate has to reach the threshold. In a bucket (documents that share a band key) the smallest
document is the hub that all others are compared with; those it refuses form the next round with a hub of
their own, at most HUB_ROUNDS; who is left after that is counted in the edge table's metadata
(``unresolved``). A plain star around the smallest document would lose the pairs among the refused.

Legend: M documents of a partition, P pairs, k values a signature, b bands of r rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import pyarrow as pa

from jacorpus.dedup.bands import choose, curve, expected_recall
from jacorpus.dedup.buckets import distinct_pairs, edge_table, give_back, keys_between, opened, partitions_for, ranges
from jacorpus.stage import Column, SignaturePart

HUB_ROUNDS = 8
PAIRS_AT_ONCE = 1 << 15


class _Signatures:
    """Signatures of all parts by global row number; memory-mapped, read where touched."""

    def __init__(
        self, batches: Sequence[tuple[int, pa.RecordBatch]], k: int, kind: str, parts: Sequence[SignaturePart] = ()
    ) -> None:
        self.parts, self.batches = parts, batches
        self.k, self.kind = k, kind
        self.firsts = np.array([row for row, _ in batches], np.uint64)
        self.pieces = [self._piece(batch.column("signature")) for _, batch in batches]

    def _piece(self, column: pa.Array) -> np.ndarray:
        values = np.frombuffer(column.buffers()[1], self.kind) if len(column) else np.zeros(0, self.kind)
        return values[column.offset * self.k : (column.offset + len(column)) * self.k].reshape(-1, self.k)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Values [len(rows), k]."""
        if len(self.pieces) == 1:
            return self.pieces[0][rows - self.firsts[0]]
        piece = np.searchsorted(self.firsts, rows, side="right") - 1
        out = np.empty((len(rows), self.k), self.kind)
        order = np.argsort(piece, kind="stable")
        bounds = np.flatnonzero(np.diff(piece[order], prepend=-1, append=len(self.pieces)))
        for start, stop in pairwise(bounds):
            where = order[start:stop]
            number = piece[where[0]]
            out[where] = self.pieces[number][rows[where] - self.firsts[number]]
        return out

    def equal(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """int64 [P]: equal values of the pairs, each distinct pair read once, a bounded number at a time."""
        from jacorpus.kernels.minhash import agreements

        index, inverse = distinct_pairs(a, b)
        a, b = a[index], b[index]
        out = np.empty(len(a), np.int64)
        # A row of a mapped file brings up to 64 kB of its neighbors with it: fewer at once keep memory bounded.
        step = PAIRS_AT_ONCE // 8 if self.parts else PAIRS_AT_ONCE
        for start in range(0, len(a), step):
            part = slice(start, start + step)
            out[part] = agreements(self.take(a[part]), self.take(b[part]))
            give_back(self.parts, self.batches, "signature")
        return out[inverse]


@dataclass(frozen=True)
class Minhash:
    """Finds texts whose sets of character n-grams overlap by at least a threshold (Jaccard).

    threshold: smallest estimated Jaccard similarity of a duplicate.
    k: values in a signature, two bytes of disk each; more of them give a finer estimate.
    bands, rows: how the first bands * rows values propose pairs; 0, 0 chooses them from threshold and k (see
        ``dedup.bands``); 28 and 9 for the defaults. FineWeb-2 takes 14 and 8.
    n: code points in an n-gram. Words would miss most pairs of a language without spaces.
    fold: cut n-grams from the canonical form (no white space, one width; see ``kernels.ngrams``).
    verify: confirm each pair with the estimate; without it every pair that shares a band is a duplicate.
    scheme: ``oph`` (fast), or the very values of the library datasketch 2 or 1 (``datasketch``,
        ``datasketch-1``; a hundred times slower).
    seed: of all hashing. partition_bytes: memory of one join task.
    index: folder with the signatures of older crawls (``corpus index``), a path with a slash in it; their
        documents count as seen, and what they keep stays.
    """

    threshold: float = 0.7
    k: int = 256
    bands: int = 0
    rows: int = 0
    n: int = 5
    fold: bool = True
    verify: bool = True
    scheme: Literal["oph", "datasketch", "datasketch-1"] = "oph"
    seed: int = 1
    partition_bytes: int = 512 << 20
    index: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold is {self.threshold}; it must be above 0 and at most 1")
        if (self.bands > 0) != (self.rows > 0) or min(self.bands, self.rows) < 0:
            raise ValueError("bands and rows go together: give both, or leave both at 0")
        if self.k < 2 or self.bands * self.rows > self.k or self.rows == self.k:
            raise ValueError(
                f"{self.bands} bands of {self.rows} rows need {self.bands * self.rows} values, k is {self.k}"
            )
        if self.index and "/" not in self.index:
            raise ValueError(f"index is {self.index!r}; write it as a path, ./{self.index}")
        if self.n < 1:
            raise ValueError(f"n is {self.n}; an n-gram has at least one character")

    def shape(self) -> tuple[int, int]:
        """(bands, rows) in use."""
        return (self.bands, self.rows) if self.bands else choose(self.threshold, self.k)

    def kind(self) -> str:
        """Stored type of a value. Sixteen bits tell ours apart (two texts agree by chance once in 65,536)."""
        return "<u2" if self.scheme == "oph" else "<u4"

    def document_bytes(self) -> int:
        """Disk of one document's signature and band keys."""
        return 8 * self.shape()[0] + int(self.kind()[-1]) * self.k

    def signature_schema(self) -> pa.Schema:
        """One uint64 key a band (0: no text), then the k values as bytes, little-endian."""
        bands, _ = self.shape()
        keys = [pa.field(f"band_{band:03d}", pa.uint64()) for band in range(bands)]
        return pa.schema([*keys, pa.field("signature", pa.binary(int(self.kind()[-1]) * self.k))])

    def sign(self, batch: pa.RecordBatch) -> dict[str, Column]:
        """Band keys and signatures of the batch's texts."""
        from jacorpus.kernels.minhash import band_keys, minhash

        bands, rows = self.shape()
        signatures, grams = minhash(batch.column("text"), self.k, self.n, self.seed, self.fold, self.scheme)
        keys = band_keys(signatures, grams, bands, rows, self.seed)
        columns: dict[str, Column] = {f"band_{band:03d}": keys[band] for band in range(bands)}
        stored = signatures.astype(self.kind())
        kind = self.signature_schema().field("signature").type
        columns["signature"] = pa.Array.from_buffers(kind, len(stored), [None, pa.py_buffer(stored)])
        return columns

    def partitions(self, documents: int) -> int:
        """As many as keep each one under partition_bytes: many bands each, or a range of one band's keys."""
        return partitions_for(documents, self.shape()[0], self.partition_bytes)

    def estimate(self, documents: int) -> str:
        """Detection curve, disk of the signatures, memory of one join task."""
        bands, rows = self.shape()
        disk = documents * self.document_bytes() / 1e6
        return (
            f"minhash: {documents:,} documents, {curve(bands, rows)}; mean recall over {self.threshold:g}-1 "
            f"{expected_recall(self.threshold, bands, rows):.3f}; {disk:,.1f} MB of signatures; "
            f"{self.partitions(documents)} join tasks of at most {self.partition_bytes / 1e6:,.0f} MB"
        )

    def join(self, parts: Sequence[SignaturePart], partition: int, partitions: int) -> pa.Table:
        """Verified edges of a partition. Metadata ``unresolved``: documents left after HUB_ROUNDS."""
        from jacorpus.kernels.occurrence import first_occurrence

        batches = opened(parts)
        pairs, place = [(np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.int64))], 0
        for band, low, high in ranges(partition, partitions, self.shape()[0]):
            keys, rows, _ = keys_between(batches, f"band_{band:03d}", low, high)
            give_back(parts, batches, f"band_{band:03d}")
            first = first_occurrence(keys)  # rows ascend: the first of a bucket is its smallest document
            others = np.flatnonzero(first != np.arange(len(first)))
            hubs = first[others]
            pairs.append((rows[hubs], rows[others], hubs + place))
            place += len(rows)
        a, b, bucket = (np.concatenate(side) for side in zip(*pairs, strict=True))
        return self._hubs(a, b, bucket, _Signatures(batches, self.k, self.kind(), parts))

    def _hubs(self, a: np.ndarray, b: np.ndarray, bucket: np.ndarray, signatures: _Signatures) -> pa.Table:
        """Edges out of the first round's pairs: hub, other document and number of the bucket of each, uint64 [P]."""
        found = []
        _, rows = self.shape()
        for turn in range(HUB_ROUNDS):
            if turn > 0:
                is_hub = np.diff(bucket, prepend=-1) > 0
                hubs = b[is_hub][np.cumsum(is_hub) - 1] if len(b) else b
                a, b, bucket = hubs[~is_hub], b[~is_hub], bucket[~is_hub]
            # The band that proposes a pair agrees by construction: only the other values are evidence.
            similarity = (signatures.equal(a, b) - rows) / (self.k - rows)
            accepted = similarity >= self.threshold if self.verify else np.ones(len(a), np.bool_)
            found.append((a[accepted], b[accepted], similarity[accepted].astype(np.float32)))
            order = np.argsort(bucket[~accepted], kind="stable")
            b, bucket = b[~accepted][order], bucket[~accepted][order]
        # One that is left alone has been compared with every hub of its bucket.
        alone = (np.diff(bucket, prepend=-1) > 0) & (np.diff(bucket, append=-1) != 0)
        hubs, others, similarity = (np.concatenate(side) for side in zip(*found, strict=True))
        return edge_table(hubs, others, similarity, unresolved=int(np.count_nonzero(~alone)))
