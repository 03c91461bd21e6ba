"""Documents with the same text, by a 128-bit hash of it.

The hash is XXH3-128 (xxhash 0.8), whose values are fixed for good: signatures of another run can be compared.
With a billion documents the chance of one wrong pair is about 10^-21.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from jacorpus.dedup.buckets import join_equal, partitions_for
from jacorpus.stage import Column, SignaturePart

KEY_SCHEMA = pa.schema([("key_high", pa.uint64()), ("key_low", pa.uint64())])


def digests(offsets: np.ndarray, data: np.ndarray) -> dict[str, Column]:
    """Columns of KEY_SCHEMA for the byte strings data[offsets[i]:offsets[i + 1]]; an empty one has no key (0, 0)."""
    from xxhash import xxh3_128_digest

    view = np.ascontiguousarray(data).data
    bounds = offsets.tolist()
    packed = b"".join(
        xxh3_128_digest(view[start:stop]) if stop > start else bytes(16) for start, stop in pairwise(bounds)
    )
    pairs = np.frombuffer(packed, ">u8").reshape(-1, 2).astype(np.uint64)
    # A text whose hash happens to begin with 64 zero bits keeps a key all the same.
    pairs[(pairs[:, 0] == 0) & (np.diff(offsets) > 0), 0] = 1
    return {"key_high": np.ascontiguousarray(pairs[:, 0]), "key_low": np.ascontiguousarray(pairs[:, 1])}


@dataclass(frozen=True)
class Exact:
    """Finds equal texts.

    normalize: compare the canonical form instead (white space and zero-width characters gone, full-width ASCII
    and half-width kana folded, voicing marks composed; see ``kernels.ngrams``).
    partition_bytes: memory of one join task.
    An empty text (after folding, where asked) joins nothing.
    """

    normalize: bool = False
    partition_bytes: int = 512 << 20

    def signature_schema(self) -> pa.Schema:
        """128 bits a document: key_high, key_low."""
        return KEY_SCHEMA

    def sign(self, batch: pa.RecordBatch) -> dict[str, Column]:
        """Keys of the batch's texts."""
        if self.normalize:
            from jacorpus.kernels.ngrams import code_points

            offsets, points = code_points(batch.column("text"))
            return digests(offsets * 4, points.astype("<u4", copy=False).view(np.uint8))
        from jacorpus.kernels.buffers import text_buffers

        return digests(*text_buffers(batch.column("text")))

    def partitions(self, documents: int) -> int:
        """Ranges of key_high."""
        return partitions_for(documents, 1, self.partition_bytes)

    def estimate(self, documents: int) -> str:
        """Disk of the signatures and memory of one join task."""
        tasks = self.partitions(documents)
        return (
            f"exact: {documents:,} documents, {documents * 16 / 1e6:,.1f} MB of keys, "
            f"{tasks} join {'task' if tasks == 1 else 'tasks'} of at most {self.partition_bytes / 1e6:,.0f} MB"
        )

    def join(self, parts: Sequence[SignaturePart], partition: int, partitions: int) -> pa.Table:
        """Edges from the first document of each text to the others."""
        return join_equal(parts, partition, partitions)
