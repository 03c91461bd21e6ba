"""``jacorpus train prune``: a smaller model from a trained one."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import console
from cli.train.options import Json, Quiet, Verbose

if TYPE_CHECKING:
    from tokenizer_lab.tokens import Tokens
    from trainer.config import ModelConfig
    from trainer.held_out import HeldOutText
    from trainer.model import Model
    from trainer.opened import Opened

MODEL_FILES = ("config.json", "model.safetensors", "tokenizer")
LONGEST, ROWS = 2048, 4
"""Tokens of a row that models are judged on, at most; rows of a batch."""


def prune(
    model: Annotated[Path, typer.Argument(help="Folder of a training run, or of an export in Hugging Face's form.")],
    tokens: Annotated[Path, typer.Option("--tokens", "-t", help="Token shards: train tells importance, valid judges.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
    ffn: Annotated[float, typer.Option(help="Share of feed-forward units that stays.")] = 1.0,
    heads: Annotated[float, typer.Option(help="Share of attention heads that stays, by groups.")] = 1.0,
    mamba: Annotated[float, typer.Option(help="Share of Mamba heads that stays.")] = 1.0,
    hidden: Annotated[float, typer.Option(help="Share of the channels of d_model that stays.")] = 1.0,
    layers: Annotated[float, typer.Option(help="Share of layers that stays, in blocks of the pattern.")] = 1.0,
    calibration_tokens: Annotated[int, typer.Option(min=1, help="Tokens that importance is measured on.")] = 131_072,
    eval_tokens: Annotated[int, typer.Option(min=1, help="Tokens of each domain's valid split to judge on.")] = 65_536,
    force: Annotated[bool, typer.Option("--force", help="Replace the model that lies there.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Leave out what does least for the text; then `train distill` brings back what was lost.

    Example: jacorpus train prune out/ja-web/model --tokens out/ja-web/tokens --ffn 0.5 --layers 0.5 --out small
    """
    from trainer.importance import calibration, measure, period_of
    from trainer.opened import save_model
    from trainer.prune import Shares
    from trainer.prune import prune as pruned

    shares = Shares(ffn, heads, mamba, hidden, layers)
    opened, shards = ready(model, tokens, out, force)
    text, length = held_out(opened, shards, eval_tokens)
    batches = calibration(shards, length, calibration_tokens)
    passes = 1 + (blocks if (blocks := len(opened.config.layers) // period_of(opened.config)) > 1 else 0)
    amount = passes * sum(batch.tokens_BT.numel() for batch in batches)
    with console.Meter("importance", amount, quiet or json, bytes=False) as meter:
        importance = measure(opened.model, batches, meter.add)
        small = pruned(opened.model, importance, shares)
        meter.step("losses")
        losses = {"before": losses_of(opened.model, text), "after": losses_of(small, text)}
    entry = shards.manifest["tokenizer"]
    eos_id = shards.eos_id if opened.eos_id is None else opened.eos_id
    save_model(out, small, entry, eos_id, opened.step, shards.folder)
    before, after = opened.config.parameters(), small.config.parameters()
    if json:
        counts = {"parameters": {"before": before, "after": after}}
        console.print_json({**counts, **losses, "model": small.config.to_dict()})
        return
    console.result.print(f"{before:,} parameters pruned to {after:,} ({after / before:.1%})")
    console.result.print(f"{shape(opened.config)} became {shape(small.config)}")
    print_losses(losses)
    console.result.print(f"model in {out}; jacorpus train distill RECIPE --teacher {model} --student {out} goes on")


def ready(model: Path, tokens: Path, out: Path, force: bool) -> "tuple[Opened, Tokens]":
    """The model and the shards, of one tokenizer, and a place to write. Raises InputError where one is missing."""
    from jacorpus.errors import InputError
    from tokenizer_lab.tokens import open_tokens
    from trainer.continued import same_tokenizer
    from trainer.opened import open_model

    opened, shards = open_model(model), open_tokens(tokens)
    same_tokenizer(model, opened, shards)
    inside = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if out.exists() and (inside or not out.is_dir()):
        if not force:
            raise InputError(f"{out} exists already; name another place or give --force to replace it")
        if not out.is_dir() or inside - set(MODEL_FILES) or out.resolve() == model.resolve():
            raise InputError(f"{out} holds more than a pruned or quantized model, or is {model}; name another place")
        shutil.rmtree(out)
    return opened, shards


def held_out(opened: "Opened", shards: "Tokens", amount: int) -> "tuple[HeldOutText, int]":
    """Held-out text of every domain that has some, and the length of its rows."""
    from trainer.data import counts_of
    from trainer.held_out import HeldOutText

    length = min(opened.seq_len or LONGEST, LONGEST)
    names = [name for name in shards.domains if counts_of(shards, name, "valid").tokens]
    return HeldOutText(shards, names, length, ROWS, amount, opened.eos_id), length


def losses_of(model: "Model", text: "HeldOutText") -> dict[str, dict[str, float]]:
    """By domain, and of all: nats a token, bits per byte."""
    found = text.measured(model)
    rows = {name: {"loss": each.loss, "bits_per_byte": each.bits_per_byte} for name, each in found.items()}
    weights = {name: each.tokens for name, each in found.items()}
    if len(rows) > 1:
        size = {name: weights[name] * text.bytes_per_token[name] for name in rows}
        mean = sum(rows[name]["loss"] * weights[name] for name in rows) / sum(weights.values())
        bits = sum(rows[name]["bits_per_byte"] * size[name] for name in rows) / sum(size.values())
        rows["all"] = {"loss": mean, "bits_per_byte": bits}
    return rows


def print_losses(losses: dict[str, dict[str, dict[str, float]]]) -> None:
    """A table of before and after."""
    before, after = losses["before"], losses["after"]
    rows: list[list[Any]] = [
        [name, row["loss"], after[name]["loss"], row["bits_per_byte"], after[name]["bits_per_byte"]]
        for name, row in before.items()
    ]
    if rows:
        console.print_table("", ["held out", "loss before", "after", "bits per byte before", "after"], rows)
    else:
        console.notes.print("no document of split valid: nothing was measured on held-out text")


def shape(config: "ModelConfig") -> str:
    """Widths in words."""
    ffn = "-".join(str(size) for size in sorted({layer.d_ff for layer in config.layers}))
    heads = "-".join(str(n) for n in sorted({la.heads for la in config.layers if la.mixer != "mamba"}))
    parts = [f"{len(config.layers)} layers", f"d_model {config.d_model}", f"d_ff {ffn}"]
    parts += [f"{heads} heads"] if heads else []
    return ", ".join([*parts, *([f"{config.mamba_heads} Mamba heads"] if config.has_mamba else [])])
