"""``jacorpus train pretrain``: a model from token shards."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import console
from cli.train.options import Json, Overrides, Quiet, Verbose

if TYPE_CHECKING:
    from trainer.pretrain import Pretraining


def pretrain(
    recipe: Annotated[Path, typer.Argument(help=r"Recipe with \[model] and \[train].")],
    tokens: Annotated[
        Path | None, typer.Option("--tokens", "-t", help="Folder of token shards; default: OUT of the recipe/tokens.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the run; default: OUT of the recipe/model.")
    ] = None,
    mixture: Annotated[
        Path | None, typer.Option(help=r"Weights of mix optimize; default for a recipe with \[mixing]: OUT/mixture.")
    ] = None,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, say what would be trained.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Remove the run that lies there and start anew.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train a model from scratch, or on from another, on curated token shards. A killed run goes on where it was.

    Example: jacorpus train pretrain ja-web.toml --tokens out/ja-web/tokens --out out/ja-web/model
    """
    from jacorpus.recipe import load_tables
    from trainer.pretrain import Pretraining

    tables = load_tables(recipe, tuple(overrides or ()))
    base = Path(tables.get("out") or f"out/{tables.get('name', recipe.stem)}")
    weights, forced = mixture or base / "mixture", mixture is not None
    run = Pretraining(tables, tokens or base / "tokens", out or base / "model", weights, forced)
    carry_out(run, dry_run=dry_run, force=force, json=json, quiet=quiet)


def carry_out(run: "Pretraining", *, dry_run: bool, force: bool, json: bool, quiet: bool) -> None:
    """A prepared run: its notes, then its plan, or the training and what came of it."""
    for note in run.notes:
        console.notes.print(note)
    if dry_run:
        console.print_json(run.summary()) if json else print_plan(run)
        return
    if force:
        run.clear()
    result = execute(run, quiet or json)
    if json and result:
        console.print_json(result)
    elif result:
        print_result(run, result)


def execute(run: "Pretraining", quiet: bool) -> dict[str, Any]:
    """Train with a bar on the terminal."""
    from cli.progress import TrainingBar

    with TrainingBar(run.plan.steps, quiet) as bar:
        return run.run(bar)


def print_plan(run: "Pretraining") -> None:
    summary = run.summary()
    say = console.result.print
    say(f"{summary['parameters']:,} parameters: {_runs(summary['layers'])}, {summary['vocab_size']:,} ids")
    flops = summary["flops_per_token"] / 1e9
    say(f"{summary['tokens']:,} tokens in {summary['steps']:,} steps; {flops:.3g} GFLOP a token")
    rows = [
        [f"{i}: {name}", phase["tokens"], phase["seq_len"], phase["rows"], share, summary["epochs"][name]]
        for i, phase in enumerate(summary["phases"])
        for name, share in phase["mixture"].items()
    ]
    console.print_table("", ["phase: domain", "tokens", "seq_len", "rows", "share", "epochs in all"], rows)


def _runs(mixers: list[str]) -> str:
    """[mamba, window] * 8, for a list that repeats itself."""
    for length in range(1, len(mixers) + 1):
        times, rest = divmod(len(mixers), length)
        if not rest and mixers == mixers[:length] * times:
            return f"[{', '.join(mixers[:length])}] * {times}"
    return str(mixers)


def print_result(run: "Pretraining", result: dict[str, Any]) -> None:
    say = console.result.print
    say(
        f"{result['parameters']:,} parameters trained on {result['tokens']:,} tokens in {result['steps']:,} steps"
        + (f", {result['skipped']:,} of them without update" if result["skipped"] else "")
    )
    rows = [[row["domain"] or "all", row["tokens"], row["loss"], row["bits_per_byte"]] for row in result["valid"]]
    if rows:
        console.print_table("", ["held out", "tokens", "loss", "bits per byte"], rows)
    else:
        console.notes.print("no document of split valid: nothing was measured on held-out text")
    say(f"model in {run.out}, report {run.out / 'report.html'}")
