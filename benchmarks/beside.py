"""Ours and its rivals in turns, so that both meet the same neighbors on a shared machine.

CPU seconds, not wall time; the median of a few rounds, each of which calls everybody once. Rivals of another
environment are programs under benchmarks/rivals/, run by the interpreter of .venv-peers.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.record import ROOT

PEERS = ROOT / ".venv-peers" / "bin" / "python"
ROUNDS = 3
SHORT_S, SHORT_RUNS = 0.7, 5
Call = Callable[[], dict[str, Any]]
"""Runs once; the answer holds at least ``cpu_s``."""


def driver(name: str, *arguments: object) -> Call:
    """A call of benchmarks/rivals/NAME.py, which warms up by itself."""
    command = [str(PEERS), str(ROOT / "benchmarks" / "rivals" / f"{name}.py"), *map(str, arguments)]

    def call() -> dict[str, Any]:
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{run.stderr[-3000:]}")
        answer: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
        return answer

    return call


def here(call: Callable[[], Any]) -> Call:
    """A call of this process, warmed up now.

    A short one is called a few times in its turn and answers with the median, for the first call after others pays
    for memory that they gave back to the system.
    """
    call()

    def timed() -> dict[str, Any]:
        runs: list[tuple[float, Any]] = []
        while not runs or (len(runs) < SHORT_RUNS and runs[0][0] < SHORT_S):
            start = time.process_time()
            result = call()
            runs.append((time.process_time() - start, result))
        return {"cpu_s": median(seconds for seconds, _ in runs), "result": runs[-1][1]}

    return timed


def in_turns(calls: dict[str, Call], rounds: int = ROUNDS) -> dict[str, dict[str, Any]]:
    """Each call's last answer, ``cpu_s`` replaced by the median and every value kept as ``all_cpu_s``."""
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in calls}
    for turn in range(rounds):
        for name, call in calls.items():
            answers[name].append(call())
            print(f"  round {turn + 1}: {name}: {answers[name][-1]['cpu_s']:.3f} s", file=sys.stderr, flush=True)
    found = {}
    for name, each in answers.items():
        seconds = [answer["cpu_s"] for answer in each]
        found[name] = {**each[-1], "cpu_s": median(seconds), "all_cpu_s": [round(s, 4) for s in seconds]}
    return found


def compared(
    what: str,
    bar: str,
    ours: float,
    rival: str | None = None,
    theirs: float | None = None,
    least: float = 0,
    **more: Any,
) -> dict[str, Any]:
    """A row of the summary. least: the smallest ratio, or without a rival the smallest value, that meets the bar."""
    ratio = ours / theirs if theirs else None
    row = {"what": what, "bar": bar, "ours": round(ours, 2), "rival": rival}
    row |= {"theirs": round(theirs, 3) if theirs else None, "ratio": round(ratio, 2) if ratio else None}
    row |= {"met": bool((ours if ratio is None else ratio) >= least), **more}
    print(json.dumps(row, ensure_ascii=False), flush=True)
    return row


def facts(answers: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What each one answered, as rows without a bar; of results only counts."""
    made = []
    for name, answer in answers.items():
        plain = {k: v for k, v in answer.items() if k != "result" or isinstance(v, (int, dict))}
        made.append({"who": name, **plain})
    return made


def need_peers() -> None:
    """Raise SystemExit where the rivals are not installed."""
    if not Path(PEERS).exists():
        raise SystemExit("the rivals are not installed: make bench-peers")
