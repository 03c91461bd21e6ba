"""Scoring pfgen-bench beside its own script: the same figures, and answers a CPU second.

Wants JACORPUS_PFGEN, the folder of a copy of pfnet-research/pfgen-bench (data/, result/, pfgen_eval.py). Both build
the n-gram counts of all reference answers and score all stored answers of two models; reading files counts for both.
The script runs in a folder of its own and its processes' CPU time is summed.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.beside import compared
from benchmarks.record import save

STORED = ("plamo-2-1b/1aae975", "plamo-2-8b/f5b6a4d")
FASTER = 10


def ours(folder: Path, trials: Path) -> dict[str, Any]:
    """Score, answers and CPU seconds of this process."""
    from trainer.evaluate.items import mean_interval
    from trainer.evaluate.pfgen import pfgen_answers, read_given, read_questions

    start = time.process_time()
    answers = pfgen_answers(read_questions(folder / "data"), read_given(trials))
    seconds = time.process_time() - start
    return {"score": mean_interval(answers).value, "answers": len(answers.items), "cpu_s": seconds}


def original(folder: Path, trials: Path) -> dict[str, Any]:
    """The same of the script and its worker processes."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        (place / "data").symlink_to((folder / "data").resolve())
        (place / "one").mkdir()
        shutil.copy(trials, place / "one" / "trials.jsonl.xz")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, str((folder / "pfgen_eval.py").resolve()), "one/trials.jsonl.xz"]
        subprocess.run(command, cwd=place, check=True, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        score = json.loads((place / "one" / "result.json").read_text("utf-8"))["score"]
    return {"score": score, "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def main() -> None:
    """Measure and save."""
    named = os.environ.get("JACORPUS_PFGEN")
    if not named:
        print("left out: JACORPUS_PFGEN names no copy of pfgen-bench", file=sys.stderr)
        return
    folder, rows = Path(named), []
    for stored in STORED:
        trials = folder / "result" / "pfnet" / stored / "trials.jsonl.xz"
        first, theirs, second = ours(folder, trials), original(folder, trials), ours(folder, trials)
        count, seconds = first["answers"], (first["cpu_s"] + second["cpu_s"]) / 2
        name = stored.partition("/")[0]
        rows.append(
            compared(
                f"pfgen-bench, {count:,} answers of {name}: answers a CPU second",
                f">= {FASTER} x its own script, equal to 4 decimals",
                count / seconds,
                "pfgen_eval.py",
                count / theirs["cpu_s"],
                FASTER,
                score=round(first["score"], 6),
                their_score=theirs["score"],
            )
        )
        rows[-1]["met"] &= round(first["score"], 4) == theirs["score"]
    save("pfgen_scoring", rows, ["numpy"])


if __name__ == "__main__":
    main()
