"""What extractors share: pass-through, failures, limits, columns."""

import signal
import threading
import time
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest

from jacorpus import inflight
from jacorpus.extract.page import COLUMNS, Extracted, Limits, PageTimeout, apply_pages, cpu_limit
from jacorpus.schema import DOCUMENT, PAGE

LIMITS = Limits(seconds=5, max_bytes=10_000, budget=0.02)
HTML = "<html><body><p>港の町</p></body></html>"


def batch(*rows: dict[str, Any]) -> pa.RecordBatch:
    empty = {"domain": "web", "position": 0, **dict.fromkeys(set(PAGE.names) - {"id", "domain", "position"})}
    return pa.RecordBatch.from_pylist([{**empty, "id": bytes([i]) * 16, **row} for i, row in enumerate(rows)], PAGE)


def upper(html: str) -> Extracted:
    return Extracted(html.upper(), 0.25, "題")


def test_rows_keep_their_place() -> None:
    rows = batch(
        {"text": "そのまま", "meta": '{"a":1}'},
        {"body": HTML.encode("cp932"), "content_type": "text/html", "charset": "x-sjis", "meta": '{"b":2}'},
        {"body": b"%PDF", "content_type": "application/pdf"},
        {"body": "<p>海</p>".encode(), "content_type": "text/plain"},
    )
    applied = apply_pages(rows, upper, LIMITS)
    assert applied.batch.schema == DOCUMENT
    assert applied.batch["text"].to_pylist() == ["そのまま", HTML.upper(), "", "<p>海</p>"]
    assert [(f.row, f.reason) for f in applied.failures] == [(2, "content_type")]
    assert orjson.loads(applied.batch["meta"][1].as_py()) == {"b": 2, "title": "題"}
    assert applied.batch["meta"][0].as_py() == '{"a":1}'
    assert applied.columns["charset"].to_pylist() == [None, "cp932", None, "utf-8"]
    assert applied.columns["html_bytes"].tolist() == [0, len(HTML.encode("cp932")), 4, 10]
    np.testing.assert_array_equal(applied.columns["link_ratio"], [np.nan, 0.25, np.nan, np.nan])


def test_columns_have_the_declared_types() -> None:
    applied = apply_pages(batch({"body": HTML.encode()}, {"text": "x"}), upper, LIMITS)
    assert applied.columns.keys() == COLUMNS.keys()
    for name, kind in COLUMNS.items():
        column = applied.columns[name]
        assert (column if isinstance(column, pa.Array) else pa.array(column)).type == kind, name
        assert len(column) == 2


def test_empty_batch() -> None:
    assert apply_pages(batch(), upper, LIMITS).batch.num_rows == 0


@pytest.mark.parametrize(
    ("body", "text"), [(b"<!DOCTYPE html><p>a</p>", "<!DOCTYPE HTML><P>A</P>"), (b"a < b", "a < b")]
)
def test_missing_type_is_sniffed(body: bytes, text: str) -> None:
    assert apply_pages(batch({"body": body}), upper, LIMITS).batch["text"][0].as_py() == text


def test_size_limit_and_empty_body() -> None:
    rows = batch({"body": b"x" * 10_001, "content_type": "text/html"}, {"body": b"", "content_type": "text/html"})
    assert [f.reason for f in apply_pages(rows, upper, LIMITS).failures] == ["size", "empty"]


def burn(_html: str) -> Extracted:
    while True:
        try:
            sum(range(100))
        except Exception:  # as trafilatura does
            continue


def test_time_limit() -> None:
    before = signal.getsignal(signal.SIGPROF)
    applied = apply_pages(batch({"body": HTML.encode()}, {"text": "次"}), burn, Limits(0.05, 10_000, 0.02))
    assert [f.reason for f in applied.failures] == ["timeout"]
    assert applied.batch["text"].to_pylist() == ["", "次"]
    assert signal.getsignal(signal.SIGPROF) == before
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


def test_no_time_limit_outside_the_main_thread() -> None:
    ended: list[bool] = []

    def work() -> None:
        with cpu_limit(0.01):
            stop = time.thread_time() + 0.05
            while time.thread_time() < stop:
                pass
        ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [True]


def test_limit_inside_a_limit_raises_once() -> None:
    with pytest.raises(PageTimeout), cpu_limit(0.02):
        burn("")


def test_an_error_in_the_extractor_is_a_failure_of_the_row() -> None:
    def broken(_html: str) -> Extracted:
        raise ValueError("no tree")

    failure = apply_pages(batch({"body": HTML.encode()}), broken, LIMITS).failures[0]
    assert (failure.reason, failure.detail) == ("error", "ValueError: no tree")


def test_marks_the_page_in_work() -> None:
    slot = memoryview(bytearray(inflight.SLOT_BYTES))
    seen: list[bytes | None] = []
    inflight.attach(slot)
    try:
        apply_pages(
            batch({"text": "x"}, {"body": HTML.encode()}),
            lambda html: (seen.append(inflight.read(slot)[0]), Extracted(html))[1],
            LIMITS,
        )
        assert seen == [bytes([1]) * 16]
        assert inflight.read(slot)[0] is None
    finally:
        inflight.attach(None)


def test_surrogates_become_characters() -> None:
    applied = apply_pages(
        batch({"body": HTML.encode()}), lambda _: Extracted("\ud867\ude3d \ud800", title="\udc00"), LIMITS
    )
    assert applied.batch["text"].to_pylist() == ["𩸽 \ufffd"]
