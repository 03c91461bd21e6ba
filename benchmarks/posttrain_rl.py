"""Reinforcement learning on tasks that must be solved, through the stages themselves; twins that must not solve them.

``python -m benchmarks.posttrain_rl [SEEDS]``

A hybrid of two layers, width 64. One-digit sums: supervised on labels of which half are wrong, then 120 cycles of 128
answers. GRPO and PPO must come to 0.93 of sampled answers, every seed; with rewards dealt out to other answers of the
batch nothing may be learned. One exact string, 10 letters of 4, 19,200 episodes of PPO: with restarts from
parts of the reference (DR-PO) it must be found, without them never. And the gap between the sampler's log-probs and
those of the pass that trains, beside log-probs of the plain softmax. One core; no data.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.record import save
from tests.trainer.opened_model import random_model
from tests.trainer.posttrain import toys
from trainer.posttrain.grpo import AGGREGATED, Grpo
from trainer.posttrain.logprobs import token_logps
from trainer.posttrain.ppo import Ppo
from trainer.posttrain.rewarding import Answer
from trainer.posttrain.rollout import draw, trainer_logps
from trainer.posttrain.sequences import padded
from trainer.sampling import Sampling

SHUFFLED = {"shuffled": {"use": "tests.trainer.posttrain.toys:Shuffled"}}
LEARNED, NOT = 0.93, 0.6
FOUND, NEVER = 0.99, 0.05


def sums(folder: Path, seed: int) -> dict[str, float]:
    """Accuracy of sampled answers to all sums, by method."""
    start, prompts = toys.taught_sums(folder, seed), toys.sum_prompts(folder)
    common: dict[str, Any] = {"prompts": (prompts,), "max_tokens": 3, "seq_len": 64, "lr": 5e-4, "beta": 0.04}
    common |= {"cycles": 120, "seed": seed, "sampler_rows": 128, "checkpoint_every": 10_000}
    exact: dict[str, Any] = {"exact": 1.0}
    stages: dict[str, Grpo | Ppo] = {"grpo": Grpo(**common, rewards=exact, rows=16, draws=8)}
    stages["ppo"] = Ppo(**common, rewards=exact, rows=128)
    stages["shuffled"] = Grpo(**common, rewards=SHUFFLED, rows=16, draws=8)
    if seed == 0:
        own = common | {"beta": -1.0}  # each variant's own
        others = [name for name in AGGREGATED if name != "grpo"]
        stages |= {n: Grpo(**own, rewards=exact, rows=16, draws=8, variant=n) for n in others}
    found = {"sft": toys.accuracy(start, toys.sums(), 20)}
    for name, stage in stages.items():
        stage.run(toys.context(start, folder / name))
        found[name] = toys.accuracy(folder / name, toys.sums(), 20)
    return found


def gaps() -> dict[str, dict[str, float]]:
    """Sampler against trainer, float32: largest and mean difference of log-probs, and the mean of the plain softmax."""
    model, generator, found = random_model(64, scale=4), np.random.default_rng(0), {}
    prompts = [generator.integers(4, 64, generator.integers(2, 12)).tolist() for _ in range(512)]
    for name, options in (("plain", {}), ("top_p 0.9", {"top_p": 0.9}), ("top_k 8", {"top_k": 8})):
        sampling = Sampling(max_tokens=24, stop_ids=(3,), **options)
        drawn = draw(model, prompts, [str(i) for i in range(len(prompts))], sampling, 64)
        ids = [np.array([*p, *d.ids]) for p, d in zip(prompts, drawn, strict=True)]
        batch = padded([Answer(i, np.arange(len(i)) >= len(p)) for i, p in zip(ids, prompts, strict=True)])
        own = torch.cat([torch.from_numpy(each.logp) for each in drawn])
        mask_BT = batch.weight_BT > 0
        with torch.no_grad():
            apart = trainer_logps(model, batch, sampling)[mask_BT] - own
            plain = token_logps(model, batch)[mask_BT] - own
        found[name] = {"tokens": len(own), "max": apart.abs().max().item(), "mean": apart.mean().item()}
        found[name]["plain_mean"] = plain.mean().item()
    return found


class Found(dict[str, list[float]]):
    """What each seed gave, by what was tried."""


def measured(seed: int, work: Callable[[Path, int], dict[Any, float]], found: Found) -> None:
    """Add what a seed gives."""
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        numbers = {str(key): value for key, value in work(Path(folder), seed).items()}
    print(json.dumps({"seed": seed, "cpu_s": round(time.process_time() - start, 1), **numbers}), flush=True)
    for key, value in numbers.items():
        found.setdefault(key, []).append(value)


def row(what: str, bar: str, ours: float, twin: str, theirs: float, met: bool) -> dict[str, Any]:
    """A row of the summary."""
    shown = {"ours": f"{ours:.3g}", "rival": f"wrong: {twin}", "theirs": f"{theirs:.3g}"}
    return {"what": what, "bar": bar, **shown, "ratio": None, "met": met}


def strings(folder: Path, seed: int) -> dict[float, float]:
    """Success by the share of restarts; half of them on the first seed alone."""
    return toys.string_found(folder, seed, (0.0, 0.5, 1.0) if seed == 0 else (0.0, 1.0))


def table(learned: Found, found: Found, apart: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """Rows of what was measured so far."""
    rows = []
    control = max(learned["shuffled"])
    for name in ("grpo", "ppo", *(name for name in AGGREGATED if name != "grpo")):
        worst, seeds = min(learned[name]), len(learned[name])
        what = f"{name}: sampled accuracy, worst of {seeds} seeds"
        met = worst >= LEARNED and control <= NOT
        rows.append(row(what, f">= {LEARNED}", worst, "rewards shuffled", control, met))
    for share in ("1.0", "0.5") if found else ():
        worst, seeds, never = min(found[share]), len(found[share]), max(found["0.0"])
        what = f"DR-PO, restart {share}: exact string, worst of {seeds} seeds"
        rows.append(row(what, f">= {FOUND}", worst, "no restarts (PPO)", never, worst >= FOUND and never <= NEVER))
    for name, numbers in apart.items():
        what, met = f"sampler against trainer, {name}: largest gap", numbers["max"] <= 1e-5
        met = met and abs(numbers["mean"]) <= 1e-3
        rows.append(row(what, "<= 1e-5", numbers["max"], "plain softmax, mean", numbers["plain_mean"], met))
    details: list[dict[str, Any]] = [{"accuracy": learned}, {"string": found}, {"gaps": apart}]
    return rows + details


def main(seeds: int = 5) -> int:
    """Run and save, after every seed; 1 where a bar was missed or a twin passed."""
    torch.set_num_threads(1)
    apart, learned, found = gaps(), Found(), Found()
    for seed in range(seeds):
        measured(seed, sums, learned)
        rows = table(learned, found, apart)
        save("posttrain_rl", rows, ["torch"])
    for seed in range(seeds):
        measured(seed, strings, found)
        rows = table(learned, found, apart)
        save("posttrain_rl", rows, ["torch"])
    missed = [each["what"] for each in rows if not each.get("met", True)]
    if missed:
        print(f"missed: {'; '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
