"""The order of documents in token shards: by a keyed hash of (seed, id), through sorted runs on disk.

    documents as they come -> Unsorted (up to some tokens) -> a run: an Arrow file sorted by (rank, id)
    all runs of a domain's split, the ranks [low, high) of each -> Unsorted -> a shard, sorted

Every document is written twice (run, shard) and read once; memory holds one run or one shard. The order depends on
seed and ids alone, so neither on the size of runs and shards nor on the order or number of input files.

Legend: N documents, T tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from jacorpus.errors import InputError
from jacorpus.kernels.buffers import text_buffers
from jacorpus.schema import ID
from jacorpus.shards import opened
from tokenizer_lab.encoding.direct import DirectFile, Room, read_direct, span
from tokenizer_lab.kernels.gather import gather
from tokenizer_lab.tokens import write_tokens

RANKS = 1 << 64
"""Ranks are below it."""

RUN = pa.schema(
    [
        pa.field("rank", pa.uint64(), nullable=False),
        pa.field("id", ID, nullable=False),
        pa.field("weight", pa.int8(), nullable=False),
        pa.field("text_bytes", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),  # where in NAME.ids its tokens end, and the next one's begin
    ]
)
"""Rows of a run's NAME.arrow, sorted by (rank, id). NAME.ids holds the tokens, uint16 where all ids fit."""

NARROW_TO = 1 << 16

MERGE_TASKS = 128
"""Tasks of one domain's split at most."""

TOKEN_BYTES = 4
_ID_BYTES = 16


def ranks(ids: np.ndarray, seed: int) -> np.ndarray:
    """uint64 [N]: the place of each id in the order of a seed. ids: bytes as uint8 [N, 16].

    Ids are digests already, so mixing is enough: the finalizer of SplitMix64 (Steele, Lea, Flood 2014, "Fast
    splittable pseudorandom number generators") over both halves, keyed with xxh3 of the seed's decimal digits.
    """
    halves = ids.view("<u8").reshape(-1, 2)
    key = np.uint64(xxhash.xxh3_64_intdigest(str(seed).encode()))
    return _mixed(halves[:, 0] ^ _mixed(halves[:, 1] ^ key))


def _mixed(x: np.ndarray) -> np.ndarray:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def id_bytes(ids: pa.Array) -> np.ndarray:
    """uint8 [N, 16] of an array of ids; no copy."""
    data = ids.buffers()[1]
    if not len(ids) or data is None:
        return np.zeros((0, _ID_BYTES), np.uint8)
    first = ids.offset * _ID_BYTES
    return np.frombuffer(data, np.uint8)[first : first + len(ids) * _ID_BYTES].reshape(-1, _ID_BYTES)


@dataclass(frozen=True)
class Piece:
    """Documents of one origin. values: uint32 or uint16 [T]; document i has [starts[i], + lengths[i]) of it."""

    rank: np.ndarray
    id: np.ndarray
    weight: np.ndarray
    text_bytes: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    values: np.ndarray


_sort_room = Room()


class Unsorted:
    """Documents in memory until ``in_order`` copies them, each once, to their places."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.tokens = 0
        self.documents = 0

    def add(self, piece: Piece) -> None:
        """Take documents over; ``values`` is not copied."""
        self.pieces.append(piece)
        self.tokens += int(piece.lengths.sum())
        self.documents += len(piece.rank)

    def in_order(self, kind: type = np.uint32) -> dict[str, pa.Array]:
        """The columns of a run, sorted by (rank, id), ids as ``kind``. Raises InputError for an id that comes twice.

        The ids lie in memory that the next call in this process takes for its own: write them before it.
        """
        rank, id = self._joined("rank", np.uint64), self._joined("id", np.uint8, _ID_BYTES)
        order = _order(rank, id)
        lengths = self._joined("lengths", np.int64)
        offsets = np.zeros(len(order) + 1, np.int64)
        np.cumsum(lengths[order], out=offsets[1:])
        targets = np.empty(len(order), np.int64)
        targets[order] = offsets[:-1]
        values: np.ndarray = _sort_room.take(self.tokens * np.dtype(kind).itemsize).view(kind)
        first = 0
        for piece in self.pieces:
            last = first + len(piece.rank)
            gather(piece.values, piece.starts, piece.lengths, targets[first:last], values)
            first = last
        weight, text_bytes = self._joined("weight", np.int8), self._joined("text_bytes", np.int64)
        return {
            "rank": pa.array(rank[order]),
            "id": pa.Array.from_buffers(ID, len(order), [None, pa.py_buffer(id[order].tobytes())]),
            "weight": pa.array(weight[order]),
            "text_bytes": pa.array(text_bytes[order]),
            "tokens": pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values)),
        }

    def _joined(self, name: str, kind: Any, width: int = 0) -> np.ndarray:
        empty = np.zeros((0, width) if width else 0, kind)
        return np.concatenate([empty, *(getattr(piece, name) for piece in self.pieces)])


def _order(rank: np.ndarray, id: np.ndarray) -> np.ndarray:
    """The permutation that sorts by (rank, id)."""
    order = np.argsort(rank, kind="stable")
    ordered = rank[order]
    if (ordered[1:] == ordered[:-1]).any():  # chance (one pair in 2 ** 64), or one id twice
        halves = id.view(">u8").reshape(-1, 2)
        order = np.lexsort((halves[:, 1], halves[:, 0], rank))
        twice = np.flatnonzero((id[order[1:]] == id[order[:-1]]).all(axis=1))
        if len(twice):
            raise InputError(
                f"document {id[order[twice[0]]].tobytes().hex()} is there twice in one domain; "
                "is a file given under two paths, or are two runs of a corpus put together?"
            )
    return order


def encoded(
    ids: pa.Array, texts: pa.Array, weight: np.ndarray, tokens: pa.LargeListArray, rows: np.ndarray, seed: int
) -> Piece:
    """Rows of an encoded batch as documents to sort; the tokens are not copied.

    rows: int64, which rows of the batch. ids: binary(16) [N]. weight: int8 [N]. tokens: of ``texts``.
    """
    id = np.ascontiguousarray(id_bytes(ids)[rows])
    offsets = tokens.offsets.to_numpy(zero_copy_only=False)
    sizes = np.diff(text_buffers(texts)[0])
    values = tokens.values.to_numpy(zero_copy_only=False)
    return Piece(ranks(id, seed), id, weight[rows], sizes[rows], offsets[:-1][rows], np.diff(offsets)[rows], values)


def write_run(folder: Path, name: str, found: Unsorted, vocab_size: int) -> dict[str, dict[str, int]]:
    """Write documents as the run ``name``: two files; returns the size of each."""
    columns = found.in_order(_kind(vocab_size))
    columns["end"] = pa.array(columns["tokens"].offsets.to_numpy()[1:])
    batch = pa.RecordBatch.from_arrays([columns[name] for name in RUN.names], schema=RUN)
    table, ids = folder / f"{name}.arrow", folder / f"{name}.ids"
    with pa.OSFile(str(table), "wb") as stream, pa.ipc.new_file(stream, RUN) as writer:
        writer.write_batch(batch)
    with DirectFile(ids) as file:
        file.write(columns["tokens"].values.to_numpy())
    return {path.name: {"bytes": path.stat().st_size} for path in (table, ids)}


def _kind(vocab_size: int) -> type:
    return np.uint16 if vocab_size <= NARROW_TO else np.uint32


class Run:
    """A run on disk. folder: of its files. name: without ending."""

    def __init__(self, folder: Path, name: str, vocab_size: int) -> None:
        with opened(folder / f"{name}.arrow") as reader:
            self.batch = reader.get_batch(0)
        self.ids, self.kind = folder / f"{name}.ids", _kind(vocab_size)
        self.rank, self.end = self.batch["rank"].to_numpy(), self.batch["end"].to_numpy()

    def between(self, low: int, high: int) -> tuple[int, int]:
        """The rows [first, last) whose ranks are in [low, high)."""
        first = int(np.searchsorted(self.rank, np.uint64(low)))
        return first, len(self.rank) if high >= RANKS else int(np.searchsorted(self.rank, np.uint64(high)))

    def place(self, first: int, last: int) -> tuple[int, int]:
        """Bytes [start, stop) of the ids of rows [first, last)."""
        start = int(self.end[first - 1]) if first else 0
        stop = int(self.end[last - 1]) if last else 0
        return start * np.dtype(self.kind).itemsize, max(start, stop) * np.dtype(self.kind).itemsize

    def read(self, first: int, last: int, into: np.ndarray) -> Piece:
        """Rows [first, last); their ids are read into ``into``, see ``read_direct``."""
        values: np.ndarray = read_direct(self.ids, *self.place(first, last), into).view(self.kind)
        rows, start = slice(first, last), int(self.end[first - 1]) if first else 0
        starts = np.concatenate([[start], self.end[rows]])[:-1] - start
        weight, text_bytes = (self.batch[name].to_numpy()[rows] for name in ("weight", "text_bytes"))
        id, lengths = id_bytes(self.batch["id"])[rows], self.end[rows] - starts - start
        return Piece(self.rank[rows], id, weight, text_bytes, starts, lengths, values)


_read_room = Room()


def between(runs: Sequence[Run], low: int, high: int) -> Unsorted:
    """What runs hold in [low, high). The ids lie in memory that the next call takes for its own."""
    wanted = [(run, *run.between(low, high)) for run in runs]
    wanted = [(run, first, last) for run, first, last in wanted if first < last]
    sizes = [span(*run.place(first, last)) for run, first, last in wanted]
    room, found, at = _read_room.take(sum(sizes)), Unsorted(), 0
    for (run, first, last), size in zip(wanted, sizes, strict=True):
        found.add(run.read(first, last, room[at : at + size]))
        at += size
    return found


def rank_ranges(tokens: int, shard_tokens: int) -> list[tuple[int, int]]:
    """Equal ranges of ranks, so many that each holds about ``shard_tokens`` of ``tokens``."""
    number = max(1, -(-tokens // shard_tokens))
    return list(pairwise(RANKS * i // number for i in range(number + 1)))


@dataclass(frozen=True)
class MergeTask:
    """Some neighboring shards: what all runs of a domain's split hold in each of some ranges of ranks.

    Opening a run costs 0.2 ms, so one task makes many shards where there are very many (see ``merge_tasks``).
    """

    runs: tuple[tuple[Path, str], ...]  # folder and name
    vocab_size: int
    domain: str
    split: str
    ranges: tuple[tuple[int, int], ...]

    def run(self, folder: Path, progress: Callable[[int], None]) -> dict[str, Any]:
        """Write shard-00000.arrow, ...; returns a list of their counts, None for a range without documents."""
        runs = [Run(*run, self.vocab_size) for run in self.runs]
        shards: list[dict[str, Any] | None] = []
        parts: dict[str, dict[str, int]] = {}
        for number, (low, high) in enumerate(self.ranges):
            found = between(runs, low, high)
            if found.documents:
                target = folder / f"shard-{number:05d}.arrow"
                shards.append(self._write(target, found))
                parts[target.name] = {"bytes": target.stat().st_size}
            else:
                shards.append(None)
            progress(found.tokens * TOKEN_BYTES)
        return {"parts": parts, "shards": shards}

    def _write(self, target: Path, found: Unsorted) -> dict[str, Any]:
        columns = found.in_order()
        info = write_tokens(target, self.domain, self.split, columns)
        text_bytes = int(columns["text_bytes"].to_numpy().sum())
        return {"documents": found.documents, "tokens": found.tokens, "text_bytes": text_bytes, **info}


def merge_tasks(task: MergeTask) -> Iterator[MergeTask]:
    """A task that would make all shards, as at most MERGE_TASKS that make some each, in order."""
    step = -(-len(task.ranges) // MERGE_TASKS)
    for first in range(0, len(task.ranges), step):
        yield replace(task, ranges=task.ranges[first : first + step])
