"""MB/s of UTF-8 a core of the character signals: ``python -m benchmarks.signals [TEXTS.jsonl.zst ...]``.

Each TEXTS file (lines with `text`) is held in Arrow memory; one row a stage, with the options in its name, and one
for each set of stages a profile uses (the sum of its stages' times). CPU time, median of several warm runs.
"""

import io
import sys
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import zstandard

from benchmarks.record import DATA, cpu_seconds, save
from jacorpus.signals.lines import Lines
from jacorpus.signals.repetition import Repetition
from jacorpus.signals.text import Text
from jacorpus.stage import Signal

TEXTS = [DATA / "ja" / "aozora.jsonl.zst", DATA / "ja" / "docs.jsonl.zst"]
RUNS = 5
STAGES: dict[str, Signal] = {
    "text": Text(),
    "lines": Lines(),
    "repetition, swallow-v1 (top 2-4, types 5-10)": Repetition(),
    "repetition, cheap (top 2, types 10)": Repetition(top=(2,), dup_types=(10,)),
    "repetition, top 2-4 alone": Repetition(dup_types=()),
    "repetition, types 5-10 alone": Repetition(top=()),
    "repetition, hojichar alone": Repetition(top=(), dup_types=(), hojichar=True),
    "repetition, Gopher cover (top 2-4, cover 5-10)": Repetition((), (), (2, 3, 4), (5, 6, 7, 8, 9, 10)),
}
SETS = {
    "swallow-v1": ("text", "lines", "repetition, swallow-v1 (top 2-4, types 5-10)"),
    "cheap": ("text", "lines", "repetition, cheap (top 2, types 10)"),
}


def batch_of(path: Path) -> pa.RecordBatch:
    """All texts of a file."""
    with path.open("rb") as file:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), "utf-8")
        return pa.record_batch({"text": pa.array((orjson.loads(line)["text"] for line in lines), pa.large_string())})


def measure(path: Path) -> list[dict[str, Any]]:
    """One row a stage and a set, printed as it comes."""
    batch = batch_of(path)
    megabytes = Text().measure(batch)["bytes"].sum() / 1e6
    times = {name: cpu_seconds(partial(stage.measure, batch), RUNS)[0] for name, stage in STAGES.items()}
    times |= {f"all of {name}": sum(times[stage] for stage in stages) for name, stages in SETS.items()}
    rows = []
    for name, time in times.items():
        rows.append({"text": path.name, "MB": round(megabytes, 1), "stage": name, "MB/s": round(megabytes / time, 1)})
        print(f"{path.name:24} {name:50} {rows[-1]['MB/s']:8.1f} MB/s", flush=True)
    return rows


def main(paths: list[Path]) -> None:
    """Measure each file and save the rows."""
    save("signals", [row for path in paths for row in measure(path)], ["numba", "numpy", "pyarrow"])


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]] or TEXTS)
