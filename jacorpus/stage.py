"""The protocols a stage can follow: Source, Transform, Signal, Dedup, Cut. Read this file second.

A stage is a frozen dataclass whose fields are the recipe's options; it keeps no state between batches
(models are loaded through a module-level ``functools.cache`` keyed by path). Its name in a recipe is the
path of its file: ``use = "signals.text"`` is ``jacorpus/signals/text.py``, class ``Text``. The options
``use``, ``label`` and ``domains`` belong to the recipe, not to the class.

Optional on any stage: ``label: ClassVar[str]``, the default label (else the file's name), and
``rules() -> list[dict]``, rules it asks for itself, written as in a profile with ``signal`` = its own column.

A stage never takes a row out and never reorders rows. A row it can't handle is a Failure: the runner
removes it and writes it to the audit. A signal only measures; rules decide.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import pyarrow as pa

Column: TypeAlias = np.ndarray | pa.Array
"""One value a row. Numbers as int32/int64/float64, names (language, charset) as pa.string()."""


@dataclass(frozen=True)
class InputFile:
    """One input file.

    uri: what fsspec opens. name: the path below the glob's fixed root, the part that enters ids.
    size: bytes on disk.
    """

    uri: str
    name: str
    size: int

    def open(self) -> IO[bytes]:
        """The file's raw bytes, seekable, not decompressed."""
        if "://" not in self.uri:
            return open(self.uri, "rb")
        import fsspec

        return fsspec.open(self.uri, "rb").open()


@dataclass(frozen=True)
class Span:
    """A part of a file that one task reads: [start, stop) in the unit of the source's ``cut``."""

    start: int
    stop: int


@dataclass(frozen=True)
class Failure:
    """A row of a batch that a stage can't handle.

    reason: a short fixed word that is counted (``timeout``, ``charset``). detail: one sentence for people.
    """

    row: int
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Lost:
    """A record, or a range of input bytes, that a source could not read: it becomes failed(read, reason)."""

    position: int
    reason: str
    detail: str
    bytes: int = 0
    url: str | None = None


@dataclass
class Chunk:
    """What a source yields: records, those it could not read, and counts of what is no record.

    skipped: kind (``warcinfo``, ``request``, ``blank``) -> number. read_bytes: input bytes consumed since the
    last chunk (for the progress bar).
    """

    records: pa.RecordBatch  # schema RECORD
    lost: list[Lost] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    read_bytes: int = 0


@dataclass
class Applied:
    """What a transform returns: the new batch (same rows, same order), signals found on the way, failures."""

    batch: pa.RecordBatch
    columns: dict[str, Column] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


@runtime_checkable
class Source(Protocol):
    """Reads records out of files. Streams: memory is bounded by a chunk whatever the file's size."""

    def cut(self, file: InputFile, target_bytes: int) -> list[Span]:
        """Spans that together hold each record once; depends on the file and target_bytes alone."""
        ...

    def read(self, file: InputFile, span: Span) -> Iterator[Chunk]:
        """Records that start inside span, in order. A damaged record is Lost; the rest goes on."""
        ...


@runtime_checkable
class Transform(Protocol):
    """Changes text. ``phase`` says when: with the measurements, or on the kept text while it is written."""

    phase: ClassVar[Literal["measure", "write"]]

    def columns(self) -> Mapping[str, pa.DataType]:
        """Signals it gives on the way: name (without label) -> type. Empty for most."""
        ...

    def apply(self, batch: pa.RecordBatch) -> Applied: ...


@runtime_checkable
class Signal(Protocol):
    """Measures documents. ``costly`` ones run only on what the rules before them left."""

    costly: ClassVar[bool]

    def columns(self) -> Mapping[str, pa.DataType]:
        """Name (without label) -> type. int32, int64, float64 or string; never float32 (rules compare exactly)."""
        ...

    def measure(self, batch: pa.RecordBatch) -> dict[str, Column]: ...


@dataclass(frozen=True)
class SignaturePart:
    """Signatures of one measured part: an uncompressed Arrow IPC file, memory-mapped on read.

    first_row: number of its first document over all parts.
    """

    path: Path
    first_row: int
    rows: int
    mapped: ClassVar[bool] = True

    def table(self) -> pa.Table:
        """All columns, memory-mapped: nothing is read until it is touched."""
        return pa.ipc.open_file(pa.memory_map(str(self.path))).read_all()


@runtime_checkable
class Dedup(Protocol):
    """Finds duplicates: signatures per document, then a join over all of them, partition by partition."""

    def signature_schema(self) -> pa.Schema:
        """Fixed-width columns of ``sign``."""
        ...

    def sign(self, batch: pa.RecordBatch) -> dict[str, Column]: ...

    def partitions(self, documents: int) -> int:
        """How many independent join tasks keep each one's memory under the stage's bound."""
        ...

    def estimate(self, documents: int) -> str:
        """One line for people, printed before the join: detection curve, memory, disk."""
        ...

    def join(self, parts: Sequence[SignaturePart], partition: int, partitions: int) -> pa.Table:
        """Schema EDGES; the union over partitions does not depend on how many there are."""
        ...


@runtime_checkable
class Cut(Protocol):
    """Cuts passages that are frequent over the whole corpus out of the kept text (paragraph dedup)."""

    def signature_schema(self) -> pa.Schema:
        """List columns of ``sign``, one list a document, and columns of one value a document."""
        ...

    def sign(self, batch: pa.RecordBatch) -> dict[str, Column]: ...

    def partitions(self, documents: int) -> int: ...

    def count(self, parts: Sequence[SignaturePart], partition: int, partitions: int) -> pa.Table:
        """Passages frequent enough for ``measure`` or ``cut``: (hash: uint64, count: uint32), sorted by hash."""
        ...

    def columns(self) -> Mapping[str, pa.DataType]:
        """Signals known once the counts are: characters left, frequency at a percentile."""
        ...

    def measure(self, signatures: pa.Table, frequent: pa.Table) -> dict[str, Column]: ...

    def cut(self, batch: pa.RecordBatch, frequent: pa.Table) -> pa.RecordBatch:
        """The same documents with those passages gone."""
        ...
