"""Peak memory of a run over generated input: ``python -m benchmarks.memory [GB]``.

JSONL of about 6 kB a document, each made of lines drawn from real works, a tenth with a copy; through language,
the default profile, exact and near-duplicates, with two workers. VmHWM (peak RSS, mapped files included) of the
command's process and of each of its children is read from /proc twice a second. Needs about 15 GB of disk, under
TMPDIR, and frees it.
"""

import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import orjson
import zstandard

from benchmarks.beside import compared
from benchmarks.record import DATA, save

GIGABYTES, WORKERS, BAR_MB, FILES = 5.2, 2, 1000, 4
RECIPE = """name = "memory"
[[source]]
use = "sources.jsonl"
domain = "web"
paths = ["in/*.jsonl"]
[[stage]]
use = "language.detect"
keep = ["ja"]
[[stage]]
use = "rules.profile"
profile = "default"
[[stage]]
use = "dedup.exact"
[[stage]]
use = "dedup.minhash"
"""


def passages() -> list[bytes]:
    """Lines of works with 40 to 400 characters, as they stand inside of a JSON string."""
    found: list[bytes] = []
    with zstandard.open(DATA / "ja" / "aozora.jsonl.zst", "rt", encoding="utf-8", newline="\n") as lines:
        for line in lines:
            parts = orjson.loads(line)["text"].split("\n")
            found += [orjson.dumps(part)[1:-1] for part in parts if 40 <= len(part) <= 400]
            if len(found) > 200_000:
                return found
    return found


def generate(folder: Path, gigabytes: float) -> int:
    """Write the input; returns its documents."""
    draw, source, count = random.Random(1), passages(), 0
    folder.mkdir()
    for i in range(FILES):
        size, earlier = 0.0, b""
        with (folder / f"part-{i}.jsonl").open("wb", buffering=1 << 20) as file:
            while size < gigabytes * 1e9 / FILES:
                copied = draw.random() < 0.1 and earlier
                text = earlier if copied else b"\\n".join(draw.choices(source, k=draw.randint(4, 30)))
                size += file.write(b'{"text": "' + text + b'"}\n')
                earlier, count = text, count + 1
    return count


class Watch(threading.Thread):
    """Reads peak memory of a process and its descendants until it ends."""

    def __init__(self, process: "subprocess.Popen[Any]") -> None:
        super().__init__(daemon=True)
        self.process = process
        self.peaks: dict[int, int] = {}
        self.anonymous: dict[int, int] = {}

    def run(self) -> None:
        while self.process.poll() is None:
            for pid in self._family(self.process.pid):
                self._look(pid)
            time.sleep(0.5)

    def _family(self, pid: int) -> list[int]:
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            return []
        return [pid, *(one for child in children for one in self._family(int(child)))]

    def _look(self, pid: int) -> None:
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            return
        facts = {name: value for name, _, value in (line.partition(":") for line in lines)}
        if "VmHWM" in facts:
            self.peaks[pid] = max(self.peaks.get(pid, 0), int(facts["VmHWM"].split()[0]) >> 10)
            self.anonymous[pid] = max(self.anonymous.get(pid, 0), int(facts["RssAnon"].split()[0]) >> 10)


def watched(folder: Path) -> dict[str, Any]:
    """The run: peak MB of the coordinator and of each worker, seconds, what it printed about memory, counts."""
    (folder / "recipe.toml").write_text(RECIPE)
    command = [sys.executable, "-c", "from cli.main import main; main()", "corpus", "run", str(folder / "recipe.toml")]
    command += ["--out", str(folder / "out"), "--workers", str(WORKERS)]
    start = time.monotonic()
    with (folder / "said.txt").open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        watch = Watch(process)
        watch.start()
        if process.wait():
            raise RuntimeError((folder / "said.txt").read_text()[-3000:])
    watch.join()
    printed = [line for line in (folder / "said.txt").read_text().splitlines() if "MB" in line or "MiB" in line]
    # Helpers of multiprocessing (a resource tracker) are children too, but small.
    workers = {pid: mb for pid, mb in watch.peaks.items() if pid != process.pid and mb > 60}
    return {
        "coordinator_mb": watch.peaks[process.pid],
        "coordinator_anonymous_mb": watch.anonymous[process.pid],
        "workers_mb": sorted(workers.values(), reverse=True),
        "workers_anonymous_mb": sorted((watch.anonymous[pid] for pid in workers), reverse=True),
        "wall_s": round(time.monotonic() - start),
        "printed": [line.strip() for line in printed][:20],
        "counts": json.loads((folder / "out" / "manifest.json").read_bytes())["counts"],
        "out_bytes": sum(path.stat().st_size for path in (folder / "out").rglob("*") if path.is_file()),
    }


def main(gigabytes: float) -> None:
    """Generate, run, save."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        documents = generate(folder / "in", gigabytes)
        size = sum(path.stat().st_size for path in (folder / "in").iterdir())
        facts = watched(folder)
    what = f"peak RSS of a worker, {size / 1e9:.1f} GB of JSONL"
    row = {**compared(what, f"<= {BAR_MB:,} MB", facts["workers_mb"][0], unit="MB")}
    row["met"] = facts["workers_mb"][0] <= BAR_MB
    coordinator = {**compared("peak RSS of the coordinator, same run", "", facts["coordinator_mb"], unit="MB")}
    save("memory", [row, {**coordinator, "met": None}, {"documents": documents, "bytes": size, **facts}], ["pyarrow"])
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else GIGABYTES)
