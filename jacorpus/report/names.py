"""Documents counted by the signals that are names: language, charset, host. One part in memory at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

MOST = 200_000  # different names counted


@dataclass(frozen=True)
class Named:
    """Documents that bear a name, their bytes of text, and how many of them were kept."""

    documents: int = 0
    bytes: int = 0
    kept: int = 0

    def __add__(self, other: "Named") -> "Named":
        return Named(self.documents + other.documents, self.bytes + other.bytes, self.kept + other.kept)


Counts: TypeAlias = dict[str, Named]


def count_names(signals: Sequence[Path], audit: Sequence[Path]) -> dict[str, Counts]:
    """Column -> name (empty: unknown) -> counts. A column of over 200,000 names is left out.

    audit: one part beside each part of signals, of the same records.
    """
    found: dict[str, Counts] = {}
    for path, ledger in zip(signals, audit, strict=True):
        table = _open(path)
        columns = [field.name for field in table.schema if field.name not in ("id", "domain") and _is_name(field.type)]
        if columns and table.num_rows:
            table = table.append_column("kept", _kept(table["id"], ledger))
        for name in columns if table.num_rows else ():
            sums = found.setdefault(name, {})
            if len(sums) <= MOST:
                _add(sums, table, name)
    return {name: sums for name, sums in found.items() if len(sums) <= MOST}


def _open(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def _is_name(type: pa.DataType) -> bool:
    value = type.value_type if pa.types.is_dictionary(type) else type
    return pa.types.is_string(value) or pa.types.is_large_string(value)


def _kept(ids: pa.ChunkedArray, ledger: Path) -> pa.ChunkedArray:
    """bool [rows of ids]: whether the audit says kept."""
    with pa.memory_map(str(ledger)) as file:
        schema = pa.ipc.open_file(file).schema
        fields = [schema.get_field_index(name) for name in ("id", "state")]
        audit = pa.ipc.open_file(file, options=pa.ipc.IpcReadOptions(included_fields=fields)).read_all()
    kept = audit["id"].filter(pc.equal(audit["state"], "kept"))
    return pc.is_in(ids, kept.combine_chunks())


def _add(sums: Counts, table: pa.Table, name: str) -> None:
    groups = pa.table({"name": table[name].cast(pa.string()), "bytes": table["bytes"], "kept": table["kept"]})
    for row in groups.group_by("name").aggregate([("bytes", "count"), ("bytes", "sum"), ("kept", "sum")]).to_pylist():
        key = row["name"] or ""
        sums[key] = sums.get(key, Named()) + Named(row["bytes_count"], row["bytes_sum"] or 0, row["kept_sum"] or 0)
