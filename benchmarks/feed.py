"""The trainer's data feed: its speed, its start on a trillion tokens, its mixture: ``python -m benchmarks.feed``.

Documents of geometric length (means of 1,000 and of 50 tokens), 64 M tokens, warm in the page cache; batches of a
million tokens; one thread. Beside ours run

- memmap u16, u32    what small trainers do: the stream in one flat file, rows from places drawn at random, targets
                     shifted by one. No documents, no boundaries, no epochs; the floor of copying rows to int64
- Python packing     what a packing loader does: takes document after document from memory-mapped token shards, in a
                     shuffled order it keeps in memory, fills rows, numbers documents, cuts at row ends; numpy for each
                     document. Same tokens, targets, weights and document numbers as ours

Start: a manifest of 1e12 tokens in 1e9 documents (14,902 entries, all of one 64 M-token file), opened by a fresh
process, imports before the clock; first batch at a late step of a plan with three phases. Mixture: the most rows a
domain is off its share at any of 20,000 steps, beside drawing each row's domain at random.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.beside import compared, facts, here, in_turns
from benchmarks.record import ROOT, save
from jacorpus.schema import ID
from mixing.schedule import Schedule, deal, quotas
from tokenizer_lab.tokens import FORMAT, KIND, Tokens, open_tokens, write_tokens
from trainer.data import Feed, RowArrays
from trainer.ledger import ledger
from trainer.plan import Phase, Plan

VOCAB = 50_000
EOS = 0
SHARDS, SHARD_TOKENS = 4, 16_000_000
BATCH = 1 << 20
BATCHES = 8
MEANS = {"documents of 1,000 tokens": 1000, "documents of 50 tokens": 50}
LENGTHS = (4096, 256, 32_768)
LARGE_TOKENS, LARGE_DOCUMENTS, LARGE_SHARDS = 1 << 26, 1 << 16, 14_902
LATE = 200_001


def shard(path: Path, sizes: np.ndarray, ids: np.ndarray) -> dict[str, Any]:
    """Write a shard; its entry of the manifest."""
    rows = len(sizes)
    columns = {
        "id": pa.Array.from_buffers(ID, rows, [None, pa.py_buffer(np.random.default_rng(1).bytes(16 * rows))]),
        "weight": pa.array(np.ones(rows, np.int8)),
        "text_bytes": pa.array(sizes * 4),
        "tokens": pa.LargeListArray.from_arrays(np.concatenate([[0], np.cumsum(sizes)]), pa.array(ids)),
    }
    write_tokens(path, "a", "train", columns)
    counts = {"documents": rows, "tokens": len(ids), "text_bytes": 4 * len(ids), "ranks": ["00", "ff"]}
    return {"path": path.name, "domain": "a", "split": "train", **counts}


def manifest(folder: Path, shards: list[dict[str, Any]], domains: list[str]) -> Tokens:
    """Publish shards."""
    tokenizer = {"vocab_size": VOCAB, "eos_id": EOS, "fingerprint": "f" * 64}
    content = {"kind": KIND, "format": FORMAT, "key": "k" * 32, "tokenizer": tokenizer}
    (folder / "manifest.json").write_text(
        json.dumps({**content, "domains": {d: {} for d in domains}, "shards": shards})
    )
    return open_tokens(folder)


def small(folder: Path, mean: int) -> Tokens:
    """Shards with documents of a mean length."""
    folder.mkdir()
    draw, entries = np.random.default_rng(mean), []
    for number in range(SHARDS):
        sizes = draw.geometric(1 / mean, SHARD_TOKENS // mean)
        ids = draw.integers(1, VOCAB, sizes.sum(), dtype=np.uint32)
        entries.append(shard(folder / f"{number}.arrow", sizes, ids))
    return manifest(folder, entries, ["a"])


def flat(tokens: Tokens, path: Path, kind: type) -> np.memmap:
    """The whole stream in one file, eos between documents."""
    with path.open("wb") as file:
        for one in tokens.shards:
            ends = one.offsets[1:] + np.arange(one.documents)
            stream = np.full(one.tokens + one.documents, EOS, kind)
            inside = np.ones(len(stream), bool)
            inside[ends] = False
            stream[inside] = one.ids
            stream.tofile(file)
    return np.memmap(path, kind, "r")


def from_memmap(stream: np.memmap, seq_len: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows at random places, and their targets."""
    tokens = np.empty((BATCH // seq_len, seq_len), np.int64)
    targets = np.empty_like(tokens)
    for row, place in enumerate(draw.integers(0, len(stream) - seq_len, len(tokens)).tolist()):
        tokens[row] = stream[place : place + seq_len]
        targets[row] = stream[place + 1 : place + seq_len + 1]
    return tokens, targets


def in_turn(tokens: Tokens, order: np.ndarray) -> Iterator[np.ndarray]:
    """Documents with their eos, in an order of (shard, document), for ever."""
    shards = [(one.ids, one.offsets) for one in tokens.shards]
    while True:
        for number, document in order:
            ids, offsets = shards[number]
            yield np.append(ids[offsets[document] : offsets[document + 1]], np.uint32(EOS))


def from_packing(documents: Iterator[np.ndarray], rest: list[np.ndarray], seq_len: int) -> RowArrays:
    """A batch of documents one after another, cut at row ends. rest: what the batch before left over."""
    rows = BATCH // seq_len
    tokens, targets = np.empty((rows, seq_len), np.int64), np.empty((rows, seq_len), np.int64)
    weight, document = np.ones((rows, seq_len), np.float32), np.empty((rows, seq_len), np.int32)
    for row in range(rows):
        at = number = 0
        while at < seq_len:
            now = rest.pop() if rest else next(documents)
            size = min(len(now), seq_len - at)
            tokens[row, at : at + size] = now[:size]
            follow = now[1 : size + 1]
            targets[row, at : at + len(follow)] = follow
            if size == len(now):
                weight[row, at + size - 1], targets[row, at + size - 1] = 0, EOS
            else:
                rest.append(now[size:])
            document[row, at : at + size] = number
            at, number = at + size, number + 1
    return RowArrays(tokens, targets, weight, document, np.zeros(rows, np.int32))


def repeated(make: Callable[[int], Any]) -> Callable[[], int]:
    """BATCHES batches, others at each call; answers with the tokens."""
    steps = count()

    def call() -> int:
        for _ in range(BATCHES):
            make(next(steps))
        return BATCHES * BATCH

    return call


def speeds(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows on tokens per second."""
    calls: dict[str, Callable[[], int]] = {}
    for name, mean in MEANS.items():
        tokens = small(folder / str(mean), mean)
        order = np.array([(i, d) for i, one in enumerate(tokens.shards) for d in range(one.documents)])
        np.random.default_rng(0).shuffle(order)
        for seq_len in LENGTHS:
            feed = Feed(tokens, Plan((Phase(10**12, {"a": 1}, seq_len, BATCH),)), 0)
            calls[f"ours, {seq_len}, {name}"] = repeated(feed.arrays)
            pack = partial(from_packing, in_turn(tokens, order), [], seq_len)
            calls[f"Python packing, {seq_len}, {name}"] = repeated(lambda _, pack=pack: pack())
            if mean == 1000:
                for kind in (np.uint16, np.uint32):
                    stream = flat(tokens, folder / f"{kind.__name__}.bin", kind)
                    read = partial(from_memmap, stream, seq_len, np.random.default_rng(0))
                    short = f"u{np.dtype(kind).itemsize * 8}"
                    calls[f"memmap {short}, {seq_len}, {name}"] = repeated(lambda _, read=read: read())
    answers = in_turns({name: here(call) for name, call in calls.items()})
    per_second = {name: answer["result"] / answer["cpu_s"] / 1e6 for name, answer in answers.items()}
    made = []
    for name in MEANS:
        for seq_len in LENGTHS:
            mine = per_second[f"ours, {seq_len}, {name}"]
            for rival in ("Python packing", "memmap u16", "memmap u32"):
                theirs = per_second.get(f"{rival}, {seq_len}, {name}")
                if theirs:
                    what = f"feed, rows of {seq_len:,}, {name}"
                    row = compared(what, ">= 10 M tok/s", mine, rival, theirs, unit="M tok/s")
                    made.append({**row, "met": mine >= 10})
    return made, facts(answers)


def large(folder: Path) -> Path:
    """A manifest of 1e12 tokens, each shard of which is the same file."""
    folder.mkdir()
    sizes = np.full(LARGE_DOCUMENTS, LARGE_TOKENS // LARGE_DOCUMENTS)
    entry = shard(folder / "0.arrow", sizes, np.ones(LARGE_TOKENS, np.uint32))
    manifest(folder, [entry] * LARGE_SHARDS, ["a"])
    return folder


def start(folder: Path) -> None:
    """What a fresh process is measured at."""
    began = time.perf_counter()
    tokens = open_tokens(folder)
    phases = [
        Phase(size, {"a": 1}, length, 1 << 22)
        for size, length in ((6 * 10**11, 4096), (3 * 10**11, 4096), (10**11, 32_768))
    ]
    feed = Feed(tokens, Plan(tuple(phases)), 0)
    feed.arrays(LATE, range(0, 64))
    print(json.dumps({"wall_s": time.perf_counter() - began, "tokens": feed.sources["a"].stream.tokens}))


def starts(folder: Path) -> dict[str, Any]:
    """Row on the median of five starts."""
    command = [sys.executable, "-m", "benchmarks.feed", str(large(folder / "large"))]
    runs = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True) for _ in range(5)]
    walls = sorted(json.loads(run.stdout)["wall_s"] for run in runs)
    row = compared("start on 1e12 tokens, 1e9 documents, to the first batch, wall s", "< 1 s", walls[2])
    return {**row, "met": walls[2] < 1, "all_wall_s": [round(wall, 3) for wall in walls]}


def mixture() -> list[dict[str, Any]]:
    """Rows on exactness and on the dealing."""
    weights = {f"d{i:02d}": 1.25**-i for i in range(30)}
    phase, steps = Phase(10**9, weights, 1, 512), 20_000
    share = phase.schedule.counts / phase.schedule.period
    rows = np.arange(1, steps + 1)[:, None] * phase.rows

    def worst(domain: np.ndarray) -> float:
        had = np.stack([(domain.reshape(steps, -1) == i).sum(1).cumsum() for i in range(len(share))], axis=1)
        return float(np.abs(had - rows * share).max())

    mine = worst(phase.schedule.domain(np.arange(steps * phase.rows)))
    drawn = worst(np.random.default_rng(0).choice(len(share), steps * phase.rows, p=share))
    row = compared("rows a domain is off at worst, 30 domains, 20,000 steps of 512 rows", "< 1", mine, "random", drawn)
    made = [{**row, "met": mine < 1}]
    for domains in (10, 100):
        deal.cache_clear()
        began = time.process_time()
        _ = Schedule(quotas({f"d{i}": 1.0 + i for i in range(domains)})).table
        made.append(
            {**compared(f"deal 65,536 rows to {domains} domains, s", "", time.process_time() - began), "met": None}
        )
    return made


def ledgers(folder: Path) -> dict[str, Any]:
    """Row on the ledger's speed, on the shards ``speeds`` made."""
    feed = Feed(open_tokens(folder / "1000"), Plan((Phase(10**12, {"a": 1}, 4096, BATCH),)), 0)
    began = time.process_time()
    ledger(feed, range(4))
    seconds = time.process_time() - began
    return {**compared("ledger, documents of 1,000 tokens", "", 4 * BATCH / seconds / 1e6, unit="M tok/s"), "met": None}


def main() -> None:
    """Measure, print and save."""
    with tempfile.TemporaryDirectory() as name:
        rows, told = speeds(Path(name))
        save("feed", [*rows, starts(Path(name)), *mixture(), ledgers(Path(name)), *told], ["numpy", "pyarrow"])


if __name__ == "__main__":
    start(Path(sys.argv[1])) if len(sys.argv) > 1 else main()
