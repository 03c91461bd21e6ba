"""From pairs to clusters. Which document of a cluster stays is decided in ``jacorpus.decide``.

Legend: R rows that have an edge, E edges.
"""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

EDGES_AT_ONCE = 1 << 22

ROOTS = pa.schema([("row", pa.uint64()), ("root", pa.uint64()), ("size", pa.uint32()), ("similarity", pa.float32())])
"""What cluster_rows returns: root is the smallest row of the cluster."""


class _Forest:
    """Clusters so far: rows ascending, the root row of each, its largest similarity to a neighbor."""

    def __init__(self) -> None:
        self.rows = np.zeros(0, np.uint64)
        self.roots = np.zeros(0, np.uint64)
        self.similarity = np.zeros(0, np.float32)

    def add(self, a: np.ndarray, b: np.ndarray, similarity: np.ndarray) -> None:
        """Join the rows of E more edges."""
        from jacorpus.kernels.unionfind import components

        rows = np.unique(np.concatenate([self.rows, a, b]))
        old, left, right = (np.searchsorted(rows, values) for values in (self.rows, a, b))
        ties = np.searchsorted(rows, self.roots)
        parent = components(len(rows), np.concatenate([old, left]), np.concatenate([ties, right]))
        best = np.zeros(len(rows), np.float32)
        best[old] = self.similarity
        np.maximum.at(best, left, similarity)
        np.maximum.at(best, right, similarity)
        self.rows, self.roots, self.similarity = rows, rows[parent], best


def cluster_rows(edges: Iterable[pa.Table]) -> pa.Table:
    """Connected components of edge tables (schema EDGES): a table of schema ROOTS, sorted by row.

    Holds only rows that have an edge, and at most that many edges at a time. The result does not depend on the
    order of the edges nor on how they are spread over tables.
    """
    forest = _Forest()
    waiting: list[pa.Table] = []
    count = 0

    def merge() -> None:
        nonlocal waiting, count
        table = pa.concat_tables(waiting).combine_chunks()
        forest.add(*(table.column(name).to_numpy() for name in ("a", "b", "similarity")))
        waiting, count = [], 0

    for table in edges:
        if len(table):
            waiting.append(table.select(["a", "b", "similarity"]).replace_schema_metadata(None))
            count += len(table)
        if count >= max(EDGES_AT_ONCE, len(forest.rows)):
            merge()
    if waiting:
        merge()
    _, inverse, sizes = np.unique(forest.roots, return_inverse=True, return_counts=True)
    size = sizes[inverse].astype(np.uint32) if len(sizes) else np.zeros(0, np.uint32)
    return pa.table([forest.rows, forest.roots, size, forest.similarity], schema=ROOTS)


def rehydration_weight(size: np.ndarray) -> np.ndarray:
    """int8: how often FineWeb-2 repeats the kept document of a cluster of this size.

    1 -> 1, 2 -> 2, 3-4 -> 3, 5-99 -> 5, 100-999 -> 8, 1,000 and more -> 1 (mostly boilerplate).
    Source: the table in huggingface/fineweb-2 at commit d0defb2.
    """
    weights = np.array([1, 2, 3, 5, 8, 1], np.int8)
    return weights[np.searchsorted(np.array([2, 3, 5, 100, 1000]), size, side="right")]
