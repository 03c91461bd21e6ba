"""``jacorpus train quantize``: a model's weights in 8 or 4 bits."""

from pathlib import Path
from typing import Annotated

import typer

from cli import console
from cli.train.options import Json, Quiet, Verbose
from cli.train.prune import held_out, losses_of, print_losses, ready


def quantize(
    model: Annotated[Path, typer.Argument(help="Folder of a training run, or of an export in Hugging Face's form.")],
    tokens: Annotated[Path, typer.Option("--tokens", "-t", help="Token shards whose split valid judges.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
    bits: Annotated[int, typer.Option(help="8 or 4, of a weight.")] = 8,
    embeddings: Annotated[bool, typer.Option("--embeddings", help="Quantize embedding and head too.")] = False,
    eval_tokens: Annotated[int, typer.Option(min=1, help="Tokens of each domain's valid split to judge on.")] = 65_536,
    force: Annotated[bool, typer.Option("--force", help="Replace the model that lies there.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Store feed-forward and attention matrices in 8 or 4 bits; Mamba's stay in 16. Opens as any model does.

    Example: jacorpus train quantize out/ja-web/model --bits 4 --tokens out/ja-web/tokens --out ja-web-4bit
    """
    from trainer.opened import open_model
    from trainer.quantize import save_quantized

    opened, shards = ready(model, tokens, out, force)
    text, _ = held_out(opened, shards, eval_tokens)
    with console.Meter("quantize", quiet=quiet or json, bytes=False) as meter:
        facts = save_quantized(out, opened, bits, embeddings, shards)
        meter.step("losses")
        losses = {"before": losses_of(opened.model, text), "after": losses_of(open_model(out).model, text)}
    if json:
        console.print_json({**facts, **losses})
        return
    size, wide = facts["bytes"], facts["bytes_16_bit"]
    console.result.print(
        f"{facts['quantized']:,} of {opened.config.parameters():,} weights in {bits} bits: {console.size(size)}, "
        f"{size / wide:.1%} of {console.size(wide)} in 16 bits"
    )
    print_losses(losses)
    console.result.print(f"model in {out}")
