"""Finds benchmark items inside documents: the share of an item's character n-grams a document holds.

Both sides are folded first (kernels/fold.py: width, case, punctuation and spaces gone, dakuten kept), so an
item quoted in full-width letters or with other commas is found. The stage asks for one rule itself: a
document whose ``coverage`` is ``drop_coverage`` or more goes, reason ``benchmark``.

An item is one string of a benchmark record. Read are the fields given, else the questions and texts of the
record and of records nested in it (QUESTION_FIELDS). Choices are joined to a question that is too short or
that three or more records of the benchmark share (a template), for alone they'd match anything. Items whose folded
form stays under ``min_chars`` are not looked for: ``unprotected`` names them.

datatrove's decontamination (a649de79) compares 12-grams of words and one hit drops the document; words
split by spaces do not exist in Japanese. The defaults are measured: docs/decontamination.md.
"""

import functools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import IO, TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa

from jacorpus.stage import Column, InputFile

if TYPE_CHECKING:
    from jacorpus.kernels.contamination import ContaminationIndex

QUESTION_FIELDS = (
    "question",
    "prompt",
    "problem",
    "instruction",
    "input",
    "query",
    "text",
    "sent",
    "sentence",
    "sentence1",
    "sentence2",
    "premise",
    "hypothesis",
)
_CHOICE_FIELDS = ("choices", "options")
_TEMPLATE_RECORDS = 3


class Item(NamedTuple):
    """One string looked for. id: of its record, or its line number from 1."""

    benchmark: str
    id: str
    text: str


class Unprotected(NamedTuple):
    """An item that is not looked for, with its folded length in characters."""

    benchmark: str
    id: str
    text: str
    chars: int


def _lines(path: str) -> Iterator[bytes]:
    """Non-blank lines of a JSONL file, plain, .gz or .zst."""
    with InputFile(path, PurePath(path).name, 0).open() as raw:
        stream: Any = raw
        if path.endswith(".zst"):
            import io

            import zstandard

            stream = io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True))
        elif path.endswith(".gz"):
            import gzip

            stream = gzip.GzipFile(fileobj=raw)
        yield from _non_blank(stream)


def _non_blank(stream: IO[bytes]) -> Iterator[bytes]:
    return (line if line.strip() else b"null" for line in stream)


def _strings(record: Any, fields: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """(text, its choices joined) of a record and of those nested in it, in the order of the fields."""
    if isinstance(record, list):
        for entry in record:
            yield from _strings(entry, fields)
    if not isinstance(record, dict):
        return
    listed = (record[name] for name in _CHOICE_FIELDS if isinstance(record.get(name), list))
    joined = "".join(choice for choices in listed for choice in choices if isinstance(choice, str))
    for name in fields or QUESTION_FIELDS:
        if isinstance(value := record.get(name), str):
            yield value, joined
    for value in record.values():
        yield from _strings(value, fields)


def _read(benchmark: str, path: str, fields: tuple[str, ...], min_chars: int) -> Iterator[Item]:
    """The items of one file. A line that is no JSON is an error: an unread benchmark protects nothing."""
    import orjson

    from jacorpus.kernels.fold import fold_text_naive

    found: list[tuple[str, str, str]] = []
    for number, line in enumerate(_lines(path), 1):
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number}: {error}; a benchmark has to be JSONL") from error
        name = record.get("id", number) if isinstance(record, dict) else number
        found += [(str(name), text, choices) for text, choices in _strings(record, fields)]
    if not found:
        wanted = ", ".join(fields or QUESTION_FIELDS)
        raise ValueError(f"{path}: no benchmark item found; looked for the fields {wanted}")
    shared = Counter(text for text, _ in {(text, name) for name, text, _ in found})
    for name, text, choices in found:
        if choices and (shared[text] >= _TEMPLATE_RECORDS or len(fold_text_naive(text)) < min_chars):
            text += choices
        yield Item(benchmark, name, text)


class _Benchmarks(NamedTuple):
    items: list[Item]
    table: "ContaminationIndex"


@functools.cache
def _load(files: tuple[tuple[str, str], ...], fields: tuple[str, ...], n: int, min_chars: int) -> _Benchmarks:
    """Items of all files, the first of equal texts only, and their index."""
    from jacorpus.kernels.contamination import build_index

    first: dict[str, Item] = {}
    for benchmark, path in files:
        for item in _read(benchmark, path, fields, min_chars):
            first.setdefault(item.text, item)
    items = list(first.values())
    return _Benchmarks(items, build_index([item.text for item in items], n, min_chars))


@dataclass(frozen=True)
class Ngrams:
    """Measures how much of the benchmarks stands in each document.

    benchmarks: name -> JSONL file (plain, .gz, .zst), or a list of files, each named by its file name.
    fields: names of the fields that hold items; default QUESTION_FIELDS.
    n: characters of an n-gram. min_chars: folded characters an item needs to be looked for.
    drop_coverage: from this coverage on an item counts as hit and the document is dropped.

    Columns: coverage (largest share of an item's n-grams found, 0-1); hits (items hit); hit_chars (folded
    characters of the document inside shared n-grams); benchmark and item (of the most covered item, the
    first of equals; null where no n-gram is shared).
    """

    costly: ClassVar[bool] = False
    label: ClassVar[str] = "decontaminate"

    benchmarks: dict[str, str] | tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    n: int = 10
    min_chars: int = 12
    drop_coverage: float = 0.7

    def __post_init__(self) -> None:
        if not self.benchmarks:
            raise ValueError("benchmarks: name at least one file, as in benchmarks = { jmmlu = 'jmmlu.jsonl' }")
        if not 0 < self.drop_coverage <= 1:
            raise ValueError(f"drop_coverage: {self.drop_coverage} is not in (0, 1]")

    def files(self) -> tuple[tuple[str, str], ...]:
        """(benchmark, path) of each file read; their content decides the result."""
        if isinstance(self.benchmarks, dict):
            return tuple(self.benchmarks.items())
        return tuple((PurePath(path).name.split(".")[0], path) for path in self.benchmarks)

    def rules(self) -> list[dict[str, Any]]:
        """The rule the stage asks for."""
        return [{"signal": "coverage", "below": self.drop_coverage, "reason": "benchmark"}]

    def columns(self) -> Mapping[str, pa.DataType]:
        numbers = {"coverage": pa.float64(), "hits": pa.int32(), "hit_chars": pa.int32()}
        return {**numbers, "benchmark": pa.string(), "item": pa.string()}

    def _loaded(self) -> _Benchmarks:
        return _load(self.files(), tuple(self.fields), self.n, self.min_chars)

    def measure(self, batch: pa.RecordBatch) -> dict[str, Column]:
        from jacorpus.kernels.contamination import contamination

        loaded = self._loaded()
        coverage, which, hits, chars = contamination(batch.column("text"), loaded.table, self.drop_coverage)
        best = [loaded.items[w] if w >= 0 else None for w in which.tolist()]
        return {
            "coverage": coverage,
            "hits": hits.astype(np.int32),
            "hit_chars": chars.astype(np.int32),
            "benchmark": pa.array([item and item.benchmark for item in best], pa.string()),
            "item": pa.array([item and item.id for item in best], pa.string()),
        }

    def unprotected(self) -> list[Unprotected]:
        """Items too short to be looked for, choices joined; in file order."""
        loaded = self._loaded()
        short = np.flatnonzero(loaded.table.grams == 0)
        return [Unprotected(*loaded.items[i], int(loaded.table.lengths[i])) for i in short]
