"""Cuts paragraphs that are frequent over the whole corpus: menus, footers, notices.

Every paragraph of every measured document is hashed (kernels/paragraphs.py) and counted. Where ``run``
neighbors in a document all stand in the corpus ``frequency`` times or more they are cut; windows clip at
the document's ends, so a single frequent first or last paragraph goes.

Source: Uzushio (WorksApplications/uzushio 23dc7b2), LargeFreqParagraphs with count 3 and freq 1000 or 100, and
DeduplicateDocumentsPercentile. Deviations: near-frequency is that of equal folded forms (width, case,
punctuation and spaces gone), not of a SimHash neighborhood; a lone frequent paragraph up to three
before a cut one stays (Uzushio's backward pass takes it too, across paragraphs that are not frequent).

With ``copies``, what Uzushio's copies rule needs is measured as well: it keeps about ``copies`` of the f
documents that share their paragraphs, by dropping one when hash(id) in [0, 1) > copies / f. As a rule:

    paragraphs.copies_05  max = 5      reason = "copies"

Legend: N documents, P paragraphs, F frequent hashes.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from jacorpus.stage import Column, SignaturePart

_PERCENTILES = (5, 10)
_BYTES_PER_PARAGRAPH = 48  # a distinct hash and its count while two tables are merged
_PARAGRAPHS_PER_DOCUMENT = 64  # assumed for the number of partitions: web pages have 20-60 lines


def _lists(table: pa.Table | pa.RecordBatch, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(firsts int64 [N+1] from 0, values [P]) of a list column."""
    column = table.column(name)
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):  # no chunk at all
            column = pa.array([], table.schema.field(name).type)
    offsets = np.asarray(column.offsets, np.int64)
    return offsets - offsets[0], np.asarray(column.flatten())


def _draw(identifier: bytes) -> float:
    """hash(id) in [0, 1): 52 bits of SHA-256, so that it does not depend on which documents are similar."""
    digest = hashlib.sha256(b"copies" + identifier).digest()
    return (int.from_bytes(digest[:8], "big") >> 12) / (1 << 52)


@dataclass(frozen=True)
class Paragraphs:
    """Counts paragraphs over the corpus and cuts runs of frequent ones.

    frequency: documents' paragraphs with this folded form over the corpus, from which it is frequent.
    run: neighbors that have to be frequent together. copies: measure the columns of the copies rule too; then
    the table of counts keeps every paragraph seen twice (12 bytes each).
    memory_mb: bound on one counting task.

    Columns: chars (characters of the paragraphs left, breaks aside), cut_chars, cut_ratio (cut / all; 0 for an
    empty text); with copies frequency_05, frequency_10 (count of the paragraph at that percentile from below)
    and copies_05, copies_10 (hash(id) x frequency).
    """

    frequency: int = 1000
    run: int = 3
    copies: bool = False
    memory_mb: int = 512

    def __post_init__(self) -> None:
        if self.frequency < 2 or self.run < 1:
            raise ValueError("frequency has to be 2 or more and run 1 or more")

    def signature_schema(self) -> pa.Schema:
        fields = [
            pa.field("hash", pa.large_list(pa.field("item", pa.uint64(), nullable=False)), nullable=False),
            pa.field("chars", pa.large_list(pa.field("item", pa.int32(), nullable=False)), nullable=False),
        ]
        if self.copies:
            fields.append(pa.field("draw", pa.float64(), nullable=False))
        return pa.schema(fields)

    def sign(self, batch: pa.RecordBatch) -> dict[str, Column]:
        """hash uint64 and chars int32, one list a document; draw float64 from the id."""
        from jacorpus.kernels.paragraphs import paragraph_hashes

        firsts, hashes, chars = paragraph_hashes(batch.column("text"))
        schema = self.signature_schema()
        columns: dict[str, Column] = {
            name: pa.LargeListArray.from_arrays(
                pa.array(firsts, pa.int64()), pa.array(values), type=schema.field(name).type
            )
            for name, values in (("hash", hashes), ("chars", chars))
        }
        if self.copies:
            columns["draw"] = np.array([_draw(identifier) for identifier in batch.column("id").to_pylist()], np.float64)
        return columns

    def partitions(self, documents: int) -> int:
        """Counting tasks that each stay under memory_mb at 64 paragraphs a document."""
        return max(1, -(-documents * _PARAGRAPHS_PER_DOCUMENT * _BYTES_PER_PARAGRAPH // (self.memory_mb << 20)))

    def count(self, parts: Sequence[SignaturePart], partition: int, partitions: int) -> pa.Table:
        """(hash uint64, count uint32) sorted by hash, of this hash range: those with count >= frequency, or >= 2

        with copies. Holds one part's share of the range at a time beside the distinct hashes so far.
        """
        hashes, counts = np.empty(0, np.uint64), np.empty(0, np.int64)
        for mine in _in_range(parts, partition, partitions):
            fresh, times = np.unique(mine, return_counts=True)
            hashes, counts = _merged(hashes, counts, fresh, times)
        wanted = counts >= (2 if self.copies else self.frequency)
        counts = np.minimum(counts[wanted], np.iinfo(np.uint32).max)
        return pa.table({"hash": pa.array(hashes[wanted]), "count": pa.array(counts, pa.uint32())})

    def columns(self) -> Mapping[str, pa.DataType]:
        columns: dict[str, pa.DataType] = {"chars": pa.int32(), "cut_chars": pa.int32(), "cut_ratio": pa.float64()}
        if self.copies:
            for percentile in _PERCENTILES:
                columns |= {f"frequency_{percentile:02}": pa.int32(), f"copies_{percentile:02}": pa.float64()}
        return columns

    def rules(self) -> list[dict[str, Any]]:
        """A document that is cut away whole is dropped."""
        return [{"signal": "cut_ratio", "below": 1.0, "reason": "all_frequent"}]

    def measure(self, signatures: pa.Table, frequent: pa.Table) -> dict[str, Column]:
        firsts, hashes = _lists(signatures, "hash")
        _, chars = _lists(signatures, "chars")
        counts = _counts(hashes, frequent)
        gone = _sums(firsts, chars * self._drop(firsts, counts))
        total = _sums(firsts, chars)
        columns: dict[str, Column] = {
            "chars": (total - gone).astype(np.int32),
            "cut_chars": gone.astype(np.int32),
            "cut_ratio": gone / np.maximum(total, 1),
        }
        if self.copies:
            draw = np.asarray(signatures.column("draw"), np.float64)
            for percentile in _PERCENTILES:
                frequency = _at_percentile(firsts, counts, percentile)
                columns[f"frequency_{percentile:02}"] = frequency
                columns[f"copies_{percentile:02}"] = draw * frequency
        return columns

    def cut(self, batch: pa.RecordBatch, frequent: pa.Table) -> pa.RecordBatch:
        """The batch with frequent runs cut out of its texts; the same batch where there are none."""
        from jacorpus.kernels.paragraphs import cut_paragraphs, paragraph_hashes

        firsts, hashes, _ = paragraph_hashes(batch.column("text"))
        drop = self._drop(firsts, _counts(hashes, frequent))
        if not drop.any():
            return batch
        text = cut_paragraphs(batch.column("text"), drop)
        return batch.set_column(batch.schema.get_field_index("text"), batch.schema.field("text"), text)

    def _drop(self, firsts: np.ndarray, counts: np.ndarray) -> np.ndarray:
        from jacorpus.kernels.paragraphs import frequent_runs

        return frequent_runs(firsts, counts >= self.frequency, self.run)


def _in_range(parts: Sequence[SignaturePart], partition: int, partitions: int) -> Iterator[np.ndarray]:
    """Each part's hashes that fall to a partition: equal ranges of the high 32 bits."""
    for part in parts:
        _, hashes = _lists(part.table().select(["hash"]), "hash")
        owner = ((hashes >> np.uint64(32)) * np.uint64(partitions)) >> np.uint64(32)
        yield hashes[owner == partition]


def _merged(
    hashes: np.ndarray, counts: np.ndarray, fresh: np.ndarray, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Two sorted tables of (distinct hash, count) as one."""
    both = np.concatenate([hashes, fresh])
    order = np.argsort(both, kind="stable")
    both, summed = both[order], np.concatenate([counts, times])[order]
    if not len(both):
        return both, summed
    starts = np.flatnonzero(np.append(True, both[1:] != both[:-1]))
    return both[starts], np.add.reduceat(summed, starts)


def _counts(hashes: np.ndarray, frequent: pa.Table) -> np.ndarray:
    """int64 [P]: how often each paragraph stands in the corpus; 1 for those the table does not hold."""
    if not frequent.num_rows:
        return np.ones(len(hashes), np.int64)
    keys = np.asarray(frequent.column("hash"), np.uint64)
    place = np.minimum(np.searchsorted(keys, hashes), len(keys) - 1)
    return np.where(keys[place] == hashes, np.asarray(frequent.column("count"), np.int64)[place], 1)


def _sums(firsts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """int64 [N]: sum of each document's values."""
    running = np.append(0, np.cumsum(values, dtype=np.int64))
    return running[firsts[1:]] - running[firsts[:-1]]


def _at_percentile(firsts: np.ndarray, counts: np.ndarray, percentile: int) -> np.ndarray:
    """int32 [N]: the count at place int(paragraphs x percentile) from below, Uzushio's definition; 0 without one."""
    document = np.repeat(np.arange(len(firsts) - 1), np.diff(firsts))
    ordered = counts[np.lexsort((counts, document))]
    sizes = np.diff(firsts)
    place = firsts[:-1] + sizes * percentile // 100
    out = np.zeros(len(sizes), np.int32)
    held = sizes > 0
    out[held] = np.minimum(ordered[place[held]], np.iinfo(np.int32).max)
    return out
