"""Same bytes: one worker, two workers, Ray, and a run killed twenty times at random moments.

    python -m benchmarks.determinism PAGES.warc.gz [--kills 20] [--no-ray]

Runs the recipe below with small tasks, so that there is much to interrupt, and compares every public file but
run.json and the report (which shows the machine's times).
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

from benchmarks.record import save

RECIPE = """
[[source]]
use = "sources.warc"
domain = "web"
paths = ["{path}"]
[[stage]]
use = "extract.fast"
[[stage]]
use = "normalize.width"
[[stage]]
use = "normalize.whitespace"
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
[[stage]]
use = "redact.pii"
"""
TASK_BYTES = 6_000_000


def digest(out: Path) -> str:
    """One digest over every file the promise covers."""
    skip = {"run.json", "report.html", "report.json"}
    whole = sha256()
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        name = path.relative_to(out)
        if name.parts[0] != "work" and name.name not in skip:
            whole.update(str(name).encode() + b"\0" + sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def command(recipe: Path, out: Path, *words: str) -> list[str]:
    """The command of one run."""
    jacorpus = str(Path(sys.executable).parent / "jacorpus")
    return [
        jacorpus,
        "corpus",
        "run",
        str(recipe),
        "--out",
        str(out),
        "-q",
        "--set",
        f"task_bytes={TASK_BYTES}",
        *words,
    ]


def killed(recipe: Path, out: Path, kills: int, longest_s: float) -> int:
    """Kill the run (or only its coordinator) at random until it was killed so often; how often it got through."""
    chance, through = random.Random(20), 0
    while kills:
        process = subprocess.Popen(command(recipe, out), stdout=subprocess.DEVNULL, start_new_session=True)
        time.sleep(chance.uniform(0.3, longest_s))
        if process.poll() is not None:
            through += 1
            shutil.rmtree(out / "work" / "done", ignore_errors=True)
            continue
        kill = os.killpg if chance.random() < 0.5 else os.kill
        kill(process.pid, signal.SIGKILL)
        process.wait()
        kills -= 1
    subprocess.run(command(recipe, out), check=True, stdout=subprocess.DEVNULL)
    return through


def main() -> None:
    """Run all, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--no-ray", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        recipe = folder / "recipe.toml"
        recipe.write_text(RECIPE.format(path=options.path.resolve()), "utf-8")
        ways = {"1 worker": ["-w", "1"], "2 workers": ["-w", "2"]}
        if not options.no_ray:
            ways["ray, 2 workers"] = ["-w", "2", "--engine", "ray"]
        rows, longest_s = [], 5.0
        for way, words in ways.items():
            out = folder / way.replace(" ", "-")
            start = time.monotonic()
            subprocess.run(command(recipe, out, *words), check=True, stdout=subprocess.DEVNULL)
            longest_s = time.monotonic() - start if way == "2 workers" else longest_s
            rows.append({"way": way, "digest": digest(out)})
        through = killed(recipe, folder / "killed", options.kills, longest_s)
        rows.append(
            {
                "way": f"killed {options.kills} times at random",
                "digest": digest(folder / "killed"),
                "got_through": through,
            }
        )
    for row in rows:
        row["equal"] = row["digest"] == rows[0]["digest"]
        print(row)
    save("determinism", rows, ["pyarrow", "numba", "polars"])


if __name__ == "__main__":
    main()
