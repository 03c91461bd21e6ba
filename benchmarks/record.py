"""Measure one call and save rows of a benchmark beside the machine, the commit and the versions."""

import json
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
DATA = ROOT.parent / "shared" / "data"


def cpu_model() -> str:
    """Name of the processor, nothing else of the machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def commit() -> str:
    """Short hash of the checkout, with + where files differ from it."""
    run = ["git", "-C", str(ROOT)]
    head = subprocess.run([*run, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run([*run, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False)
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def cpu_seconds(call: Callable[[], Any], repeats: int = 5) -> tuple[float, Any]:
    """(median CPU seconds of this process over repeats warm calls, last result); one more call warms up."""
    call()
    times, result = [], None
    for _ in range(repeats):
        start = time.process_time()
        result = call()
        times.append(time.process_time() - start)
    return sorted(times)[len(times) // 2], result


def save(name: str, rows: Sequence[dict[str, Any]], libraries: Sequence[str]) -> Path:
    """Write benchmarks/results/NAME.json."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    content = {
        "benchmark": name,
        "date": date.today().isoformat(),
        "machine": cpu_model(),
        "commit": commit(),
        "versions": {"python": platform.python_version(), **{library: version(library) for library in libraries}},
        "rows": list(rows),
    }
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return path
