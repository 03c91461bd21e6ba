"""Near-duplicates out of JSONL or Parquet files, without a recipe: two passes, no text kept in between.

The first pass reads the text of each line (row), signs it and lets go of it; then the signatures are joined and
clustered in memory. The second pass copies the bytes of the lines that stay, in the order of the inputs, never
parsed nor written anew. Of a cluster the first document stays. A recipe's run differs: it keeps the document
that its rules prefer, and its signatures lie on disk.

OUT.clusters.jsonl names each removed document, the one that stays for it and the highest similarity it has to
another one of its cluster. OUT.rejected.jsonl holds what is no document: a line that is damaged, or without a
text. Both are written beside OUT, and all of them only when everything is done.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from jacorpus.dedup.clusters import cluster_rows
from jacorpus.dedup.line_files import Lines, copy_lines, read_lines, writer_for
from jacorpus.dedup.minhash import Minhash
from jacorpus.dedup.row_files import copy_rows, read_rows
from jacorpus.errors import InputError, StorageError
from jacorpus.stage import InputFile, SignaturePart

DOCUMENTS_AT_ONCE = 1 << 16
PLACES_BYTES = 24
"""Memory of a document's place: number, first and last byte."""
WRITTEN = (".clusters.jsonl", ".rejected.jsonl", "")
"""What is written, as endings of the output's name; the output itself comes last."""
Watch = Callable[[str, InputFile, int], None]
"""Told the pass (``sign``, ``copy``), the file and how many more of its bytes have been read."""


@dataclass(frozen=True)
class Options:
    """stage: how texts are compared. column: key or column of the text. overwrite: replace what OUT names.

    max_record_bytes: a longer line is rejected.
    """

    stage: Minhash = field(default_factory=Minhash)
    column: str = "text"
    overwrite: bool = False
    max_record_bytes: int = 64 << 20


@dataclass(frozen=True)
class _Held(SignaturePart):
    """A part whose signatures are in memory."""

    batches: tuple[pa.RecordBatch, ...] = ()

    mapped: ClassVar[bool] = False

    def table(self) -> pa.Table:
        return pa.Table.from_batches(self.batches)


class Signatures:
    """Signatures of all documents, in a few large pieces that fill up: nothing is copied to make room."""

    def __init__(self, stage: Minhash) -> None:
        self.stage, self.schema = stage, stage.signature_schema()
        self.batches: list[pa.RecordBatch] = []
        self.count = self.filled = 0
        self._room()

    def _room(self) -> None:
        bands, _ = self.stage.shape()
        self.keys = np.empty((bands, DOCUMENTS_AT_ONCE), np.uint64)
        self.values = np.empty((DOCUMENTS_AT_ONCE, self.schema.field("signature").type.byte_width), np.uint8)
        self.filled = 0

    def add(self, texts: pa.Array) -> None:
        """Sign a batch of texts."""
        for start in range(0, len(texts), 1000):
            part = texts.slice(start, 1000)
            while len(part):
                now = part.slice(0, DOCUMENTS_AT_ONCE - self.filled)
                self._put(self.stage.sign(pa.record_batch({"text": now})), len(now))
                part = part.slice(len(now))

    def _put(self, columns: dict[str, Any], count: int) -> None:
        to = slice(self.filled, self.filled + count)
        *keys, values = columns.values()
        for band, key in enumerate(keys):
            self.keys[band, to] = key
        width = self.values.shape[1]
        raw = np.frombuffer(values.buffers()[1], np.uint8)
        self.values[to] = raw[values.offset * width : (values.offset + count) * width].reshape(count, width)
        self.filled += count
        self.count += count
        if self.filled == DOCUMENTS_AT_ONCE:
            self._close()
            self._room()

    def _close(self) -> None:
        kind = self.schema.field("signature").type
        values = pa.Array.from_buffers(kind, self.filled, [None, pa.py_buffer(self.values)])
        arrays = [*(pa.array(key[: self.filled]) for key in self.keys), values]
        self.batches.append(pa.RecordBatch.from_arrays(arrays, schema=self.schema))

    def clusters(self) -> pa.Table:
        """Table of schema ROOTS: the rows that have a duplicate."""
        if self.filled:
            self._close()
            self.filled = 0
        parts = [_Held(Path(), 0, self.count, tuple(self.batches))] if self.batches else []
        partitions = self.stage.partitions(self.count)
        return cluster_rows(self.stage.join(parts, each, partitions) for each in range(partitions))


def memory_estimate(stage: Minhash, documents: int) -> int:
    """Bytes that signatures and places of so many documents take."""
    return documents * (stage.document_bytes() + PLACES_BYTES)


def dedup_files(
    inputs: Sequence[str | Path], out: str | Path, options: Options | None = None, watch: Watch | None = None
) -> dict[str, Any]:
    """Remove near-duplicates from files; returns the counts as a summary.

    inputs: JSONL, plain or compressed (gzip, zstd, bzip2, xz, told by their first bytes), or Parquet, not both.
    out: of the same kind; its ending says the compression (``.gz``, ``.zst``). Same inputs in the same order,
    same bytes. A last line without a line feed gets one. Raises InputError for inputs that can't be read, are of
    two kinds or change meanwhile, StorageError where ``out`` exists and may not be replaced.
    """
    options, target = options or Options(), Path(out)
    files = [_input(path) for path in inputs]
    table = _is_parquet(files)
    _check_target(files, target, options.overwrite, table)
    watch = watch or (lambda *_: None)
    stamps = [_stamp(file) for file in files]
    signatures = Signatures(options.stage)
    scratch = {end: target.with_name(f".{target.name}{end}.{os.getpid()}") for end in WRITTEN}
    try:
        read = read_rows if table else read_lines
        with scratch[".rejected.jsonl"].open("wb") as rejected:
            places = [read(file, options, signatures.add, rejected, watch) for file in files]
        clusters = signatures.clusters()
        keep = np.ones(signatures.count, np.bool_)
        rows, roots = (clusters.column(name).to_numpy() for name in ("row", "root"))
        keep[rows[rows != roots].astype(np.int64)] = False
        bounds = np.cumsum([0, *(len(place.numbers) for place in places)])
        parts = [keep[a:b] for a, b in pairwise(bounds)]
        if table:
            copy_rows(files, places, parts, scratch[""], watch)
        else:
            with writer_for(scratch[""], target) as handle:
                for file, place, part in zip(files, places, parts, strict=True):
                    copy_lines(file, place, part, handle, watch)
        _write_clusters(scratch[".clusters.jsonl"], files, places, bounds, clusters, "row" if table else "line")
        if [_stamp(file) for file in files] != stamps:
            raise InputError("an input changed while it was read; run the command again")
        for end, path in scratch.items():
            os.replace(path, f"{target}{end}")
    finally:
        for path in scratch.values():
            path.unlink(missing_ok=True)
    return _summary(target, options, files, places, keep, clusters)


def _input(path: str | Path) -> InputFile:
    try:
        return InputFile(str(path), Path(path).name, os.stat(path).st_size)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from error


def _stamp(file: InputFile) -> tuple[int, int]:
    found = os.stat(file.uri)
    return found.st_size, found.st_mtime_ns


def _is_parquet(files: Sequence[InputFile]) -> bool:
    kinds = set()
    for file in files:
        with file.open() as handle:
            kinds.add(handle.read(4) == b"PAR1")
    if len(kinds) != 1:
        raise InputError("no input files" if not kinds else "the inputs are of two kinds, Parquet and JSONL; give one")
    return kinds.pop()


def _check_target(files: Sequence[InputFile], target: Path, overwrite: bool, table: bool) -> None:
    if (target.suffix == ".parquet") != table:
        wanted, ending = ("Parquet", ".parquet") if table else ("JSONL", ".jsonl, .jsonl.gz or .jsonl.zst")
        raise InputError(f"the inputs are {wanted}, so the output's name has to end in {ending}; it is {target}")
    if not target.parent.is_dir():
        raise StorageError(f"{target.parent} is no folder; make it first")
    if not target.exists():
        return
    if not overwrite or any(os.path.samefile(file.uri, target) for file in files):
        raise StorageError(f"{target} exists; name another file (--force replaces one that is no input)")


def _write_clusters(
    path: Path, files: Sequence[InputFile], places: Sequence[Lines], bounds: np.ndarray, clusters: pa.Table, unit: str
) -> None:
    """A line a removed document."""
    import orjson

    heads = [f'{{"file":{orjson.dumps(file.uri).decode()},"{unit}":' for file in files]
    gone = clusters.filter(pa.compute.not_equal(clusters.column("row"), clusters.column("root")))
    sides = []
    for name in ("row", "root"):
        rows = gone.column(name).to_numpy().astype(np.int64)
        of = np.searchsorted(bounds, rows, side="right") - 1
        numbers = np.concatenate([np.zeros(0, np.int64), *(place.numbers for place in places)])[rows]
        sides += [of.tolist(), numbers.tolist()]
    facts = (gone.column(name).to_pylist() for name in ("similarity", "size"))
    with path.open("w", encoding="utf-8", buffering=1 << 20) as handle:
        for file, row, root_file, root, similarity, size in zip(*sides, *facts, strict=True):
            handle.write(
                f'{heads[file]}{row},"kept":{heads[root_file]}{root}}},'
                f'"similarity":{similarity:.4f},"cluster_size":{size}}}\n'
            )


def _summary(
    target: Path,
    options: Options,
    files: Sequence[InputFile],
    places: Sequence[Lines],
    keep: np.ndarray,
    clusters: pa.Table,
) -> dict[str, Any]:
    stage, kept = options.stage, int(np.count_nonzero(keep))
    reasons: dict[str, int] = {}
    for place in places:
        for reason, count in place.rejected.items():
            reasons[reason] = reasons.get(reason, 0) + count
    rows, roots = clusters.column("row"), clusters.column("root")
    return {
        "out": str(target),
        "files": len(files),
        "documents": len(keep),
        "kept": kept,
        "removed": len(keep) - kept,
        "clusters": int(np.count_nonzero(rows.to_numpy() == roots.to_numpy())),
        "rejected": sum(reasons.values()),
        "rejected_by_reason": dict(sorted(reasons.items())),
        "text_bytes": sum(place.text_bytes for place in places),
        "memory_bytes": memory_estimate(stage, len(keep)),
        "threshold": stage.threshold,
        "k": stage.k,
        "bands": stage.shape()[0],
        "rows": stage.shape()[1],
    }
