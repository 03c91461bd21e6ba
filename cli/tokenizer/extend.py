"""``jacorpus tokenizer extend``: new tokens for an existing tokenizer, every old id as it was."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import console

if TYPE_CHECKING:
    from tokenizer_lab.extend import Extended

SHOWN = 20


def extend(
    base: Annotated[str, typer.Argument(help="Tokenizer file or folder: .model, tiktoken ranks, tokenizer.json.")],
    corpus: Annotated[
        list[str], typer.Option("--corpus", "-c", help="New-language text, [NAME=]PATH; may be repeated.")
    ],
    vocab_size: Annotated[int, typer.Option(min=1, help="Ids in all afterwards, the old ones included.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the tokenizer and extend.json.")],
    keep_corpus: Annotated[
        list[str] | None, typer.Option(help="Old-language text, [NAME=]PATH: only measured; may be repeated.")
    ] = None,
    scripts: Annotated[
        str, typer.Option(help="A new token holds a character of one of these; `any` allows all.")
    ] = "han,hiragana,katakana,marks",
    join_marks: Annotated[bool, typer.Option(help="Let a token hold punctuation beside letters.")] = False,
    weights: Annotated[
        list[str] | None, typer.Option("--weight", help="Share of a corpus in the text learned from, as NAME=0.5.")
    ] = None,
    budget_mb: Annotated[float, typer.Option(min=0.001, help="MB of text learned from; more is drawn by hash.")] = 50,
    max_chars: Annotated[int, typer.Option(min=1, help="Longest new token.")] = 16,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    allow_unreachable: Annotated[bool, typer.Option(help="Keep new tokens that no text gives.")] = False,
    pattern: Annotated[str | None, typer.Option(help="Pattern of an unknown tiktoken rank file.")] = None,
    special: Annotated[list[str] | None, typer.Option(help="Special tokens of an unknown tiktoken rank file.")] = None,
    column: Annotated[str, typer.Option(help="Column or key that holds the text.")] = "text",
    force: Annotated[bool, typer.Option("--force", help="Replace the tokenizer that lies there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the traceback of an error.")] = False,
) -> None:
    """Add a language to a tokenizer: new ids behind the old, which all keep their meaning.

    Example: jacorpus tokenizer extend llama2.model --corpus 'ja/*.jsonl.zst' --keep-corpus 'en/*.jsonl.zst'
    --vocab-size 64000 --out out/llama2-ja
    """
    from tokenizer_lab.corpus import open_corpus
    from tokenizer_lab.extend import extend as run
    from tokenizer_lab.extension.options import Extending

    options = Extending(
        vocab_size,
        scripts=() if scripts == "any" else tuple(name.strip() for name in scripts.split(",") if name.strip()),
        join_marks=join_marks,
        max_chars=max_chars,
        budget_bytes=int(budget_mb * 1e6),
        seed=seed,
        weights=_shares(weights or []),
        allow_unreachable=allow_unreachable,
    )
    new, old = open_corpus(corpus, column), open_corpus(keep_corpus or [], column)
    with console.Meter("extend", quiet=quiet or json) as meter:
        made = run(base, new, out, options, old, pattern, tuple(special or []), meter.add, meter.step, force)
    if json:
        console.print_json(made.as_json())
    else:
        _print(made)


def _shares(words: list[str]) -> dict[str, float]:
    from jacorpus.errors import RecipeError

    shares = {}
    for word in words:
        name, _, number = word.rpartition("=")
        try:
            shares[name] = float(number)
        except ValueError:
            name = ""
        if not name or shares[name] < 0:
            raise RecipeError(f"--weight {word}: write it as NAME=SHARE, as in novels=0.5")
    return shares


def _print(made: "Extended") -> None:
    say = console.result.print
    say(
        f"{made.base.name}: {made.old_size:,} ids, {made.new_size:,} afterwards; "
        f"{len(made.new.tokens):,} new tokens of {made.new.candidates:,} candidates"
    )
    short = made.options.vocab_size - made.new_size
    if short > 0:
        say(f"{short:,} fewer than asked for: the text holds no more that are worth an id")
    rows = []
    for side, effects in made.effects.items():
        for effect in effects:
            e = effect.as_json()
            before, after = e["chars_per_token_before"], e["chars_per_token_after"]
            row = [effect.domain, side, effect.documents, before, after, after / before if before else None]
            rows.append([*row, e["share_documents_changed"], e["share_tokens_gone"]])
    names = [
        "domain",
        "language",
        "documents",
        "chars/token",
        "afterwards",
        "ratio",
        "documents changed",
        "tokens gone",
    ]
    console.print_table("", names, rows, 2)
    if made.new.unreachable:
        shown = ", ".join(repr(token.decode("utf-8", "replace")) for token in made.new.unreachable[:SHOWN])
        what = "kept all the same" if made.options.allow_unreachable else "left out"
        say(f"{len(made.new.unreachable):,} tokens that no text gives, {what}: {shown}")
    for file in made.files:
        say(str(file))
    for name, places in made.lost.items():
        for place, number in places.items():
            console.notes.print(f"{name}: {place}: {number:,} records could not be read")
