"""What the drivers of rivals share: inputs, CPU seconds, one line of JSON on standard output.

A driver is a program ``NAME.py INPUT [--option value ...]`` that runs under the rivals' own interpreter. It warms
up on a small part of its input (models and dictionaries are loaded there), then measures one pass.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any


def cpu_s() -> float:
    """CPU seconds of this process and of its children that have ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def documents(path: str) -> list[dict[str, Any]]:
    """Rows of a JSONL file."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def measured(call: Callable[[], Any]) -> tuple[float, float, Any]:
    """(CPU seconds, wall seconds, result) of one call."""
    wall, start = time.perf_counter(), cpu_s()
    result = call()
    return cpu_s() - start, time.perf_counter() - wall, result


def say(libraries: list[str], cpu: float, wall: float, **facts: Any) -> None:
    """The driver's answer."""
    versions = {"python": sys.version.split()[0], **{name: version(name) for name in libraries}}
    print(json.dumps({"cpu_s": cpu, "wall_s": wall, **facts, "versions": versions}, ensure_ascii=False))
