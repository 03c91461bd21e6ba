"""What is drawn and counted does not depend on how the audit is cut."""

import pyarrow as pa
import pytest

from jacorpus.report.ledger import id_halves, read_ledger
from jacorpus.schema import AUDIT


@pytest.fixture
def audit(finished):
    return finished.out / "audit/part-00000.arrow"


def recut(audit, tmp_path, parts, chunk):
    table = pa.ipc.open_file(audit).read_all()
    paths = []
    for number in range(parts):
        paths.append(tmp_path / f"{number}.arrow")
        with pa.ipc.new_file(paths[-1], AUDIT, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            size = -(-table.num_rows // parts)
            writer.write_table(table.slice(number * size, size), max_chunksize=chunk)
    return paths


def test_the_cut_of_the_audit_changes_nothing(audit, tmp_path):
    dropping = frozenset(range(6))
    assert read_ledger([audit], 4, dropping) == read_ledger(recut(audit, tmp_path, 3, 19), 4, dropping)


def test_draws_are_the_smallest_of_each_fate(audit):
    ledger = read_ledger([audit], 3, frozenset(range(6)))
    rows = pa.ipc.open_file(audit).read_all().to_pylist()
    for fate, drawn in ledger.drawn.items():
        own = [row["id"] for row in rows if tuple(row[k] or "" for k in ("state", "stage", "reason")) == fate]
        assert [row["id"] for row in drawn] == sorted(own, key=lambda i: i[8:])[:3]


def test_rules_are_counted_from_the_bits(audit):
    ledger = read_ledger([audit], 1, frozenset({0, 1, 2, 3, 4, 5}))
    rows = [row for row in pa.ipc.open_file(audit).read_all().to_pylist() if row["failed_rules"]]
    failed = [[i for i in range(6) if int.from_bytes(row["failed_rules"], "little") >> i & 1] for row in rows]
    for rule in range(6):
        assert ledger.failing[rule] == sum(rule in one for one in failed)
        assert ledger.alone[rule] == sum(one == [rule] for one in failed)
        assert ledger.first[rule] == sum(one[:1] == [rule] for one in failed)


def test_every_record_is_counted_with_its_file(audit):
    ledger = read_ledger([audit], 1, frozenset())
    assert sum(ledger.files.values()) == pa.ipc.open_file(audit).read_all().num_rows
    assert not ledger.first


def test_id_halves_of_a_slice():
    ids = pa.array([bytes([i]) * 16 for i in range(5)], pa.binary(16))
    assert id_halves(ids[2:4]).tolist() == [[0x0202020202020202] * 2, [0x0303030303030303] * 2]
