"""What the report takes from audit/: one pass over its parts, one batch in memory at a time.

Documents to show are those with the smallest second half of their id: an id is a hash, so this is a fair draw that
every run repeats, and a different one than the keepers of duplicates (they go by the first half).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

Fate: TypeAlias = tuple[str, str, str]
"""(state, stage, reason); stage and reason are empty where a document was kept."""

_COLUMNS = (
    "id",
    "domain",
    "file",
    "position",
    "url",
    "state",
    "stage",
    "reason",
    "value",
    "detail",
    "failed_rules",
    "kept_id",
    "bytes",
)


@dataclass
class Ledger:
    """What was counted and drawn.

    drawn: fate -> rows of the audit as dicts, each with its ``draw``. Rule -> documents: failing it; failing it
    and no other dropping rule (``alone``); dropped by it before any other (``first``). files: (domain, file,
    state) -> documents.
    """

    drawn: dict[Fate, list[dict[str, Any]]] = field(default_factory=dict)
    alone: Counter[int] = field(default_factory=Counter)
    failing: Counter[int] = field(default_factory=Counter)
    first: Counter[int] = field(default_factory=Counter)
    files: Counter[tuple[str, str, str]] = field(default_factory=Counter)


def read_ledger(parts: Sequence[Path], each: int, dropping: frozenset[int]) -> Ledger:
    """Draws ``each`` documents a fate. parts: the audit's files, schema AUDIT. dropping: rules that drop documents."""
    ledger = Ledger()
    for path in parts:
        with pa.memory_map(str(path)) as file:
            schema = pa.ipc.open_file(file).schema
            options = pa.ipc.IpcReadOptions(included_fields=[schema.get_field_index(name) for name in _COLUMNS])
            reader = pa.ipc.open_file(file, options=options)
            for number in range(reader.num_record_batches):
                _read_batch(ledger, reader.get_batch(number), each, dropping)
    return ledger


def id_halves(ids: pa.Array) -> np.ndarray:
    """uint64 [N, 2], big endian: both halves of 16-byte ids without nulls."""
    raw = np.frombuffer(ids.buffers()[1], np.uint8, count=16 * len(ids), offset=16 * ids.offset)
    return raw.view(">u8").reshape(-1, 2)


def _read_batch(ledger: Ledger, batch: pa.RecordBatch, each: int, dropping: frozenset[int]) -> None:
    if not batch.num_rows:
        return
    draws = id_halves(batch["id"])[:, 1].astype(np.uint64)
    codes, fates = _fates(batch)
    order = np.lexsort((draws, codes))
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(order)], strict=True):
        rows = order[start : min(start + each, stop)]
        _draw(ledger, fates[codes[rows[0]]], batch.take(pa.array(rows)).to_pylist(), draws[rows], each)
    groups = (
        pa.table({name: batch[name] for name in ("domain", "file", "state")})
        .group_by(["domain", "file", "state"])
        .aggregate([([], "count_all")])
    )
    for row in groups.to_pylist():
        ledger.files[row["domain"], row["file"], row["state"]] += row["count_all"]
    for value in batch["failed_rules"].value_counts().to_pylist():
        bits = int.from_bytes(value["values"] or b"", "little")
        failed = [rule for rule in range(bits.bit_length()) if bits >> rule & 1]
        for rule in failed:
            ledger.failing[rule] += value["counts"]
        drops = dropping.intersection(failed)
        if drops:
            ledger.first[min(drops)] += value["counts"]
        if len(drops) == 1:
            ledger.alone[min(drops)] += value["counts"]


def _fates(batch: pa.RecordBatch) -> tuple[np.ndarray, dict[int, Fate]]:
    """A number for each row's fate, and the fate of each number."""
    columns = [batch[name].fill_null("").dictionary_encode() for name in ("state", "stage", "reason")]
    codes = np.zeros(batch.num_rows, np.int64)
    for column in columns:
        codes = codes * len(column.dictionary) + column.indices.to_numpy()
    numbers, firsts = np.unique(codes, return_index=True)
    fates = {
        int(number): tuple(column.dictionary[column.indices[int(row)].as_py()].as_py() for column in columns)
        for number, row in zip(numbers, firsts, strict=True)
    }
    return codes, fates  # type: ignore[return-value]


def _draw(ledger: Ledger, fate: Fate, rows: list[dict[str, Any]], draws: np.ndarray, each: int) -> None:
    for row, draw in zip(rows, draws, strict=True):
        row["draw"] = int(draw)
    ledger.drawn[fate] = sorted([*ledger.drawn.get(fate, []), *rows], key=lambda row: (row["draw"], row["id"]))[:each]
