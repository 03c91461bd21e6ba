"""``jacorpus tokenizer validate``: are token shards whole and right?"""

from pathlib import Path
from typing import Annotated

import typer

from cli import console


def validate(
    folder: Annotated[Path, typer.Argument(help="Folder of token shards.", show_default=False)],
    corpus: Annotated[
        list[str] | None, typer.Option("--corpus", "-c", help="[NAME=]PATH of the text: encode documents of it again.")
    ] = None,
    column: Annotated[str, typer.Option(help="Column or key that holds the text.")] = "text",
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the traceback of an error.")] = False,
) -> None:
    """Prove token shards: checksums, counts, order, documents encoded again. Exit 3 if not.

    Example: jacorpus tokenizer validate out/ja-web/tokens --corpus out/ja-web
    """
    from tokenizer_lab.corpus import open_corpus
    from tokenizer_lab.encoding.check_tokens import validate_tokens

    answer = validate_tokens(folder, open_corpus(corpus, column) if corpus else ())
    if json:
        console.print_json(answer)
    else:
        rows = [("ok" if c["passed"] else "FAILED", c["name"], c["detail"]) for c in answer["checks"]]
        console.print_table("", ("", "check", "finding"), rows, 3)
    if not answer["passed"]:
        raise typer.Exit(3)
