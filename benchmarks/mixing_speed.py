"""How long a mixture takes: tables, one mixture, a solve under limits, a whole `mix optimize`, DoReMi on six domains.

``python -m benchmarks.mixing_speed [FOLDER]`` builds token shards there (mixing_domains.py) and saves
results/mixing_speed.json. One process, one thread; CPU seconds, and wall seconds beside them.
"""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.mixing_domains import token_folder
from benchmarks.record import DATA, save
from cli.mix.gather import Task
from mixing.objective import Objective
from mixing.solve import solve

WISHES: dict[str, Any] = {
    "target": {"ja": 1.0},
    "languages": {"ja": [0.2, 0.5]},
    "types": {"manuals": [0.2, 0.7]},
    "keep": {"en": 0.02},
    "epochs": 4,
}


def timed(what: str, bar: str, call: Callable[[], Any], repeats: int = 1) -> tuple[dict[str, Any], Any]:
    """A row with the medians of both clocks."""
    cpu, wall, found = [], [], None
    for _ in range(repeats):
        began, started = time.process_time(), time.perf_counter()
        found = call()
        cpu.append(time.process_time() - began)
        wall.append(time.perf_counter() - started)
    row = {"what": what, "bar": bar, "cpu_s": sorted(cpu)[repeats // 2], "wall_s": sorted(wall)[repeats // 2]}
    print(f"{what}: {row['cpu_s']:.4f} CPU s, {row['wall_s']:.4f} s; bar {bar}", flush=True)
    return row, found


def measured(tokens: Path, out: Path) -> list[dict[str, Any]]:
    """All rows."""
    task = Task.of({"mixing": WISHES, "train": {"tokens": 2_000_000}}, tokens, out)
    shutil.rmtree(out, ignore_errors=True)
    task.tables()  # kernels compiled
    shutil.rmtree(out, ignore_errors=True)
    row, tables = timed("count tables, 6 domains x 1M tokens, 180k events", "10 s", task.tables)
    rows, prior = [row], task.problem.prior
    for mixing in ("counts", "predictions"):
        surrogate = tables.surrogate(mixing)
        surrogate.gradient(prior)
        what = f"{mixing}: loss and gradient of a mixture, 180k events"
        rows.append(timed(what, "15 ms", lambda s=surrogate: s.gradient(prior), 21)[0])
        what = f"{mixing}: solve under bounds, marginals, epoch caps and a kept loss"
        row, found = timed(what, "3 s", lambda s=surrogate: solve(Objective.of(task.problem, s)), 3)
        rows.append({**row, "gap_bits_per_byte": found.gap, "violation": task.problem.limits.violation(found.weights)})
    shutil.rmtree(out, ignore_errors=True)
    rows.append(timed("mix optimize: all of it, bootstrap and report", "-", task.run)[0])
    doremi = {"method": "doremi", "seeds": 3}
    steered = Task.of({"mixing": doremi, "train": {"tokens": 2_000_000}}, tokens, out)
    row, result = timed("mix optimize with DoReMi, 6 domains, 3 seeds, 18 references", "15 min", steered.run)
    facts = {key: value for key, value in result.chosen.answer.facts.items() if isinstance(value, int | float | str)}
    rows.append({**row, "spread_l1": result.chosen.spread, **facts})
    return rows


def main() -> int:
    """Measure and save."""
    if not DATA.is_dir():
        print("mixing_speed needs the real data, which is not here", file=sys.stderr)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(scratch)
        rows = measured(token_folder(work), Path(scratch) / "mixture")
    save("mixing_speed", rows, ["numpy", "scipy", "torch"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
