"""A corpus cut into parts that tasks read side by side, and the documents of a part with their split and weight.

A part is a range of one file: record batches of a text shard, or what the file's source calls a span. How files are
cut depends on the files alone, never on the number of workers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jacorpus.errors import InputError
from jacorpus.measure import document_id
from jacorpus.schema import ID, SHARD
from jacorpus.stage import InputFile, Span
from tokenizer_lab.corpus import Domain, chunks_of, held_out, pieces_of, source_of

TASK_BYTES = 64 << 20
"""Text of one part, about."""

PACKED_RATIO = 4
"""Assumed bytes of text for one byte of a compressed text shard."""


@dataclass(frozen=True)
class Documents:
    """About 8 MB of documents. ids: binary(16) [N]. texts: large_string [N]. valid: bool [N]. weight: int8 [N]."""

    ids: pa.FixedSizeBinaryArray
    texts: pa.LargeStringArray
    valid: np.ndarray
    weight: np.ndarray


@dataclass
class Tally:
    """What a part held beside documents: records that could not be read, by reason, and what is no record, by kind."""

    lost: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """A range of a file of a domain. shard: the file is a text shard of a corpus run. size: its bytes on disk."""

    domain: str
    file: InputFile
    span: Span
    shard: bool
    column: str
    size: int

    def documents(self, tally: Tally, progress: Callable[[int], None]) -> Iterator[Documents]:
        """The documents in the file's order. progress: called with bytes of the file as they are read.

        Raises InputError where a text shard is damaged; damage in other files is counted in ``tally``.
        """
        yield from self._of_shard(progress) if self.shard else self._of_source(tally, progress)

    def _of_shard(self, progress: Callable[[int], None]) -> Iterator[Documents]:
        names = ["id", "text", "split", "weight"]
        try:
            options = pa.ipc.IpcReadOptions(included_fields=[SHARD.get_field_index(name) for name in names])
            reader = pa.ipc.open_file(pa.memory_map(self.file.uri), options=options)
            for i in range(self.span.start, self.span.stop):
                batch = reader.get_batch(i)
                valid = pc.equal(batch["split"], "valid").to_numpy(zero_copy_only=False)
                yield Documents(batch["id"], batch["text"], valid, batch["weight"].to_numpy())
                progress(self.size // (self.span.stop - self.span.start))
        except (OSError, pa.ArrowException) as error:
            raise InputError(
                f"{self.file.uri} is damaged ({error}); run the corpus recipe again to rebuild it"
            ) from error

    def _of_source(self, tally: Tally, progress: Callable[[int], None]) -> Iterator[Documents]:
        for chunk in chunks_of(self.file, self.span, self.column):
            for lost in chunk.lost:
                tally.lost[lost.reason] = tally.lost.get(lost.reason, 0) + 1
            for kind, number in chunk.skipped.items():
                tally.skipped[kind] = tally.skipped.get(kind, 0) + number
            for batch in pieces_of(chunk.records):
                ids = [document_id(self.domain, self.file.name, place) for place in batch["position"].to_pylist()]
                texts = batch["text"].cast(pa.large_string())
                yield Documents(pa.array(ids, ID), texts, held_out(ids), np.ones(len(ids), np.int8))
            progress(chunk.read_bytes)


def parts_of(domains: Sequence[Domain]) -> list[Part]:
    """All parts of a corpus. Raises InputError for a file that can't be opened, or two with the same ids to come."""
    found = []
    for domain in domains:
        seen: dict[str, str] = {}
        for file in domain.files:
            if file.name in seen:
                raise InputError(
                    f"{seen[file.name]} and {file.uri} of domain {domain.name} have one name, {file.name}, "
                    "and would give the same ids; name them as two domains, or by one common glob"
                )
            seen[file.name] = file.uri
            found += [
                Part(domain.name, file, span, domain.shards, domain.column, size)
                for span, size in _cut(file, domain.shards, domain.column)
            ]
    return found


def _cut(file: InputFile, shard: bool, column: str) -> list[tuple[Span, int]]:
    """Spans of about TASK_BYTES of text, with their share of the file's bytes."""
    if shard:
        number = _batches(file)
        step = max(1, number * TASK_BYTES // max(1, file.size * PACKED_RATIO))
        spans = [Span(a, min(a + step, number)) for a in range(0, number, step)]
        return [(span, file.size * (span.stop - span.start) // number) for span in spans]
    try:
        spans = source_of(file, column).cut(file, TASK_BYTES)
    except OSError as error:
        raise InputError(f"{file.uri} can't be read: {error.strerror or error}") from error
    return [(span, file.size // len(spans)) for span in spans]


def _batches(file: InputFile) -> int:
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(Path(file.uri))))
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{file.uri} is damaged ({error}); run the corpus recipe again to rebuild it") from error
    if reader.schema != SHARD:
        raise InputError(f"{file.uri} is no text shard of a corpus run; run the corpus recipe again")
    return int(reader.num_record_batches)
