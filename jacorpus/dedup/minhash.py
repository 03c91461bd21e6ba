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
from jacorpus.dedup.buckets import edge_table, keys_between, partitions_for, ranges, shared
from jacorpus.stage import Column, SignaturePart

HUB_ROUNDS = 8
PAIRS_AT_ONCE = 1 << 15


class _Signatures:
    """Signatures of all parts by global row number; memory-mapped, read where touched."""

    def __init__(self, parts: Sequence[SignaturePart], k: int) -> None:
        self.k = k
        firsts, self.pieces = [], []
        for part in parts:
            row = part.first_row
            for chunk in part.table().column("signature").chunks:
                values = np.frombuffer(chunk.buffers()[1], np.uint32)[
                    chunk.offset * k : (chunk.offset + len(chunk)) * k
                ]
                firsts.append(row)
                self.pieces.append(values.reshape(len(chunk), k))
                row += len(chunk)
        self.firsts = np.array(firsts, np.uint64)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """uint32 [len(rows), k]."""
        piece = np.searchsorted(self.firsts, rows, side="right") - 1
        out = np.empty((len(rows), self.k), np.uint32)
        order = np.argsort(piece, kind="stable")
        bounds = np.flatnonzero(np.diff(piece[order], prepend=-1, append=len(self.pieces)))
        for start, stop in pairwise(bounds):
            where = order[start:stop]
            number = piece[where[0]]
            out[where] = self.pieces[number][rows[where] - self.firsts[number]]
        return out

    def similarity(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """float32 [P]: estimates of the pairs, a bounded number at a time."""
        from jacorpus.kernels.minhash import estimates

        out = np.empty(len(a), np.float32)
        for start in range(0, len(a), PAIRS_AT_ONCE):
            part = slice(start, start + PAIRS_AT_ONCE)
            out[part] = estimates(self.take(a[part]), self.take(b[part]))
        return out


@dataclass(frozen=True)
class Minhash:
    """Finds texts whose sets of character n-grams overlap by at least a threshold (Jaccard).

    threshold: smallest estimated Jaccard similarity of a duplicate.
    k: values in a signature; 4 bytes of disk each, a finer estimate with more.
    bands, rows: how the signature proposes pairs; 0, 0 chooses them from threshold and k (see ``dedup.bands``).
        14 and 8 are FineWeb-2's.
    n: code points in an n-gram. Words would miss most pairs of a language without spaces.
    fold: cut n-grams from the canonical form (no white space, one width; see ``kernels.ngrams``).
    verify: confirm each pair with the estimate; without it every pair that shares a band is a duplicate.
    scheme: ``oph`` (fast), or the very values of the library datasketch 2 or 1 (``datasketch``,
        ``datasketch-1``; a hundred times slower).
    seed: of all hashing. partition_bytes: memory of one join task.
    """

    threshold: float = 0.7
    k: int = 128
    bands: int = 0
    rows: int = 0
    n: int = 5
    fold: bool = True
    verify: bool = True
    scheme: Literal["oph", "datasketch", "datasketch-1"] = "oph"
    seed: int = 1
    partition_bytes: int = 1 << 30

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold is {self.threshold}; it must be above 0 and at most 1")
        if (self.bands > 0) != (self.rows > 0) or min(self.bands, self.rows) < 0:
            raise ValueError("bands and rows go together: give both, or leave both at 0")
        if self.k < 1 or self.bands * self.rows > self.k:
            raise ValueError(
                f"{self.bands} bands of {self.rows} rows need {self.bands * self.rows} values, k is {self.k}"
            )
        if self.n < 1:
            raise ValueError(f"n is {self.n}; an n-gram has at least one character")

    def shape(self) -> tuple[int, int]:
        """(bands, rows) in use."""
        return (self.bands, self.rows) if self.bands else choose(self.threshold, self.k)

    def signature_schema(self) -> pa.Schema:
        """One uint64 key a band (0: no text), then the signature as 4k bytes, little-endian uint32."""
        bands, _ = self.shape()
        keys = [pa.field(f"band_{band:03d}", pa.uint64()) for band in range(bands)]
        return pa.schema([*keys, pa.field("signature", pa.binary(4 * self.k))])

    def sign(self, batch: pa.RecordBatch) -> dict[str, Column]:
        """Band keys and signatures of the batch's texts."""
        from jacorpus.kernels.minhash import band_keys, minhash

        bands, rows = self.shape()
        signatures, grams = minhash(batch.column("text"), self.k, self.n, self.seed, self.fold, self.scheme)
        keys = band_keys(signatures, grams, bands, rows, self.seed)
        columns: dict[str, Column] = {f"band_{band:03d}": keys[band] for band in range(bands)}
        stored = pa.py_buffer(signatures.astype("<u4", copy=False))
        columns["signature"] = pa.Array.from_buffers(pa.binary(4 * self.k), len(signatures), [None, stored])
        return columns

    def partitions(self, documents: int) -> int:
        """One for each band, times the hash ranges that keep a sort under partition_bytes."""
        return partitions_for(documents, self.shape()[0], self.partition_bytes)

    def estimate(self, documents: int) -> str:
        """Detection curve, disk of the signatures, memory of one join task."""
        bands, rows = self.shape()
        disk = documents * (8 * bands + 4 * self.k)
        return (
            f"minhash: {documents:,} documents, {curve(bands, rows)}; mean recall over {self.threshold:g}-1 "
            f"{expected_recall(self.threshold, bands, rows):.3f}; {disk / 1e6:,.1f} MB of signatures; "
            f"{self.partitions(documents)} join tasks of at most {self.partition_bytes / 1e6:,.0f} MB"
        )

    def join(self, parts: Sequence[SignaturePart], partition: int, partitions: int) -> pa.Table:
        """Verified edges of a partition. Metadata ``unresolved``: documents left after HUB_ROUNDS."""
        signatures = _Signatures(parts, self.k)
        found, unresolved = [], 0
        for band, first, last in ranges(partition, partitions, self.shape()[0]):
            keys, rows, _ = keys_between(parts, f"band_{band:03d}", first, last)
            edges, left = self._hubs(*shared(keys, rows), signatures)
            found += edges
            unresolved += left
        if not found:
            none = np.zeros(0, np.uint64)
            return edge_table(none, none, np.zeros(0, np.float32), unresolved=unresolved)
        a, b, similarity = (np.concatenate(side) for side in zip(*found, strict=True))
        return edge_table(a, b, similarity, unresolved=unresolved)

    def _hubs(
        self, rows: np.ndarray, starts: np.ndarray, signatures: _Signatures
    ) -> tuple[list[tuple[np.ndarray, np.ndarray, np.ndarray]], int]:
        """(edges of each round, documents left over) of the buckets rows[starts[i]:starts[i + 1]]."""
        bucket = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        found = []
        for _ in range(HUB_ROUNDS):
            if not len(rows):
                break
            is_hub = np.diff(bucket, prepend=-1) > 0
            hubs = rows[is_hub][np.cumsum(is_hub) - 1]
            a, b, bucket = hubs[~is_hub], rows[~is_hub], bucket[~is_hub]
            similarity = signatures.similarity(a, b)
            accepted = similarity >= np.float32(self.threshold) if self.verify else np.ones(len(a), np.bool_)
            found.append((a[accepted], b[accepted], similarity[accepted]))
            rows, bucket = b[~accepted], bucket[~accepted]
        alone = (np.diff(bucket, prepend=-1) > 0) & (np.diff(bucket, append=-1) != 0)
        return found, int(len(rows) - np.count_nonzero(alone))
