"""Speed of deduplication beside rivals: ``python -m benchmarks.dedup``.

The corpus: 5.4 kB pieces of public-domain Japanese works, of which about a fifth have a lightly edited twin and a
tenth an equal one, shuffled. Rows are MB of UTF-8 text a CPU second of one process: ``Arrow -> labels`` signs
texts in memory, joins the signatures and clusters; file to file is what `jacorpus corpus dedup` does. The rows take
turns for ROUNDS rounds, and each has its median, so that all meet the same neighbors on a shared machine.

A rival is a program ``benchmarks/rivals/dedup_NAME.py IN.jsonl OUT.jsonl`` that prints one line of JSON
({"cpu_s", "removed", "versions"}); RIVALS says which interpreter runs it and on how many MB.
"""

import io
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from benchmarks.beside import here, in_turns
from benchmarks.record import DATA, ROOT, save
from jacorpus.dedup.clusters import cluster_rows
from jacorpus.dedup.exact import Exact
from jacorpus.dedup.files import Options, Signatures, dedup_files
from jacorpus.dedup.minhash import Minhash
from jacorpus.kernels.minhash import minhash
from jacorpus.stage import Dedup, SignaturePart

PIECE_CHARS = 1800
BASE, NEAR, EQUAL = 12_600, 3_500, 1_800
BATCH = 1000
ROUNDS = 9
CORPUS_MB = 95.4


@dataclass(frozen=True)
class Rival:
    """name: of benchmarks/rivals/dedup_NAME.py. interpreter: Python that has it. mb: of text it is given."""

    name: str
    interpreter: str
    mb: float


RIVALS = (Rival("datasketch", sys.executable, 5),)


def corpus(share: float = 1.0) -> list[str]:
    """BASE pieces, NEAR of them edited and EQUAL repeated, in a fixed random order; or a share of each."""
    base_count, near_count, equal_count = (round(count * share) for count in (BASE, NEAR, EQUAL))
    draw = random.Random(7)
    pieces: list[str] = []
    with (DATA / "ja/aozora.jsonl.zst").open("rb") as file:
        for line in io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file)):
            text = orjson.loads(line)["text"]
            pieces += [text[i : i + PIECE_CHARS] for i in range(0, len(text) - PIECE_CHARS, PIECE_CHARS)]
            if len(pieces) > 3 * base_count:
                break
    base = draw.sample(pieces, base_count)
    near = []
    for text in draw.sample(base, near_count):
        for _ in range(draw.randint(1, 5)):
            at = draw.randrange(len(text) - 10)
            text = text[:at] + "改めた" + text[at + draw.randint(0, 10) :]
        near.append(text)
    made = base + near + draw.sample(base, equal_count)
    draw.shuffle(made)
    return made


def labels(stage: Dedup, batches: Iterator[pa.RecordBatch] | list[pa.RecordBatch], folder: Path) -> np.ndarray:
    """Rows to remove: every member of a cluster but its smallest row. Signatures of texts stay in memory."""
    clusters = _clusters(stage, batches) if isinstance(stage, Minhash) else _clusters_on_disk(stage, batches, folder)
    row, root = clusters.column("row").to_numpy(), clusters.column("root").to_numpy()
    return row[row != root]


def _clusters(stage: Minhash, batches: Iterator[pa.RecordBatch] | list[pa.RecordBatch]) -> pa.Table:
    signatures = Signatures(stage)
    for batch in batches:
        signatures.add(batch.column("text"))
    return signatures.clusters()


def _clusters_on_disk(stage: Dedup, batches: Iterator[pa.RecordBatch] | list[pa.RecordBatch], folder: Path) -> pa.Table:
    """As a recipe's run does it."""
    path, rows = folder / "signatures.arrow", 0
    schema = stage.signature_schema()
    with pa.ipc.new_file(str(path), schema) as writer:
        for batch in batches:
            writer.write(pa.record_batch(list(stage.sign(batch).values()), schema=schema))
            rows += len(batch)
    partitions = stage.partitions(rows)
    parts = [SignaturePart(path, 0, rows)]
    return cluster_rows(stage.join(parts, partition, partitions) for partition in range(partitions))


def batched(texts: list[str]) -> list[pa.RecordBatch]:
    """Batches with a text column."""
    starts = range(0, len(texts), BATCH)
    return [pa.record_batch({"text": pa.array(texts[i : i + BATCH], pa.large_string())}) for i in starts]


def file_to_file(stage: Minhash, source: Path, target: Path) -> int:
    """What `jacorpus corpus dedup` does; how many documents went."""
    removed: int = dedup_files([source], target, Options(stage, overwrite=True))["removed"]
    return removed


def our_rows(texts: list[str], folder: Path) -> list[dict[str, Any]]:
    """Our stages on the whole corpus."""
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    batches = batched(texts)
    source, parquet = folder / "in.jsonl", folder / "in.parquet"
    source.write_bytes(b"".join(orjson.dumps({"id": i, "text": text}) + b"\n" for i, text in enumerate(texts)))
    table = pa.Table.from_batches(batches).append_column("id", pa.array(range(len(texts))))
    pq.write_table(table, parquet, compression="zstd")
    default, fineweb2 = Minhash(), Minhash(k=112, bands=14, rows=8)
    calls = {
        "signatures only, k=112": lambda: [minhash(batch.column("text"), 112) for batch in batches],
        "signatures only, k=256": lambda: [minhash(batch.column("text"), 256) for batch in batches],
        "Arrow -> labels, 14x8 of 112": lambda: len(labels(fineweb2, batches, folder)),
        "Arrow -> labels, 28x9 of 256 (default)": lambda: len(labels(default, batches, folder)),
        "Arrow -> labels, default, signatures on disk": lambda: _clusters_on_disk(default, batches, folder),
        "Arrow -> labels, exact": lambda: len(labels(Exact(), batches, folder)),
        "Arrow -> labels, exact, normalized": lambda: len(labels(Exact(normalize=True), batches, folder)),
        "JSONL -> JSONL, 14x8 of 112": lambda: file_to_file(fineweb2, source, folder / "out.jsonl"),
        "JSONL -> JSONL, default": lambda: file_to_file(default, source, folder / "out.jsonl"),
        "zstd Parquet -> zstd Parquet, default": lambda: file_to_file(default, parquet, folder / "out.parquet"),
    }
    rows = []
    answers = in_turns({name: here(call) for name, call in calls.items()}, ROUNDS)
    for name, answer in answers.items():
        seconds, removed = answer["cpu_s"], answer["result"]
        row = {"who": "jacorpus", "what": name, "mb": round(megabytes, 1), "cpu_s": round(seconds, 4)}
        row["all_cpu_s"] = answer["all_cpu_s"]
        row |= {"mb_per_s": round(megabytes / seconds, 1), "documents_per_s": round(len(texts) / seconds)}
        if isinstance(removed, int):
            row |= {"removed": removed, "planted": NEAR + EQUAL if "exact" not in name else EQUAL}
        rows.append(row)
        print(row)
    return rows


def rival_row(rival: Rival, folder: Path) -> dict[str, Any]:
    """One rival on a corpus of rival.mb, with what ours removes there."""
    texts = corpus(rival.mb / CORPUS_MB)
    size = sum(len(text.encode()) for text in texts)
    path = folder / "rival.jsonl"
    path.write_bytes(b"".join(orjson.dumps({"id": i, "text": text}) + b"\n" for i, text in enumerate(texts)))
    script = ROOT / "benchmarks" / "rivals" / f"dedup_{rival.name}.py"
    command = [rival.interpreter, str(script), str(path), str(folder / "rival-out.jsonl")]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    said = json.loads(run.stdout.splitlines()[-1])
    ours = len(labels(Minhash(), batched(texts), folder))
    row = {"who": rival.name, "what": "JSONL -> JSONL", "mb": round(size / 1e6, 1), "cpu_s": round(said["cpu_s"], 3)}
    row |= {"mb_per_s": round(size / 1e6 / said["cpu_s"], 3), "documents_per_s": round(len(texts) / said["cpu_s"], 1)}
    row |= {
        "removed": said["removed"],
        "removed_by_ours": ours,
        "planted": len(texts) - round(BASE * rival.mb / CORPUS_MB),
        "versions": said["versions"],
    }
    print(row)
    return row


def main() -> None:
    """Measure, print and save."""
    texts = corpus()
    with tempfile.TemporaryDirectory() as folder:
        rows = our_rows(texts, Path(folder))
        rows += [rival_row(rival, Path(folder)) for rival in RIVALS]
    libraries = ["numpy", "numba", "pyarrow", "orjson", "datasketch"]
    print(save("dedup", rows, libraries))


if __name__ == "__main__":
    main()
