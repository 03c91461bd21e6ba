"""Removing near-duplicates from JSONL, beside the tools people use: ``python -m benchmarks.near_duplicates``.

The corpus of benchmarks.dedup: about 20 % near and 10 % equal copies. Everybody reads JSONL and writes the lines
that stay. Ours runs on all of it; a rival gets a smaller one of the same make, for its speed is the same a byte.
Ours twice: 14 bands of 8 out of 112 values, as datatrove's pipeline for FineWeb-2 has, and the default.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from benchmarks.beside import Call, compared, driver, facts, here, in_turns, need_peers
from benchmarks.dedup import batched, corpus, labels
from benchmarks.record import save
from jacorpus.dedup.minhash import Minhash
from jacorpus.sources.jsonl import line_blocks
from jacorpus.stage import Dedup, InputFile, Span

CORPUS_MB = 95
RIVALS = {
    "datatrove 14x8, Japanese words": ("dedup_datatrove", 2.0, ()),
    "HojiChar, its defaults": ("dedup_hojichar", 10.0, ()),
    "HojiChar 14x8": ("dedup_hojichar", 10.0, ("14x8",)),
    "rensa 16x8": ("dedup_rensa", 10.0, ()),
    "datasketch, 128 values": ("dedup_datasketch", 5.0, ()),
}
"""Driver, MB it is given, further arguments."""


def jsonl_to_jsonl(stage: Dedup, source: Path, target: Path) -> int:
    """Remove near-duplicates; lines that stay are written as they are. Returns how many went."""
    from jacorpus.kernels.json_lines import text_lines

    blocks: list[tuple[bytes, np.ndarray, np.ndarray]] = []

    def batches() -> Iterator[pa.RecordBatch]:
        whole = Span(0, 1 << 62)
        for block in line_blocks(InputFile(str(source), source.name, source.stat().st_size), whole, 1 << 26):
            lines = text_lines(block.data, "text")
            assert lines.decided.all()
            blocks.append((block.data, lines.starts, lines.ends))
            yield pa.record_batch({"text": lines.texts})

    gone = labels(stage, batches(), target.parent)
    first = 0
    with target.open("wb", buffering=0) as file:
        for data, starts, ends in blocks:
            inside = gone[(gone >= first) & (gone < first + len(starts))] - np.uint64(first)
            keep = np.ones(len(starts), np.bool_)
            keep[inside.astype(np.int64)] = False
            # Lines that stay side by side are written together.
            edge = np.flatnonzero(np.diff(np.r_[False, keep, False]))
            view = memoryview(data)
            pieces = zip(starts[edge[::2]].tolist(), ends[edge[1::2] - 1].tolist(), strict=True)
            _write_all(file.fileno(), [view[a : b + 1] for a, b in pieces])
            first += len(starts)
    return len(gone)


def _write_all(file: int, pieces: list[memoryview]) -> None:
    """Write pieces with as few calls as the system allows."""
    for i in range(0, len(pieces), 1024):
        part = pieces[i : i + 1024]
        if os.writev(file, part) < sum(map(len, part)):
            raise OSError("the disk is full")


def written(texts: list[str], path: Path) -> float:
    """Write a JSONL file; returns MB of text."""
    path.write_bytes(b"".join(orjson.dumps({"id": str(i), "text": text}) + b"\n" for i, text in enumerate(texts)))
    return sum(len(text.encode()) for text in texts) / 1e6


def rival_calls(folder: Path) -> tuple[dict[str, Call], dict[str, float]]:
    """Calls of the rivals, and the MB of text each is given."""
    calls, sizes = {}, {}
    for name, (script, megabytes, arguments) in RIVALS.items():
        source = folder / f"{megabytes}.jsonl"
        if not source.exists():
            sizes[source.name] = written(corpus(megabytes / CORPUS_MB), source)
        sizes[name] = sizes[source.name]
        calls[name] = _fresh(script, source, folder, arguments)
    return calls, sizes


def _fresh(script: str, source: Path, folder: Path, arguments: tuple[str, ...]) -> Call:
    """Each call writes into a folder of its own: datatrove goes on where an earlier run ended."""

    def call() -> dict[str, Any]:
        with tempfile.TemporaryDirectory(dir=folder) as out:
            return driver(script, source, Path(out) / "out", *arguments)()

    return call


def main() -> None:
    """Measure, print and save."""
    need_peers()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts, source, target = corpus(), folder / "in.jsonl", folder / "out.jsonl"
        megabytes, batches = written(texts, source), batched(texts)
        shaped, default = Minhash(k=112, bands=14, rows=8), Minhash()
        ours = {
            "ours 14x8": here(lambda: jsonl_to_jsonl(shaped, source, target)),
            "ours 28x9 of 256 (default)": here(lambda: jsonl_to_jsonl(default, source, target)),
            "ours 14x8, Arrow -> labels": here(lambda: len(labels(shaped, batches, folder))),
            "ours default, Arrow -> labels": here(lambda: len(labels(default, batches, folder))),
        }
        rivals, sizes = rival_calls(folder)
        answers = in_turns({**ours, **rivals})
    speed = {name: sizes.get(name, megabytes) / answer["cpu_s"] for name, answer in answers.items()}
    save("near_duplicates", [*rows(speed), *facts(answers)], ["numpy", "numba", "pyarrow"])


def rows(speed: dict[str, float]) -> list[dict[str, Any]]:
    """The summary's rows, MB of UTF-8 a CPU second."""
    what, mine, default = "near-duplicates, JSONL to JSONL", speed["ours 14x8"], speed["ours 28x9 of 256 (default)"]
    bars = {"datatrove": 300, "HojiChar": 10, "rensa": 10, "datasketch": 60}
    made = []
    for name in RIVALS:
        least = next(bar for word, bar in bars.items() if name.startswith(word))
        more = {"unit": "MB/s", "default_ratio": round(default / speed[name], 2)}
        made.append(compared(what, f">= {least}x", mine, name, speed[name], least, **more))
    memory, bar = "near-duplicates, Arrow in memory to labels", ">= 1,000 MB/s"
    made.append(compared(f"{memory}, 14x8", bar, speed["ours 14x8, Arrow -> labels"], least=1000, unit="MB/s"))
    default_row = compared(f"{memory}, default", "", speed["ours default, Arrow -> labels"], unit="MB/s")
    return [*made, {**default_row, "met": None}]


if __name__ == "__main__":
    main()
