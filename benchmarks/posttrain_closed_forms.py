"""Post-training methods against closed forms, each beside a twin that must fail.

``python -m benchmarks.posttrain_closed_forms``

Every method of ``trainer/losses``, ``trainer/decoding``, ``trainer.spectral`` and the selective loss of
``trainer.objective`` with a known answer: the optimum over 32 points, a gradient, a table by hand, a chain under noise
(benchmarks/closed_forms). A row has the number reached, its bar, and the same
number of a plausible wrong writing of the method (``rival``), which must miss the bar by far: a check that the twin
would pass proves nothing. float64, one core, no data, under a minute.

TRL 1.16 fed with scaled references gave an H-DPO loss of 0.654462695 where ours gives 0.654462636 (0.718194604 and
0.718194544 without alpha), measured once in an environment of its own; ``hdpo_oracle`` is the same identity in ours.
"""

import json
import sys
import time

import torch

from benchmarks.closed_forms import decoding, loops, pairs, policy, selective, spectral
from benchmarks.record import save


def main() -> int:
    """Run and save; 1 where a bar was missed or a twin passed."""
    torch.set_num_threads(1)
    table, details, missed = [], [], []
    for part in (pairs, loops, policy, decoding, selective, spectral):
        for check in part.CHECKS:
            start = time.process_time()
            found = check()
            seconds = time.process_time() - start
            row = {"what": found.what, "bar": f"<= {found.bound:g}", "ours": f"{found.value:.3g}"}
            row |= {"rival": f"wrong: {found.twin}", "theirs": f"{found.negative:.3g}"}
            table.append({**row, "ratio": None, "met": found.met})
            numbers = {"value": found.value, "bound": found.bound}
            numbers |= {"negative": found.negative, "negative_bound": found.negative_bound}
            about = {"check": check.__name__, "source": found.source, "cpu_s": round(seconds, 2)}
            details.append({**about, **numbers, **found.more})
            print(json.dumps(table[-1], ensure_ascii=False), flush=True)
            missed += [] if found.met else [check.__name__]
    print(save("posttrain_closed_forms", table + details, ["torch"]))
    if missed:
        print(f"missed: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
