"""Does distillation bring back what pruning lost, with a tenth of the tokens? ``python -m benchmarks.prune_distill``.

A hybrid of 1.4 M parameters ([mamba, window] * 2, vocabulary 4,096) trains on Japanese novels and manuals: the teacher.
Half of its layers and half of the feed-forward units of the rest are pruned; then the rest trains on a tenth of the
teacher's tokens, all from the same batches:

    distilled        on the teacher's distributions, with some cross-entropy
    text alone       on the text, without the teacher
    from scratch     the same small model from random weights, on the text: what pruning was worth

Judged by the loss on works held out whole. ``recovered``: (pruned - trained) / (pruned - teacher); the aim is 0.9 for
the distilled one. Then each kind of pruning alone, keeping what matters most, least, or what a die says; and the
teacher in 8 and 4 bits, where torchao is there. A folder as argument keeps the runs. About 6 minutes of one core.
"""

import importlib.util
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.japanese_tokens import japanese_tokens
from benchmarks.record import DATA, save
from tokenizer_lab.tokens import Tokens
from trainer.distill import Distilling, DistillSettings
from trainer.held_out import HeldOutText
from trainer.importance import Importance, calibration, measure
from trainer.model import Model
from trainer.opened import open_model, save_model
from trainer.pretrain import Pretraining
from trainer.prune import Shares, prune
from trainer.quantize import save_quantized

TEACHER_TOKENS = 1_048_576
SHARES = {"layers": 0.5, "ffn": 0.5}
LOSS = {"temperature": 1.0, "ce": 0.5}
AIM = 0.9
LAYERS = {"layers": ["mamba", "window"], "repeat": 2, "d_model": 128, "d_ff": 384, "head_dim": 32, "window": 128}
MODEL = {**LAYERS, "d_state": 16, "dt_rank": 16}
TRAIN = {
    **{"batch_tokens": 1024, "seq_len": 256, "lr": 4e-3, "warmup": 0.05, "precision": "bf16", "tensorboard": False},
    **{"checkpoint_every": 2000, "keep": 1, "threads": 1, "eval_tokens": 40_960, "seed": 1},
}
AFTERWARDS = {
    **{**TRAIN, "batch_tokens": 256, "lr": 2.5e-3, "warmup": 0.1, "schedule": "linear"},
    **{"betas": [0.9, 0.98], "skip_spikes": False},
}
SEEDS = (2, 3)
"""Of what trains afterwards: the order of text, and the start from scratch. The settings were chosen with the first."""

MIXING = {"weights": {"novels": 1, "manuals": 1}}
ALONE = {"ffn": 0.5, "heads": 0.5, "mamba": 0.5, "hidden": 0.75, "layers": 0.5}
DICE = 4


class Silent:
    def update(self, row: dict[str, Any]) -> None: ...

    def say(self, line: str) -> None: ...


class Judge:
    """Held-out works, both domains together."""

    def __init__(self, tokens: Tokens) -> None:
        self.text = HeldOutText(tokens, list(tokens.domains), 256, 8, 40_960, None)

    def loss(self, model: Model) -> float:
        """Nats a token."""
        found = self.text.measured(model).values()
        return sum(each.loss * each.tokens for each in found) / sum(each.tokens for each in found)


def trained(what: str, folder: Path, judge: Judge, run: Any) -> dict[str, Any]:
    """One run, or what it left before."""
    kept, began, whole = folder / "row.json", time.process_time(), not (folder / "checkpoints").exists()
    made = run.run(Silent())
    if not kept.is_file():
        seconds = round(time.process_time() - began, 1) if whole else None  # of a run in several parts nobody knows
        loss = judge.loss(open_model(folder).model)
        facts = {key: made[key] for key in ("parameters", "tokens", "steps", "skipped")}
        kept.write_text(json.dumps({"model": what, **facts, "loss": loss, "cpu_s": seconds}))
    print(row := json.loads(kept.read_text()), flush=True)
    return row


def small_table(model: Model) -> dict[str, Any]:
    """[model] of a pruned model, to train it from scratch."""
    layers = model.config.layers
    sizes = {"d_ff": layers[0].d_ff, "mamba_heads": model.config.mamba_heads, "repeat": 1}
    return {**MODEL, **sizes, "layers": [layer.mixer for layer in layers]}


def afterwards(folder: Path, tokens: Tokens, small: Model, seed: int) -> dict[str, Pretraining]:
    """What trains on a tenth of the teacher's tokens."""
    amount = TEACHER_TOKENS // 10 // AFTERWARDS["batch_tokens"] * AFTERWARDS["batch_tokens"]
    tables = {"mixing": MIXING, "train": {**AFTERWARDS, "tokens": amount, "seed": seed}}
    out, teacher, pruned = (folder / name for name in (f"afterwards-{seed}", "teacher", "pruned"))
    loss = DistillSettings(**LOSS)
    found: dict[str, Pretraining] = {
        "distilled": Distilling(tables, tokens.folder, out / "distilled", teacher, pruned, loss)
    }
    for name, start in (("text alone", {"init": str(pruned)}), ("from scratch", small_table(small))):
        found[name] = Pretraining({**tables, "model": start}, tokens.folder, out / name)
    return found


def orders(importance: Importance, judge: Judge, model: Model) -> list[dict[str, Any]]:
    """Each kind of pruning alone, with units kept in three orders."""

    def changed(change: Any) -> Importance:
        ffn, heads = ([change(each) for each in of] for of in (importance.ffn, importance.heads))
        blocks = change(torch.tensor(importance.blocks)).tolist()
        return replace(importance, ffn=ffn, heads=heads, hidden=change(importance.hidden), blocks=blocks)

    rows = []
    for kind, share in ALONE.items():
        shares, die = Shares(**{kind: share}), torch.Generator().manual_seed(0)
        dice = [changed(lambda each: torch.rand(each.shape, generator=die)) for _ in range(DICE)]  # noqa: B023
        losses = [judge.loss(prune(model, each, shares)) for each in dice]
        row = {"pruned": kind, "stays": share, "most_important": judge.loss(prune(model, importance, shares))}
        row |= {"random_mean": sum(losses) / DICE, "random": losses}
        rows.append({**row, "least_important": judge.loss(prune(model, changed(torch.neg), shares))})
        print(rows[-1], flush=True)
    return rows


def bits(teacher: Path, folder: Path, tokens: Tokens, judge: Judge) -> list[dict[str, Any]]:
    """The teacher in fewer bits."""
    if importlib.util.find_spec("torchao") is None:
        print("quantization is left out: torchao is not installed", file=sys.stderr)
        return []
    opened, rows = open_model(teacher), []
    before = judge.loss(opened.model)
    for number, embeddings in ((8, False), (8, True), (4, False), (4, True)):
        facts = save_quantized(folder / f"bits{number}{embeddings}", opened, number, embeddings, tokens)
        loss = judge.loss(open_model(folder / f"bits{number}{embeddings}").model)
        size = facts["bytes"] / facts["bytes_16_bit"]
        rows.append({**facts, "loss": loss, "loss_change": loss / before - 1, "size_of_16_bit": size})
        print(rows[-1], flush=True)
    return rows


def main(folder: Path) -> int:
    if not DATA.is_dir():
        print("this benchmark needs the real data, which is not here", file=sys.stderr)
        return 1
    torch.set_num_threads(1)
    tokens = japanese_tokens(folder)
    judge, entry = Judge(tokens), tokens.manifest["tokenizer"]
    teacher, pruned = folder / "teacher", folder / "pruned"
    tables: dict[str, Any] = {"model": MODEL, "mixing": MIXING, "train": {**TRAIN, "tokens": TEACHER_TOKENS}}
    rows = [trained("teacher", teacher, judge, Pretraining(tables, tokens.folder, teacher))]
    model = open_model(teacher).model
    importance = measure(model, calibration(tokens, 256, 16_384))
    small = prune(model, importance, Shares(**SHARES))
    save_model(pruned, small, entry, entry["eos_id"], 0, tokens.folder)
    before, best = judge.loss(small), rows[0]["loss"]
    rows.append({"model": "pruned", "parameters": small.config.parameters(), "shares": SHARES, "loss": before})
    print(rows[-1], flush=True)
    for seed in SEEDS:
        for name, run in afterwards(folder, tokens, small, seed).items():
            row = trained(name, run.out, judge, run)
            rows.append({**row, "seed": seed, "recovered": (before - row["loss"]) / (before - best)})
            print(f"{name}, seed {seed}: {rows[-1]['recovered']:.1%} of the gap", flush=True)
    settings = {"model": MODEL, "train": TRAIN, "afterwards": AFTERWARDS, "loss": LOSS, "aim": AIM}
    rows = [settings, *rows, *orders(importance, judge, model), *bits(teacher, folder, tokens, judge)]
    print(save("prune_distill", rows, ["torch"]))
    return 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(main(Path(sys.argv[1])))
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(main(Path(scratch)))
