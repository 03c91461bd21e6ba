"""``jacorpus train post``: from a base model to one that answers, by a recipe's stages."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import console
from cli.train.options import Json, Overrides, Quiet, Verbose

if TYPE_CHECKING:
    from trainer.posttrain.recipe import PostTraining


def post(
    recipe: Annotated[
        Path, typer.Argument(help=r"Recipe with \[posttrain] and its stages, or llama3-style, which comes along.")
    ],
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help=r"Model to start from; default: model of \[posttrain].")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of all stages; default: OUT of the recipe/posttrain.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Name of the last stage to run.")] = None,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check data, show what would be trained.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Make all stages anew.")] = False,
    force_from: Annotated[str | None, typer.Option(help="Make this stage and those after it anew.")] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Fine-tune, align and reinforce a model by the stages of a recipe. A killed run goes on where it was.

    Example: jacorpus train post chat.toml --model out/ja-web/model --out out/ja-web/chat
    """
    from cli.progress import TrainingBar
    from jacorpus.recipe import load_tables
    from jacorpus.recipes.posttrain import FOLDER, bundled
    from trainer.posttrain.recipe import PostTraining

    if str(recipe) in bundled() and not recipe.exists():
        recipe = FOLDER / f"{recipe}.toml"
    tables = load_tables(recipe, tuple(overrides or ()))
    base = Path(tables.get("out") or f"out/{tables.get('name', recipe.stem)}")
    run = PostTraining(tables, out or base / "posttrain", model, recipe.parent)
    if dry_run:
        _print_plan(run, json)
        return
    if force or force_from:
        run.clear(None if force else force_from)
    with TrainingBar(0, quiet or json) as bar:
        results = run.run(bar, until)
    if json:
        console.print_json({"stages": results, "model": str(run.last())})
    else:
        _print(run, results)


def _print_plan(run: "PostTraining", json: bool) -> None:
    found = run.check()
    if json:
        console.print_json(found)
        return
    for stage in found:
        facts = {key: value for key, value in stage.items() if key not in ("stage", "first")}
        console.result.print(f"{stage['stage']}: " + ", ".join(f"{key} {value}" for key, value in facts.items()))
        if "first" in stage:
            console.result.print(stage["first"], markup=False)


def _print(run: "PostTraining", results: list[dict[str, Any]]) -> None:
    say = console.result.print
    for result in results:
        facts = {key: value for key, value in result.items() if isinstance(value, int | float | str)}
        shown = [f"{key} {value:,}" if isinstance(value, int) else f"{key} {value}" for key, value in facts.items()]
        say(f"{result['stage']}: " + ", ".join(shown[1:]), markup=False)
    say(f"model in {run.last()}")
    if (run.out / "card.md").is_file():
        say(f"card: {run.out / 'card.html'}")
