"""Dates as records have them, and chunks that stay within their bounds."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from jacorpus.sources.records import CHUNK_BYTES, CHUNK_ROWS, Gathered, parse_timestamp, slices
from tests.jacorpus.sources.reading import joined

SECONDS = 1_714_521_600  # 2024-05-01T00:00:00Z


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-05-01T00:00:00Z", SECONDS),
        ("2024-05-01T09:00:00+09:00", SECONDS),
        ("2024-05-01T00:00:00.987", SECONDS),
        ("2024-05-01 00:00:00", SECONDS),
        (" 2024-05-01 ", SECONDS),
        (SECONDS, SECONDS),
        (SECONDS + 0.5, SECONDS),
        (SECONDS * 1000, SECONDS),
        (-1.5, -2),
        (datetime(2024, 5, 1, tzinfo=UTC), SECONDS),
        (datetime(2024, 5, 1, 9, tzinfo=timezone(timedelta(hours=9))), SECONDS),
        ("昨日", None),
        ("", None),
        (None, None),
        (True, None),
        (["2024"], None),
        (1e30, None),
        (float("nan"), None),
    ],
)
def test_parse_timestamp(value: object, expected: int | None):
    assert parse_timestamp(value) == expected


def test_slices_hold_all_rows_within_the_bounds():
    rows = Gathered(read_bytes=7)
    for i in range(2500):
        rows.add(i, text="あ" * (1_000_000 if i % 500 == 0 else 1))
    rows.skip("blank", 3)
    whole = rows.take()
    parts = slices(whole)
    assert joined(parts).records == whole.records
    assert all(part.records.num_rows <= CHUNK_ROWS for part in parts)
    assert all(part.records.column("text").nbytes < CHUNK_BYTES + 3_100_000 for part in parts)
    assert (joined(parts).skipped, joined(parts).read_bytes) == ({"blank": 3}, 7)


def test_an_empty_chunk_still_tells_its_counts():
    rows = Gathered()
    rows.skip("blank", 0)
    assert rows.empty()
    rows.skip("blank")
    assert not rows.empty()
    assert [part.skipped for part in slices(rows.take())] == [{"blank": 1}]
