"""``jacorpus train export``: a trained model for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from cli import console
from cli.train.options import Json, Verbose


def export(
    model: Annotated[Path, typer.Argument(help="Folder of a training run, or of an export in Hugging Face's form.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write; for gguf also a file, NAME.gguf.")],
    target: Annotated[str, typer.Option(help="hf (transformers), vllm, mlx or gguf (llama.cpp).")] = "hf",
    dtype: Annotated[str, typer.Option(help="bf16, fp16 or fp32.")] = "bf16",
    context_length: Annotated[
        int, typer.Option(help="Longest text the export declares itself good for; 0: what it was trained on.")
    ] = 0,
    tokenizer: Annotated[Path | None, typer.Option(help="Tokenizer file or folder; default: the model's own.")] = None,
    allow: Annotated[
        list[str] | None, typer.Option(help="Name of a refusal to overrule, as window; may be repeated.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what lies there.")] = False,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Write a model for other programs. What a program would compute differently is refused, with the reason.

    Example: jacorpus train export out/ja-web/model --target gguf --out ja-web.gguf
    """
    from trainer.export import export as write
    from trainer.opened import open_model

    opened = open_model(model)
    own = model / "tokenizer" if (model / "tokenizer").is_dir() else None
    result = write(
        opened.model,
        out,
        target,
        tokenizer=tokenizer or own or (model if opened.tokenizer is not None else None),
        eos_id=opened.eos_id,
        context_length=context_length or opened.seq_len or 4096,
        dtype=dtype,
        allow=set(allow or ()),
        chat=opened.chat,
        force=force,
    )
    if json:
        console.print_json(result)
        return
    say, size = console.result.print, sum(result["files"].values())
    say(
        f"{result['parameters']:,} parameters as {result['family']} in {result['dtype']}, {console.size(size)} in {out}"
    )
    say(f"good for texts of {result['context_length']:,} tokens")
    for note in result["notes"]:
        console.notes.print(note)
