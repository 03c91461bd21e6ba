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
from jacorpus.shards import page_out
from jacorpus.stage import SignaturePart

KEYS = 1 << 64
SORT_BYTES = 112
"""Peak memory a document and band takes in a task: keys, rows, hash table, pairs. 102 measured, all duplicates."""


def partitions_for(documents: int, bands: int, partition_bytes: int) -> int:
    """Partitions that keep each one's documents under partition_bytes."""
    return max(-(-documents * bands * SORT_BYTES // partition_bytes), 1)


def opened(parts: Sequence[SignaturePart]) -> list[tuple[int, pa.RecordBatch]]:
    """(number of the first row over all parts, memory-mapped batch) of every stored batch, rows ascending."""
    batches = []
    for part in sorted(parts, key=lambda part: part.first_row):
        row = part.first_row
        for batch in part.table().to_batches():
            batches.append((row, batch))
            row += len(batch)
    return batches


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


def keys_between(
    batches: Sequence[tuple[int, pa.RecordBatch]], column: str, first: int, last: int, *more: str
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """(keys uint64 [M], rows uint64 [M], further columns) of the documents with first <= key <= last, key not 0.

    Rows ascend.
    """
    low, high = np.uint64(max(first, 1)), np.uint64(last)
    found: list[list[np.ndarray]] = [[np.zeros(0, np.uint64) for _ in range(2 + len(more))]]
    for row, batch in batches:
        values = [batch.column(name).to_numpy() for name in (column, *more)]
        inside = (values[0] >= low) & (values[0] <= high)
        rows = np.arange(row, row + len(batch), dtype=np.uint64)
        if not inside.all():  # most corpora are one partition: nothing to take out, nothing to copy
            rows, *values = (each[inside] for each in (rows, *values))
        found.append([values[0], rows, *values[1:]])
    keys, rows, *rest = (np.concatenate(values) for values in zip(*found, strict=True))
    return keys, rows, rest


def give_back(parts: Sequence[SignaturePart], batches: Sequence[tuple[int, pa.RecordBatch]], column: str) -> None:
    """Stop a column's pages from counting as this process's memory once they were read, where they are files'."""
    if parts and all(part.mapped for part in parts):
        page_out([batch.column(column) for _, batch in batches])


def distinct_pairs(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(index of one of each pair of rows, number in that list of each pair's own)."""
    from jacorpus.kernels.occurrence import first_occurrence

    if len(a) and max(int(a.max()), int(b.max())) >> 32:
        # Row numbers that fill more than half a word: number the rows at hand instead.
        rows = np.unique(np.concatenate([a, b]))
        a, b = (np.searchsorted(rows, side).astype(np.uint64) for side in (a, b))
    first = first_occurrence(a << np.uint64(32) | b)
    is_first = first == np.arange(len(first))
    return np.flatnonzero(is_first), (np.cumsum(is_first) - 1)[first]


def edge_table(a: np.ndarray, b: np.ndarray, similarity: np.ndarray, **notes: int) -> pa.Table:
    """Table of schema EDGES, sorted by (a, b), each pair once; notes go into its metadata as decimal numbers."""
    once, _ = distinct_pairs(a, b)
    once = once[np.lexsort((b[once], a[once]))]
    metadata = {name: str(number) for name, number in notes.items()}
    return pa.table([a[once], b[once], similarity[once]], schema=EDGES.with_metadata(metadata or None))


def _repeated(keys: np.ndarray) -> np.ndarray:
    """bool [M]: whether each key occurs more than once."""
    from jacorpus.kernels.occurrence import first_occurrence

    first = first_occurrence(keys)
    member = first != np.arange(len(first))
    member[first[member]] = True
    return member


def join_equal(parts: Sequence[SignaturePart], partition: int, partitions: int) -> pa.Table:
    """Edges between the smallest document of each 128-bit key and the others that have it; similarity 1.

    Signatures: columns ``key_high`` (0: joins nothing) and ``key_low``, uint64.
    """
    found, batches = [], opened(parts)
    for _, first, last in ranges(partition, partitions, 1):
        high, rows, (low,) = keys_between(batches, "key_high", first, last, "key_low")
        give_back(parts, batches, "key_high")
        give_back(parts, batches, "key_low")
        member = _repeated(high)  # only what half a key makes likely takes part in the sort
        high, low, rows = high[member], low[member], rows[member]
        order = np.lexsort((rows, low, high))
        high, low, rows = high[order], low[order], rows[order]
        head = np.r_[True, (high[1:] != high[:-1]) | (low[1:] != low[:-1])] if len(rows) else np.zeros(0, np.bool_)
        heads = rows[head][np.cumsum(head) - 1] if len(rows) else rows
        found.append((heads[~head], rows[~head]))
    a, b = (np.concatenate(side) for side in zip(*found, strict=True))
    return edge_table(a, b, np.ones(len(a), np.float32))
