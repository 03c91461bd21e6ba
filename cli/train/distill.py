"""``jacorpus train distill``: a small model learns from a large one."""

from pathlib import Path
from typing import Annotated

import typer

from cli.train.options import Json, Overrides, Quiet, Verbose
from cli.train.pretrain import carry_out


def distill(
    recipe: Annotated[Path, typer.Argument(help=r"Recipe with \[train]; its \[model] is not read.")],
    teacher: Annotated[Path, typer.Option(help="Folder of the model to learn from.")],
    student: Annotated[Path, typer.Option(help="Folder of the model that learns, as `train prune` leaves it.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.")],
    tokens: Annotated[
        Path | None, typer.Option("--tokens", "-t", help="Folder of token shards; default: OUT of the recipe/tokens.")
    ] = None,
    temperature: Annotated[float, typer.Option(help="Of both distributions.")] = 1.0,
    ce: Annotated[float, typer.Option(help="Weight of the text's own cross-entropy beside the divergence.")] = 0.0,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, say what would be trained.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Remove the run that lies there and start anew.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train a student on a teacher's distributions of the next token. A killed run goes on where it was.

    Example: jacorpus train distill ja-web.toml --teacher out/ja-web/model --student small --out distilled
    """
    from jacorpus.recipe import load_tables
    from trainer.distill import Distilling, DistillSettings

    tables = load_tables(recipe, tuple(overrides or ()))
    base = Path(tables.get("out") or f"out/{tables.get('name', recipe.stem)}")
    settings = DistillSettings(temperature, ce)
    run = Distilling(tables, tokens or base / "tokens", out, teacher, student, settings, base / "mixture")
    carry_out(run, dry_run=dry_run, force=force, json=json, quiet=quiet)
