"""What the extractors share: bodies to strings, time and size limits, the result of a batch.

An extractor gives one function, HTML string to ``Extracted``; everything else is here. Rows that already
have text pass through as they are. Every other row becomes text or a Failure with one of the reasons
``content_type``, ``size``, ``timeout``, ``error``, ``empty``, ``over_budget``, ``unknown_label``.

A page whose extraction is empty is no failure: its text is "" and a rule drops it, so that ``what-if`` can
count it. A body without bytes is one (``empty``): there was never a page.
"""

import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from jacorpus import inflight
from jacorpus.extract.charset import Undecoded, decode
from jacorpus.schema import DOCUMENT
from jacorpus.stage import Applied, Failure

COLUMNS: Mapping[str, pa.DataType] = {
    "charset": pa.string(),  # null where the source gave text
    "charset_how": pa.string(),  # bom, http, meta, escape, detector
    "replacements": pa.int32(),  # U+FFFD that decoding put in
    "truncated_tail": pa.int32(),  # 1: the body ended inside a character
    "html_bytes": pa.int64(),  # of the body; 0 where the source gave text
    "link_ratio": pa.float64(),  # characters inside <a> / characters of the text; null where not measured
}

_HTML = ("text/html", "application/xhtml+xml")
_PLAIN = ("text/plain",)
_MARKUP = re.compile(rb"<(?:!doctype|html|head|body|title|meta|div|p|table|script|a)\b|<\?xml|<!--", re.I)


@dataclass(frozen=True, slots=True)
class Extracted:
    """Main text of a page. link_ratio: NaN where there is no text. title: of the page, "" if none.

    The title goes into ``meta`` under the key ``title``.
    """

    text: str
    link_ratio: float = float("nan")
    title: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """seconds: CPU seconds a page may take, 0 for no limit. max_bytes: largest body. budget: see ``decode``."""

    seconds: float
    max_bytes: int
    budget: float


@dataclass(frozen=True, slots=True)
class _Page:
    extracted: Extracted
    charset: str
    how: str
    replacements: int
    truncated_tail: bool


class PageTimeout(BaseException):
    """A page took longer than its limit. No Exception: extractors catch those and go on."""


def apply_pages(batch: pa.RecordBatch, extract: Callable[[str], Extracted], limits: Limits) -> Applied:
    """Documents (schema DOCUMENT) of a batch of pages (schema PAGE), with COLUMNS and failures."""
    texts, bodies = batch["text"], batch["body"]
    ids, types, labels = (batch[name].to_pylist() for name in ("id", "content_type", "charset"))
    missing = texts.is_null().to_numpy(zero_copy_only=False)
    pages: dict[int, _Page] = {}
    failures: list[Failure] = []
    try:
        with _cpu_timer(limits.seconds) as timer:
            for row in np.flatnonzero(missing).tolist():
                inflight.mark(ids[row])
                result = _page(bodies[row].as_py() or b"", types[row], labels[row], extract, limits, timer)
                if isinstance(result, _Page):
                    pages[row] = result
                else:
                    failures.append(Failure(row, *result))
    finally:
        inflight.clear()
    return Applied(_documents(batch, texts, pages), _columns(batch, pages), failures)


def _page(
    body: bytes,
    content_type: str | None,
    label: str | None,
    extract: Callable[[str], Extracted],
    limits: Limits,
    timer: AbstractContextManager[None],
) -> _Page | tuple[str, str]:
    """The page, or (reason, detail) why there is none."""
    kind = content_type or ("text/html" if _MARKUP.search(body[:4096]) else "text/plain")
    if kind not in _HTML and kind not in _PLAIN:
        return "content_type", f"{kind[:80]} is neither HTML nor plain text"
    if len(body) > limits.max_bytes:
        return "size", f"{len(body)} bytes are over the limit of {limits.max_bytes}"
    try:
        with timer:
            decoded = decode(body, label, html=kind in _HTML, budget=limits.budget)
            if isinstance(decoded, Undecoded):
                return decoded.reason, decoded.detail
            extracted = extract(decoded.text) if kind in _HTML else Extracted(decoded.text)
    except PageTimeout:
        return "timeout", f"extraction took over {limits.seconds:g} CPU seconds for {len(body)} bytes"
    except Exception as error:  # one page's fault in a library is that page's failure
        return "error", f"{type(error).__name__}: {error}"[:200]
    try:
        extracted.text.encode()
        extracted.title.encode()
    except UnicodeEncodeError:
        extracted = replace(extracted, text=_well_formed(extracted.text), title=_well_formed(extracted.title))
    return _Page(extracted, decoded.charset, decoded.how, decoded.replacements, decoded.truncated_tail)


def _well_formed(text: str) -> str:
    """Text with surrogate pairs joined and lone halves replaced: both come out of JSON in pages."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class _Timer:
    """``with timer:`` raises PageTimeout in its block after so many CPU seconds of this process."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, self._seconds, 1.0)  # again each second: a destructor may eat the first

    def __exit__(self, *_error: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0.0)


@contextmanager
def _cpu_timer(seconds: float) -> Iterator[AbstractContextManager[None]]:
    """A limit to set for page after page: changing a signal's handler costs more than many a page's charset.

    There is no limit outside the main thread. C code that never returns to Python is not interrupted: the
    coordinator sees its mark in ``inflight``.
    """
    if seconds <= 0 or threading.current_thread() is not threading.main_thread():
        yield nullcontext()
        return

    def stop(_number: int, _frame: Any) -> None:
        raise PageTimeout

    timer = signal.setitimer(signal.ITIMER_PROF, 0.0)
    before = signal.signal(signal.SIGPROF, stop)
    try:
        yield _Timer(seconds)
    finally:
        signal.signal(signal.SIGPROF, before)
        signal.setitimer(signal.ITIMER_PROF, *timer)


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Raise PageTimeout after so many CPU seconds of this process; no limit outside the main thread."""
    with _cpu_timer(seconds) as timer, timer:
        yield


def _documents(batch: pa.RecordBatch, texts: pa.Array, pages: dict[int, _Page]) -> pa.RecordBatch:
    values = texts.to_pylist()
    for row, page in pages.items():
        values[row] = page.extracted.text
    text = pa.array(["" if value is None else value for value in values], pa.large_string())
    meta = batch["meta"].to_pylist()
    for row, page in pages.items():
        if page.extracted.title:
            known = orjson.loads(meta[row]) if meta[row] else {}
            meta[row] = orjson.dumps({**known, "title": page.extracted.title}).decode()
    made = {
        "text": text,
        "lang": pa.nulls(batch.num_rows, pa.string()),
        "meta": pa.array(meta, pa.string()),
    }
    return pa.record_batch([made[name] if name in made else batch[name] for name in DOCUMENT.names], schema=DOCUMENT)


def _columns(batch: pa.RecordBatch, pages: dict[int, _Page]) -> dict[str, Any]:
    rows = [pages.get(row) for row in range(batch.num_rows)]
    sizes = pc.fill_null(pc.binary_length(batch["body"]), 0)
    return {
        "charset": pa.array([page and page.charset for page in rows], pa.string()),
        "charset_how": pa.array([page and page.how for page in rows], pa.string()),
        "replacements": np.array([page.replacements if page else 0 for page in rows], np.int32),
        "truncated_tail": np.array([page.truncated_tail if page else 0 for page in rows], np.int32),
        "html_bytes": sizes.to_numpy(zero_copy_only=False),
        "link_ratio": pa.array(
            [page.extracted.link_ratio if page else None for page in rows], pa.float64(), from_pandas=True
        ),
    }
