"""``jacorpus recipe``: write a new recipe, check one, describe what a recipe can hold."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli import console

app = typer.Typer(no_args_is_help=True, help="Write, check and describe recipes.")


@app.command()
def new(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("recipe.toml"),
    source: Annotated[str, typer.Option(help="Kind of input, such as warc, jsonl, parquet.")] = "warc",
    paths: Annotated[list[str] | None, typer.Option("--path", help="Input files or globs.")] = None,
    domain: Annotated[str, typer.Option(help="Name of the domain.")] = "web",
    profile: Annotated[str, typer.Option(help="Profile of rules.")] = "default",
    force: Annotated[bool, typer.Option("--force", help="Overwrite.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False,
) -> None:
    """Write a commented recipe to start from.

    Example: jacorpus recipe new ja-web.toml --source warc --path 'data/*.warc.gz'
    """
    from jacorpus.errors import JacorpusError
    from jacorpus.recipes.new import new_recipe
    from jacorpus.shards import storage_errors

    if path.exists() and not force:
        raise JacorpusError(f"{path} exists; --force overwrites it")
    text = new_recipe(path.stem, source, paths or [], domain, profile)
    with storage_errors(path):
        path.write_text(text, "utf-8")
    console.result.print(f"wrote {path}; `jacorpus corpus run {path}` runs it")


@app.command()
def check(
    path: Annotated[Path, typer.Argument(help="A recipe.", show_default=False)],
    overrides: Annotated[list[str] | None, typer.Option("--set", help="Override, as key=value.")] = None,
    json: Annotated[bool, typer.Option("--json")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False,
) -> None:
    """Check a recipe: keys, stages, options, profiles, inputs, model and training. Exit 2 where something is wrong.

    Example: jacorpus recipe check recipe.toml
    """
    from jacorpus.plan import pipeline_of
    from jacorpus.recipe import load_recipe, load_tables
    from jacorpus.sources.paths import expand

    tables = load_tables(path, tuple(overrides or []))
    trains = _check_training(tables)
    if trains and "source" not in tables:  # a recipe for token shards that are there
        console.print_json({"resolved": tables}) if json else console.result.print(f"{path}: {trains}; no [[source]]")
        return
    recipe = load_recipe(path, tuple(overrides or []))
    pipeline = pipeline_of(recipe)
    files = [(source.domain, file) for source in recipe.sources for file in expand(source.paths, recipe.folder)]
    active = pipeline.active()
    rules = [rule.as_json(i, on) for i, (rule, on) in enumerate(zip(pipeline.rules, active, strict=True))]
    if json:
        console.print_json(
            {
                "resolved": recipe.resolved(),
                "files": [{"domain": domain, "file": file.name, "bytes": file.size} for domain, file in files],
                "rules": rules,
            }
        )
        return
    console.print_table("Inputs", ("domain", "file", "bytes"), [(d, f.name, console.size(f.size)) for d, f in files], 2)
    console.result.print()
    steps = [(s.label, s.use, s.kind, ", ".join(s.domains or ["all"])) for s in pipeline.steps]
    console.print_table("Stages", ("label", "use", "kind", "domains"), steps, 4)
    console.result.print()
    shown = [(r.signal, r.describe(), r.reason, on) for r, on in zip(pipeline.rules, active, strict=True)]
    console.print_table("Rules", ("signal", "keep if", "reason", "active"), shown, 4)


def _check_training(tables: dict[str, Any]) -> str:
    """What [model] and [train] ask for, in words; empty without them. Raises RecipeError for what they, or [mixing],
    can't."""
    if "mixing" in tables:
        from mixing.method import method_named
        from mixing.settings import settings_of

        settings = settings_of(tables)
        method_named(settings.method, settings.options)
        for name in settings.compare:
            method_named(name)
    if "model" not in tables and "train" not in tables:
        return ""
    from trainer.layouts import model_from_table
    from trainer.settings import settings_from_table

    settings_from_table(dict(tables.get("train", {})))
    model = tables.get("model", {})
    if "init" in model:
        return f"training goes on from {model['init']}"
    layers = model_from_table(dict(model), model.get("vocab_size", 1)).layers
    return f"a model of {len(layers)} layers is trained"


@app.command()
def schema(
    stages: Annotated[bool, typer.Option("--stages", help="A list of all stages and profiles instead.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False,
) -> None:
    """JSON Schema of a recipe, for editors.

    Example: jacorpus recipe schema > recipe.schema.json
    """
    from jacorpus.recipes.describe import recipe_schema
    from jacorpus.resolve import known_stages
    from jacorpus.rules.profile import profile_names

    if stages:
        console.print_table("Stages", ("use", "what it does"), list(known_stages().items()), 2)
        console.result.print("\nProfiles: " + ", ".join(profile_names()))
    else:
        console.print_json(recipe_schema())
