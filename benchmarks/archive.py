"""WARC.gz to curated shards, all stages, beside datatrove and bare libraries: ``python -m benchmarks.archive [fast]``.

The archive is the real-data WARC with the header WARC-Identified-Payload-Type in it, as archives of Common Crawl
have: without it datatrove guesses the type and drops two thirds of the pages. Ours: sources.warc, extraction, width,
white space, language (Japanese stays), the default profile, exact and near-duplicates, redaction, shards and
audit; one process, everything compiled and loaded. Speed is MB of HTML a CPU second over all pages of the archive;
all that runs Trafilatura gets every fourth record, and ours those too (``fast`` or ``slow`` alone: one race).
"""

import gzip
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.beside import Call, compared, driver, facts, here, in_turns, need_peers
from benchmarks.record import DATA, save
from jacorpus.engine.inline import Inline
from jacorpus.recipe import recipe_from_tables
from jacorpus.run import run_recipe

ARCHIVE = DATA / "warc" / "dev-00000.warc.gz"
FAST, QUALITY, BARE = "ours, extract.fast", "ours, extract.quality", "fastwarc + resiliparse alone"
TRAFILATURA, FILTERS = "datatrove, reader and Trafilatura alone", "datatrove, with language and Japanese filters"
PAIRS = (
    (FAST, TRAFILATURA, ">= 5x", 5.0),
    (FAST, FILTERS, ">= 5x", 5.0),
    (FAST, BARE, "within 1.5x", 1 / 1.5),
    (QUALITY, TRAFILATURA, ">= 1x", 1.0),
    (QUALITY, FILTERS, ">= 1x", 1.0),
)
"""Ours, rival, bar, smallest ratio."""
STAGES: list[dict[str, Any]] = [
    {"use": "normalize.width"},
    {"use": "normalize.whitespace"},
    {"use": "language.detect", "keep": ["ja"]},
    {"use": "rules.profile", "profile": "default"},
    {"use": "dedup.exact"},
    {"use": "dedup.minhash"},
    {"use": "redact.pii"},
]


def members(path: Path) -> Iterator[bytes]:
    """Records of an archive that has one gzip member each."""
    data = path.read_bytes()
    at = 0
    while at < len(data):
        inflater = zlib.decompressobj(31)
        yield inflater.decompress(memoryview(data)[at:])
        at = len(data) - len(inflater.unused_data)


def typed(record: bytes) -> bytes:
    """A response that its HTTP header calls HTML, with the payload's type in the WARC header."""
    head, _, block = record.partition(b"\r\n\r\n")
    if b"\r\nWARC-Type: response" not in head or b"text/html" not in block[: block.find(b"\r\n\r\n")].lower():
        return record
    return head + b"\r\nWARC-Identified-Payload-Type: text/html\r\n\r\n" + block


def write_archives(folder: Path) -> tuple[Path, Path, Path]:
    """The archive, every fourth record of it, and its first 60 records to warm up with."""
    records = [typed(record) for record in members(ARCHIVE)]
    parts = {"whole": records, "quarter": records[::4], "small": records[:60]}
    for name, part in parts.items():
        (folder / f"{name}.warc.gz").write_bytes(b"".join(gzip.compress(record, 6) for record in part))
    whole, quarter, small = (folder / f"{name}.warc.gz" for name in parts)
    return whole, quarter, small


def curated(source: Path, extractor: str, folder: Path) -> dict[str, int]:
    """A whole run; returns the manifest's counts."""
    table = {"use": "sources.warc", "domain": "web", "paths": [str(source)]}
    stages = [{"use": extractor}, *STAGES]
    recipe = recipe_from_tables({"name": "archive", "source": [table], "stage": stages}, source.parent, "archive")
    with tempfile.TemporaryDirectory(dir=folder) as out:
        counts: dict[str, int] = run_recipe(recipe, Path(out) / "out", Inline())["counts"]
    return counts


def html_megabytes(source: Path) -> float:
    """MB of HTTP bodies of the responses."""
    from fastwarc import ArchiveIterator, WarcRecordType

    with source.open("rb") as file:
        records = ArchiveIterator(file, record_types=WarcRecordType.response, parse_http=True)
        return sum(len(record.reader.read()) for record in records) / 1e6


def ours(extractor: str, whole: Path, small: Path) -> Call:
    """Warm on the small archive, timed on the whole one."""
    curated(small, extractor, whole.parent)
    return here(lambda: curated(whole, extractor, whole.parent))


def fresh(whole: Path, *arguments: str) -> Call:
    """datatrove into a folder of its own each time."""

    def call() -> dict[str, Any]:
        with tempfile.TemporaryDirectory(dir=whole.parent) as out:
            return driver("archive_datatrove", whole, out, *arguments)()

    return call


def main(only: list[str]) -> None:
    """Measure, print and save both races, or the one named (``fast``, ``slow``)."""
    need_peers()
    with tempfile.TemporaryDirectory() as name:
        whole, quarter, small = write_archives(Path(name))
        if only in ([], ["fast"]):
            calls = {FAST: ours("extract.fast", whole, small), BARE: driver("archive_resiliparse", whole)}
            race("archive_fast", calls, html_megabytes(whole), 9)
        if only in ([], ["slow"]):
            calls = {
                FAST: ours("extract.fast", quarter, small),
                QUALITY: ours("extract.quality", quarter, small),
                TRAFILATURA: fresh(quarter, "extract"),
                FILTERS: fresh(quarter),
            }
            race("archive", calls, html_megabytes(quarter), 3)


def race(name: str, calls: dict[str, Call], megabytes: float, rounds: int) -> None:
    """One race, saved as results/NAME.json."""
    answers = in_turns(calls, rounds)
    speed = {who: megabytes / answer["cpu_s"] for who, answer in answers.items()}
    made = []
    for mine, rival, bar, least in PAIRS:
        if mine in calls and rival in calls:
            what = f"WARC.gz to curated shards, all stages, {mine.removeprefix('ours, ')}"
            made.append(compared(what, bar, speed[mine], rival, speed[rival], least, unit="MB/s of HTML"))
    made += [{"html_mb": round(megabytes, 1), **fact} for fact in facts(answers)]
    save(name, made, ["FastWARC", "resiliparse", "trafilatura", "lxml"])


if __name__ == "__main__":
    main(sys.argv[1:])
