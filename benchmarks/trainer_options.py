"""What each option of a model or a training is worth at toy scale: ``python -m benchmarks.trainer_options [FOLDER]``.

A hybrid of 0.9 M parameters ([mamba, window], vocabulary 4,096) trains on 197 k tokens of Japanese novels and manuals,
once with the defaults and once with each option changed, from the same seeds: the same start, the same batches. Judged
by bits per byte on works held out whole, both domains together. FOLDER keeps corpus, tokenizer and runs; what is
finished there is not run again. About 16 minutes of one core.

A difference is the mean over seeds of (option - default of the same seed). Its noise is pooled over all options: the
standard deviation of such a difference between seeds, over the root of the number of seeds. What lies within three of
it of 0 is no clear difference.
"""

import math
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.japanese_tokens import japanese_tokens
from benchmarks.record import save
from tokenizer_lab.tokens import Tokens
from trainer.pretrain import Pretraining

SEEDS = (1, 2)
MORE_SEEDS = (3, 4)
"""Of the defaults alone: how far seeds lie apart."""

REFERENCE_SEED = 11
CLEAR = 3.0

MODEL = {"layers": ["mamba", "window"], "d_model": 128, "d_ff": 256, "head_dim": 32, "window": 128}
MODEL |= {"d_state": 16, "dt_rank": 16}
TRAIN = {
    **{"tokens": 196_608, "batch_tokens": 1024, "seq_len": 256, "lr": 4e-3, "warmup": 0.05, "precision": "bf16"},
    **{"checkpoint_every": 1000, "keep": 1, "tensorboard": False, "threads": 1, "eval_tokens": 40_960},
}

OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "no z-loss": {"train": {"z_loss": 0.0}},
    "z-loss 1e-3": {"train": {"z_loss": 1e-3}},
    "QK-norm shared by heads": {"model": {"qk_norm": "shared"}},
    "no QK-norm": {"model": {"qk_norm": "none"}},
    "4 key/value heads (no GQA)": {"model": {"kv_heads": 4}},
    "GELU, as many weights": {"model": {"mlp": "gelu", "d_ff": 384}},
    "no RoPE": {"model": {"rope_base": 0}},
    "selective loss, 60 %": {"train": {"select": {"reference": "", "ratio": 0.6}}},
    "Muon": {"train": {"optimizer": "muon"}},
    "length warm-up, half": {"train": {"length_warmup_tokens": 98_304}},
    "cosine": {"train": {"schedule": "cosine"}},
}
"""What differs from the defaults. An empty reference stands for a model trained with them from another seed."""


class Silent:
    def update(self, row: dict[str, Any]) -> None: ...

    def say(self, line: str) -> None: ...


def run(tokens: Tokens, folder: Path, name: str, seed: int) -> dict[str, Any]:
    """One run's bits per byte and CPU seconds. A folder's name is what differs."""
    change = OPTIONS.get(name, {})
    train = {**TRAIN, **change.get("train", {}), "seed": seed}
    if "select" in train:
        train["select"] = {**train["select"], "reference": str(folder / f"default-{REFERENCE_SEED}")}
    tables = {"model": {**MODEL, **change.get("model", {})}, "mixing": {"weights": {"novels": 1, "manuals": 1}}}
    began = time.process_time()
    place = folder / f"{''.join(c if c.isalnum() else '_' for c in name)}-{seed}"
    made = Pretraining({**tables, "train": train}, tokens.folder, place).run(Silent())
    bits = {row["domain"] or "all": row["bits_per_byte"] for row in made["valid"]}
    seconds = time.process_time() - began
    print(f"{name:28} seed {seed}  {bits['all']:.4f} bits per byte  {seconds:.0f} s", flush=True)
    return {"seed": seed, "parameters": made["parameters"], "bits_per_byte": bits, "cpu_s": round(seconds, 1)}


def judged(defaults: dict[int, float], found: dict[str, dict[int, float]]) -> list[dict[str, Any]]:
    """Each option's difference and whether it is clear."""
    differences = {name: [runs[seed] - defaults[seed] for seed in SEEDS] for name, runs in found.items()}
    variance = statistics.fmean(statistics.variance(values) for values in differences.values())
    error = math.sqrt(variance / len(SEEDS))
    rows = []
    for name, values in differences.items():
        mean = statistics.fmean(values)
        clear = abs(mean) > CLEAR * error
        verdict = ("worse" if mean > 0 else "better") if clear else "no clear difference"
        rows.append({"option": name, "difference": mean, "by_seed": values, "error": error, "verdict": verdict})
    return rows


def main(folder: Path) -> None:
    tokens = japanese_tokens(folder)
    defaults = {seed: run(tokens, folder, "default", seed) for seed in (*SEEDS, *MORE_SEEDS, REFERENCE_SEED)}
    runs = {name: {seed: run(tokens, folder, name, seed) for seed in SEEDS} for name in OPTIONS}
    base = {seed: made["bits_per_byte"]["all"] for seed, made in defaults.items()}
    found = {n: {seed: made["bits_per_byte"]["all"] for seed, made in each.items()} for n, each in runs.items()}
    rows: list[dict[str, Any]] = [
        {"defaults": list(defaults.values()), "mean": statistics.fmean(base.values())}
        | {"standard_deviation_of_seeds": statistics.stdev(base.values()), "model": MODEL, "train": TRAIN}
    ]
    for row in judged(base, found):
        rows.append({**row, "change": OPTIONS[row["option"]], "runs": list(runs[row["option"]].values())})
        print(f"{row['option']:28} {row['difference']:+.4f} +- {row['error']:.4f}  {row['verdict']}")
    print(save("trainer_options", rows, ["torch"]))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch))
