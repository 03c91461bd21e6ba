"""All benchmarks, or those named: ``python -m benchmarks.run [NAME ...]``, which is ``make bench``.

Each is a module of this folder that saves results/NAME.json. Those that need the rivals' environment
(``make bench-peers``) or the real data are named and left out where that is missing. Ends with results/SUMMARY.md.
"""

import subprocess
import sys
import time

from benchmarks.beside import PEERS
from benchmarks.record import DATA, ROOT
from benchmarks.summary import write_summary

WITH_PEERS = (
    "near_duplicates",
    "filters",
    "archive",
    "language",
    "unigram",
    "byte_bpe",
    "train_bpe",
    "train_unigram",
    "encode_corpus",
)
ALONE = (
    "nfkc",
    "what_if",
    "extract",
    "dedup_quality",
    "dedup",
    "signals",
    "normalize",
    "keywords",
    "sources",
    "redact",
    "decontaminate",
    "memory",
    "tokenizer_json",
    "hostile_lines",
    "extend",
    "transfer",
    "feed",
    "trainer_cpu",
    "trainer_options",
    "long_context",
    "mixing_oracles",
    "count_tables",
    "regmix",
    "mix_plan",
    "mixing_speed",
    "posttrain_closed_forms",
    "posttrain_rl",
    "posttrain_weight",
    "posttrain_recipe",
    "japanese_verifier",
    "prune_distill",
    "pfgen_scoring",
    "mixing_target",
    "gpu_kernels",
    "gpu_train",
)
ARGUMENTS = {"language": [str(PEERS)]}


def main(names: list[str]) -> int:
    """Run them one after another; 1 when one failed."""
    unknown = [name for name in names if name not in WITH_PEERS + ALONE]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; there are {', '.join(WITH_PEERS + ALONE)}", file=sys.stderr)
        return 2
    if not DATA.is_dir():
        print("the benchmarks need the real data, which is not here", file=sys.stderr)
        return 1
    failed = []
    for name in names or WITH_PEERS + ALONE:
        if name in WITH_PEERS and not PEERS.exists():
            print(f"{name}: left out, the rivals are not installed (make bench-peers)", file=sys.stderr)
            continue
        start = time.monotonic()
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *ARGUMENTS.get(name, [])], cwd=ROOT)
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
        if done.returncode:
            failed.append(name)
    print(write_summary())
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
