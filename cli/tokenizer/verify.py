"""``jacorpus tokenizer verify``: are the ids of the fast path those of the original library?"""

from typing import TYPE_CHECKING, Annotated

import typer

from cli import console

if TYPE_CHECKING:
    from tokenizer_lab.verify import Verified

CONTEXT_CHARS = 80


def verify(
    path: Annotated[str, typer.Argument(help="Tokenizer file or folder.")],
    corpus: Annotated[
        list[str], typer.Option("--corpus", "-c", help="[NAME=]PATH: JSONL, Parquet, Arrow, text; globs.")
    ],
    more: Annotated[list[str] | None, typer.Argument(help="More corpus files, as a shell's glob gives them.")] = None,
    column: Annotated[str, typer.Option(help="Column or key that holds the text.")] = "text",
    pattern: Annotated[str | None, typer.Option(help="Pattern of an unknown tiktoken rank file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the traceback of an error.")] = False,
) -> None:
    """Compare ids with the original library, line by line: exit 0 when equal, 3 when not.

    Example: jacorpus tokenizer verify llm-jp.model --corpus data/ja/*.jsonl.zst
    """
    from jacorpus.errors import CheckError
    from tokenizer_lab.corpus import open_corpus
    from tokenizer_lab.explain import why
    from tokenizer_lab.tokenizer import open_tokenizer
    from tokenizer_lab.verify import verify as compare

    tokenizer = open_tokenizer(path, pattern)
    domains = open_corpus([*corpus, *(more or [])], column)
    with console.Meter("verify", quiet=quiet) as meter:
        outcome = compare(tokenizer, domains, why, meter.add)
    if json:
        console.print_json(outcome.as_json())
    else:
        _print(outcome)
    if outcome.lines_differ:
        raise CheckError(f"{outcome.lines_differ:,} lines differ from {outcome.reference}")


def _print(outcome: "Verified") -> None:
    tokenizer = outcome.tokenizer
    console.result.print(f"{tokenizer.name}  {tokenizer.format} {tokenizer.algorithm}, {tokenizer.vocab_size:,} ids")
    if not outcome.compared:
        console.result.print(
            f"encoded by {tokenizer.engine}: {tokenizer.why_slow}\nnothing to compare: equal by itself"
        )
        return
    console.result.print(f"{tokenizer.engine} path against {outcome.reference}")
    rows = [
        [name, c.lines, c.lines_differ, c.long_lines_differ, c.documents, c.documents_differ, f"{c.bytes / 1e6:,.1f}"]
        for name, c in outcome.domains.items()
    ]
    header = ["domain", "lines", "differ", "of them long", "documents", "differ", "MB"]
    console.print_table("", header, rows)
    for difference in outcome.differences:
        text = difference.text if len(difference.text) <= CONTEXT_CHARS else difference.text[:CONTEXT_CHARS] + "…"
        console.result.print(
            f"{difference.unit} of {difference.domain}/{difference.document}: {text!r}\n  {difference.why}"
        )
    for place, number in outcome.lost.items():
        console.notes.print(f"{place}: {number:,} records could not be read and were not compared")
    console.result.print("equal" if not outcome.lines_differ else "not equal")
