"""``jacorpus tokenizer explain``: where two tokenizers first differ, and by which rule."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import console

if TYPE_CHECKING:
    from tokenizer_lab.explain import Difference, Summary
    from tokenizer_lab.tokenizer import Tokenizer


def explain(
    a: Annotated[str, typer.Argument(help="Tokenizer file or folder, byte or char.")],
    b: Annotated[
        str | None, typer.Argument(help="The other one; without it, the original library on the same file.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="The text to look at.")] = None,
    file: Annotated[Path | None, typer.Option(help="A text file to look at, whole.")] = None,
    corpus: Annotated[
        list[str] | None, typer.Option("--corpus", "-c", help="[NAME=]PATH: count documents by cause.")
    ] = None,
    column: Annotated[str, typer.Option(help="Column or key that holds the text of a corpus.")] = "text",
    limit: Annotated[int, typer.Option(help="Differing documents of a corpus to look into.")] = 500,
    engine_of_a: Annotated[str, typer.Option(help="auto, or library: A through its original library.")] = "auto",
    engine_of_b: Annotated[str, typer.Option(help="auto, or library: B through its original library.")] = "auto",
    pattern: Annotated[str | None, typer.Option(help="Pattern of unknown tiktoken rank files.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the traceback of an error.")] = False,
) -> None:
    """Show the first difference between two tokenizers and name the rule behind it.

    Without a text, a few short ones are tried, each known to set tokenizers apart.

    Example: jacorpus tokenizer explain llm-jp.model tokenizer.json --text "１２３ <s>"
    """
    from jacorpus.errors import RecipeError
    from tokenizer_lab.explain import traits_that_differ

    if sum(given is not None for given in (text, file, corpus)) > 1:
        raise RecipeError("give one of --text, --file and --corpus")
    one, two = _opened(a, b, engine_of_a, engine_of_b, pattern)
    answer = {"a": _named(one), "b": _named(two)}
    differ = traits_that_differ(one, two)
    traits = {name: {"a": x, "b": y} for name, (x, y) in differ.items()}
    if corpus:
        summary = _over_corpus(one, two, corpus, column, limit, quiet)
        if json:
            console.print_json({**answer, "traits_that_differ": traits, **summary.as_json()})
        else:
            _print_sides(one, two)
            _print_summary(summary)
        return
    found = _first(one, two, _texts(text, file))
    if json:
        differences = [{"of": name, **difference.as_json()} for name, difference in found]
        console.print_json({**answer, "equal": not found, "traits_that_differ": traits, "differences": differences})
        return
    _print_sides(one, two)
    for name, difference in found:
        console.result.print(f"\n{name}", style="bold")
        _print(difference)
    if not found:
        console.result.print("equal: no difference in " + (text or str(file or "the texts tried")))
    rows = [[name, _short(x), _short(y)] for name, (x, y) in differ.items()]
    if rows:
        console.result.print()
        console.print_table("Traits that differ, here or elsewhere", ["trait", "a", "b"], rows, 3)


def _opened(
    a: str, b: str | None, engine_a: str, engine_b: str, pattern: str | None
) -> tuple["Tokenizer", "Tokenizer"]:
    from jacorpus.errors import RecipeError
    from tokenizer_lab.tokenizer import open_tokenizer

    def one(path: str, engine: str) -> "Tokenizer":
        ranks = pattern if path.endswith(".tiktoken") else None
        return open_tokenizer(path, ranks, engine=engine)

    first = one(a, engine_a)
    if b is not None and (b != a or engine_a != engine_b):
        return first, one(b, engine_b)
    library = first.reference()
    if library is None:
        reason = first.why_slow or "it has no other engine"
        raise RecipeError(f"{a} is encoded by {first.engine} alone ({reason}); name a second tokenizer to compare with")
    return first, library


def _texts(text: str | None, file: Path | None) -> list[tuple[str, str]]:
    """(what it is, text) of what to look at."""
    from jacorpus.errors import InputError
    from tokenizer_lab.explain import PROBES

    if text is not None:
        return [("the text given", text)]
    if file is None:
        return [(f"in {probe!r}", probe) for probe in PROBES]
    try:
        return [(str(file), file.read_bytes().decode())]
    except OSError as error:
        raise InputError(f"{file} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 at byte {error.start}; curate it first, or convert it") from error


def _first(one: "Tokenizer", two: "Tokenizer", texts: list[tuple[str, str]]) -> list[tuple[str, "Difference"]]:
    """The first difference of each text, one for each cause."""
    from tokenizer_lab.explain import explain as ask

    found: dict[str, tuple[str, Difference]] = {}
    for name, text in texts:
        difference = ask(one, two, text)
        if difference:
            found.setdefault(difference.cause.name, (name, difference))
    return list(found.values())


def _over_corpus(
    one: "Tokenizer", two: "Tokenizer", corpus: list[str], column: str, limit: int, quiet: bool
) -> "Summary":
    from tokenizer_lab.corpus import open_corpus
    from tokenizer_lab.explain import summarize

    with console.Meter("explain", quiet=quiet) as meter:
        return summarize(one, two, open_corpus(corpus, column), limit, meter.add)


def _named(tokenizer: "Tokenizer") -> dict[str, str]:
    keys = ("name", "format", "algorithm", "engine", "fingerprint")
    return {key: getattr(tokenizer, key) for key in keys}


def _print_sides(one: "Tokenizer", two: "Tokenizer") -> None:
    for letter, side in (("a", one), ("b", two)):
        console.result.print(
            f"{letter}  {side.name}: {side.format} {side.algorithm}, {side.vocab_size:,} ids, by {side.engine}"
        )


def _print(difference: "Difference") -> None:
    """The place, both ways to cut it in rows one above the other, and the cause."""
    from tokenizer_lab.causes.place import shown

    say, place, cause = console.result.print, difference.place, difference.cause
    before, after = place.around()
    say(f"bytes {place.start}-{place.end}: …{before!r} [{shown(place.raw)!r}] {after!r}…")
    if place.special_text == "ids":
        say("  (equal as plain text; here special strings are read as the libraries read them)")
    for letter, side in (("a", place.a), ("b", place.b)):
        say(f"  {letter}  " + " | ".join(f"{shown(t.piece)} ({t.id}) {t.start}-{t.end}" for t in side.tokens))
    say(f"  {cause.name}", style="bold", end="")
    say(f": {cause.rule}")
    for line in cause.evidence:
        say(f"    {line}")
    if difference.then:
        say("  and, the prefix apart:")
        _print(difference.then)


def _print_summary(summary: "Summary") -> None:
    say = console.result.print
    if not summary.documents:
        say("no documents")
        return
    say(f"{summary.differ:,} of {summary.documents:,} documents differ ({summary.differ / summary.documents:.1%})")
    looked = sum(summary.causes.values())
    rows = [[name, number, f"{number / looked:.1%}"] for name, number in summary.causes.items()]
    if rows:
        console.print_table("", ["cause of the first difference", "documents", "share of those looked into"], rows)
    if summary.then:
        rows = [[name, number, f"{number / looked:.1%}"] for name, number in summary.then.items()]
        console.print_table("", ["cause behind a dummy prefix", "documents", "share of those looked into"], rows)
    if summary.unread:
        say(f"{summary.unread:,} more differ and were not looked into (--limit)")
    for name, difference in summary.first.items():
        say(f"\nfirst of {name}", style="bold")
        _print(difference)
    for place, number in summary.lost.items():
        console.notes.print(f"{place}: {number:,} records could not be read")


def _short(value: object) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= 60 else text[:60] + "…"
