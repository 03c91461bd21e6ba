"""``jacorpus mix show``: a mixture as it is, in other units, or as another program takes it."""

from pathlib import Path
from typing import Annotated

import typer

from cli import console
from cli.train.options import Json, Verbose


def show(
    mixture: Annotated[Path, typer.Argument(help="mixture.json, or the folder it lies in.")],
    form: Annotated[
        str, typer.Option("--for", help="A program: trainer, megatron, automodel, huggingface or energon.")
    ] = "",
    tokens: Annotated[
        str, typer.Option("--tokens", "-t", help="Folder of token shards, as that program finds it.")
    ] = "out/tokens",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the program's files; default: print them.")
    ] = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show a mixture's weights by token, byte and document, or write them for another program.

    Example: jacorpus mix show out/ja-web/mixture --for megatron --tokens out/ja-web/tokens
    """
    from cli.mix.printing import print_mixture
    from mixing.exports import export, write
    from mixing.mixture import read_mixture

    found = read_mixture(mixture)
    if not form:
        print_mixture(found, mixture, json)
    elif out is not None:
        for path in write(found, form, out, tokens):
            console.result.print(str(path))
    elif json:
        console.print_json(export(found, form, tokens))
    else:
        for name, text in export(found, form, tokens).items():
            console.result.print(f"# {name}\n{text}")
