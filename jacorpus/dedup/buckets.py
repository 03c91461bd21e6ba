"""Buckets of documents that share a key, read partition by partition out of memory-mapped signatures.

A partition is an interval of the line of all (band, key) pairs: band 0 with its 2^64 keys, then band 1, and so
on. Any number of partitions cuts that line into equal pieces, and a bucket, which is one point of it, lies in
exactly one; so what is found does not depend on how many there are. Key 0 marks a document that joins nothing.

Legend: M documents in the partition, E edges.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from jacorpus.schema import EDGES
from jacorpus.stage import SignaturePart

KEYS = 1 << 64
SORT_BYTES = 64
"""Peak memory a document of a partition takes while its keys are sorted: key, row, order and copies."""


def partitions_for(documents: int, bands: int, partition_bytes: int) -> int:
    """Partitions that keep one sort under partition_bytes; at least one for each band."""
    per_band = -(-documents * SORT_BYTES // partition_bytes)
    return bands * max(per_band, 1)


def ranges(partition: int, partitions: int, bands: int) -> Iterator[tuple[int, int, int]]:
    """(band, first key, last key inclusive) of the pieces of a partition."""
    if not 0 <= partition < partitions:
        raise ValueError(f"partition {partition} of {partitions}")
    start, stop = (bands * KEYS * p // partitions for p in (partition, partition + 1))
    while start < stop:
        band, first = divmod(start, KEYS)
        end = min(stop, (band + 1) * KEYS)
        yield band, first, (end - 1) % KEYS
        start = end


def chunks(parts: Sequence[SignaturePart], *columns: str) -> Iterator[tuple[int, list[np.ndarray]]]:
    """(number of the first row over all parts, numpy views of the columns) of each stored batch."""
    for part in parts:
        row = part.first_row
        for batch in part.table().select(columns).to_batches():
            yield row, [batch.column(name).to_numpy() for name in columns]
            row += len(batch)


def keys_between(
    parts: Sequence[SignaturePart], column: str, first: int, last: int, *more: str
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """(keys uint64 [M], rows uint64 [M], further columns) of the documents with first <= key <= last, key not 0."""
    low, high = np.uint64(max(first, 1)), np.uint64(last)
    found: list[list[np.ndarray]] = []
    for row, (keys, *rest) in chunks(parts, column, *more):
        inside = np.flatnonzero((keys >= low) & (keys <= high))
        found.append([keys[inside], (inside + row).astype(np.uint64), *(values[inside] for values in rest)])
    if not found:
        return np.zeros(0, np.uint64), np.zeros(0, np.uint64), [np.zeros(0, np.uint64) for _ in more]
    keys, rows, *rest = (np.concatenate(values) for values in zip(*found, strict=True))
    return keys, rows, rest


def shared(keys: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows uint64, starts int64 [buckets + 1]) of the buckets of two and more; rows ascend inside a bucket."""
    order = np.argsort(keys)
    keys = keys[order]
    same = keys[1:] == keys[:-1]
    member = np.zeros(len(keys), np.bool_)
    member[1:] |= same
    member[:-1] |= same
    keys, rows = keys[member], rows[order[member]]
    # Few are left: only now the rows take part in the sort.
    order = np.lexsort((rows, keys))
    keys, rows = keys[order], rows[order]
    first = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else np.zeros(0, np.int64)
    return rows, np.append(first, len(keys)).astype(np.int64)


def edge_table(a: np.ndarray, b: np.ndarray, similarity: np.ndarray, **notes: int) -> pa.Table:
    """Table of schema EDGES, sorted by (a, b), each pair once; notes go into its metadata as decimal numbers."""
    order = np.lexsort((b, a))
    a, b, similarity = a[order], b[order], similarity[order]
    once = np.r_[True, (a[1:] != a[:-1]) | (b[1:] != b[:-1])] if len(a) else np.zeros(0, np.bool_)
    metadata = {name: str(number) for name, number in notes.items()}
    return pa.table([a[once], b[once], similarity[once]], schema=EDGES.with_metadata(metadata or None))


def join_equal(parts: Sequence[SignaturePart], partition: int, partitions: int) -> pa.Table:
    """Edges between the smallest document of each 128-bit key and the others that have it; similarity 1.

    Signatures: columns ``key_high`` (0: joins nothing) and ``key_low``, uint64.
    """
    found = []
    for _, first, last in ranges(partition, partitions, 1):
        high, rows, (low,) = keys_between(parts, "key_high", first, last, "key_low")
        order = np.lexsort((rows, low, high))
        high, low, rows = high[order], low[order], rows[order]
        head = np.r_[True, (high[1:] != high[:-1]) | (low[1:] != low[:-1])] if len(rows) else np.zeros(0, np.bool_)
        heads = rows[head][np.cumsum(head) - 1] if len(rows) else rows
        found.append((heads[~head], rows[~head]))
    a, b = (np.concatenate(side) for side in zip(*found, strict=True))
    return edge_table(a, b, np.ones(len(a), np.float32))
