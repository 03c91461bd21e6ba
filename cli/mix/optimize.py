"""``jacorpus mix optimize``: a recipe's wishes to weights."""

from pathlib import Path
from typing import Annotated

import typer

from cli import console
from cli.train.options import Json, Overrides, Quiet, Verbose


def optimize(
    recipe: Annotated[Path, typer.Argument(help=r"Recipe with \[mixing].")],
    tokens: Annotated[
        Path | None, typer.Option("--tokens", "-t", help="Folder of token shards; default: OUT of the recipe/tokens.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the mixture; default: OUT of the recipe/mixture.")
    ] = None,
    method: Annotated[str | None, typer.Option("--method", "-m", help="Instead of the recipe's.")] = None,
    compare: Annotated[list[str] | None, typer.Option("--compare", help="Another method; may be repeated.")] = None,
    judge: Annotated[
        int | None, typer.Option(min=0, help="Train tiny models on each mixture of the report, so many seeds.")
    ] = None,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, say what would be weighed.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Optimize again, though a mixture of these wishes is there.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Weigh the domains of token shards. `train pretrain` with the same recipe uses the weights. A killed run goes on.

    Example: jacorpus mix optimize ja-web.toml --set 'mixing.target={ja = 1.0}'
    """
    from cli.mix.bar import NamedBar
    from cli.mix.gather import Task
    from cli.mix.printing import print_mixture, print_problem, print_result
    from jacorpus.recipe import load_tables
    from mixing.mixture import NAME

    tables = load_tables(recipe, tuple(overrides or ()))
    table = dict(tables.get("mixing", {}))
    table |= {"method": method} if method else {}
    table |= {"compare": [*table.get("compare", []), *compare]} if compare else {}
    table |= {"judge": judge} if judge is not None else {}
    base = Path(tables.get("out") or f"out/{tables.get('name', recipe.stem)}")
    task = Task.of({**tables, "mixing": table}, tokens or base / "tokens", out or base / "mixture")
    if dry_run:
        print_problem(task.problem, task.settings, json)
        return
    found = task.done
    if found is None or force:
        with NamedBar(quiet or json) as bar:
            result = task.run(bar)
        if not json:
            print_result(result, task.out)
            return
        found = task.mixture(result)
    elif not json:
        console.notes.print(f"{task.out / NAME} is of these very wishes and shards; --force optimizes again")
    print_mixture(found, task.out, json)
