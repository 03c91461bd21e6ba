"""``jacorpus tokenizer train``: a vocabulary from a corpus, in every form that can hold it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli import console

MEGABYTE = 1e6


def train(
    corpus: Annotated[
        list[str] | None,
        typer.Argument(help="[NAME=]PATH: output of a corpus run, JSONL, Parquet, Arrow, text; globs."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the tokenizer.")] = Path("out/tokenizer"),
    recipe: Annotated[
        Path | None, typer.Option("--recipe", "-r", help=r"Recipe with a \[tokenizer] table; its `out` is the corpus.")
    ] = None,
    algorithm: Annotated[str | None, typer.Option(help="unigram, byte-bpe, or bpe (over characters).")] = None,
    trainer: Annotated[str | None, typer.Option(help="jacorpus, sentencepiece or huggingface.")] = None,
    vocab_size: Annotated[int | None, typer.Option(help="Ids in all, special tokens and bytes included.")] = None,
    budget_mb: Annotated[
        float | None, typer.Option(help="MB of text to learn from; more is drawn by hash over the whole corpus.")
    ] = None,
    pattern: Annotated[str | None, typer.Option(help="ja, cl100k, gpt2, none, ..., or a regular expression.")] = None,
    digits: Annotated[str | None, typer.Option(help="Numbers: three, single or uncut.")] = None,
    words: Annotated[str | None, typer.Option(help="mecab: no piece crosses a word of MeCab.")] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option("--weight", help="Share of a corpus in the budget, as NAME=0.5; may be repeated."),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help=r"Any key of \[tokenizer], as key=value; may be repeated.")
    ] = None,
    column: Annotated[str, typer.Option(help="Column or key that holds the text.")] = "text",
    force: Annotated[bool, typer.Option("--force", help="Replace the tokenizer that lies there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the traceback of an error.")] = False,
) -> None:
    """Train Unigram or BPE, written as tokenizer.json and whatever else can hold it.

    Example: jacorpus tokenizer train out/ja-web --vocab-size 48000 --out out/tokenizer
    """
    from jacorpus.errors import RecipeError
    from tokenizer_lab.corpus import open_corpus
    from tokenizer_lab.train import train as run
    from tokenizer_lab.training.settings import training_from_table

    paths, table = _start(corpus or [], recipe)
    flags = {"algorithm": algorithm, "trainer": trainer, "vocab_size": vocab_size, "pattern": pattern}
    flags |= {"digits": digits, "words": words}
    table |= {key: value for key, value in flags.items() if value is not None}
    if budget_mb is not None:
        if not 0 < budget_mb < float("inf"):
            raise RecipeError(f"--budget-mb {budget_mb}: give megabytes over 0")
        table["budget_bytes"] = int(budget_mb * MEGABYTE)
    if weights:
        table["weights"] = dict(_weight(word) for word in weights)
    table |= dict(_setting(word) for word in overrides or [])
    training = training_from_table(table)
    domains = open_corpus(paths, column)
    with console.Meter("train", quiet=quiet or json) as meter:
        result = run(domains, training, out, _Steps(meter), force)
    if json:
        console.print_json(result)
    else:
        _print(result, out)


class _Steps:
    """Draws the steps of a training on a meter: bytes while reading, plain numbers afterwards."""

    def __init__(self, meter: console.Meter) -> None:
        self.meter, self.what, self.done = meter, "", 0

    def __call__(self, what: str, done: int, total: int) -> None:
        if what != self.what:
            self.meter.step(what, total or None)
            self.what, self.done = what, 0
        self.meter.add(done - self.done)
        self.done = done


def _start(corpus: list[str], recipe: Path | None) -> tuple[list[str], dict[str, Any]]:
    """(paths of the corpus, the [tokenizer] table that applies)."""
    from jacorpus.errors import RecipeError
    from jacorpus.recipe import load_recipe

    if recipe is not None:
        loaded = load_recipe(recipe)
        return corpus or [loaded.out or f"out/{loaded.name}"], dict(loaded.later.get("tokenizer", {}))
    if not corpus:
        raise RecipeError("name a corpus (files, or the output folder of a corpus run), or a recipe with --recipe")
    return corpus, _table_of_run(corpus)


def _table_of_run(corpus: list[str]) -> dict[str, Any]:
    """The [tokenizer] table of the recipe that made the shards, where the corpus is the output of one run."""
    import tomllib

    resolved = Path(corpus[0].partition("=")[2] or corpus[0]) / "recipe.resolved.toml"
    if len(corpus) > 1 or not resolved.is_file():
        return {}
    return dict(tomllib.loads(resolved.read_text("utf-8")).get("tokenizer", {}))


def _weight(word: str) -> tuple[str, float]:
    from jacorpus.errors import RecipeError

    name, _, number = word.rpartition("=")
    try:
        share = float(number)
    except ValueError:
        share = -1.0
    if not name or not 0 <= share < float("inf"):
        raise RecipeError(f"--weight {word}: write it as NAME=SHARE, as in novels=0.5")
    return name, share


def _setting(word: str) -> tuple[str, Any]:
    import tomllib

    from jacorpus.errors import RecipeError

    key, equals, text = word.partition("=")
    if not equals or not key:
        raise RecipeError(f"--set {word}: write it as key=value")
    try:
        return key.removeprefix("tokenizer."), tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return key.removeprefix("tokenizer."), text


def _print(result: dict[str, Any], out: Path) -> None:
    say, options, ids = console.result.print, result["options"], result["ids"]
    parts = ", ".join(f"{number:,} {name}" for name, number in ids.items() if number and name != "merges")
    say(f"{options['algorithm']} by {options['trainer']}: {result['vocab_size']:,} ids ({parts})")
    held = result["held_out"] or {"domains": {}}
    rows = []
    for name, domain in result["corpus"].items():
        on = held["domains"].get(name, {})
        sizes = [console.size(domain["read_bytes"]), console.size(domain["taken_bytes"]), domain["documents"]]
        rows.append([name, *sizes, on.get("documents"), on.get("bytes_per_token"), on.get("chars_per_token")])
    if len(rows) > 1:
        shown = [held.get(key) for key in ("documents", "bytes_per_token", "chars_per_token")]
        read, taken = (sum(d[key] for d in result["corpus"].values()) for key in ("read_bytes", "taken_bytes"))
        documents = sum(d["documents"] for d in result["corpus"].values())
        rows.append(["all", console.size(read), console.size(taken), documents, *shown])
    header = ["domain", "read", "drawn", "documents", "held out", "bytes/token", "chars/token"]
    console.print_table("", header, rows)
    for name, domain in result["corpus"].items():
        for place, number in domain["lost"].items():
            console.notes.print(f"{name}: {place}: {number:,} records could not be read")
    if not result["held_out"]:
        console.notes.print("no document of split valid: compression was not measured on held-out text")
    _print_forms(result, out)


def _print_forms(result: dict[str, Any], out: Path) -> None:
    say = console.result.print
    compared = {difference["other"]: difference for difference in result["differences"]}
    for name, form in result["forms"].items():
        note = ""
        if name in compared:
            d = compared[name]
            note = f": {d['differ']:,} of {d['documents']:,} documents differ from {d['first']}"
            note += f" ({d['more_tokens']:+,} of {d['tokens']:,} tokens)" if d["differ"] else ""
        say(f"{out / form['file']}  {name}{note}")
        for cause, number in compared.get(name, {}).get("causes", {}).items():
            say(f"  {number:,} looked into: {cause}")
        if compared.get(name, {}).get("rule"):
            d = compared[name]
            say(f"  first (a is {d['first']}, b {name}): {d['rule']}: {d['text']!r}")
    for report in result["reasons"]:
        say(report["sentence"])
    for name, reason in result["not_written"].items():
        console.notes.print(f"not written for {name}: {reason}")
