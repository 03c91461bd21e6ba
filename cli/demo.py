"""``jacorpus demo``: the main job on the bundled sample, offline."""

from pathlib import Path
from typing import Annotated

import typer

from cli import console


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Output folder.")] = Path("out/demo"),
    workers: Annotated[int | None, typer.Option("--workers", "-w", min=1, help="Processes.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the traceback of an error.")] = False,
) -> None:
    """Run the recipe `sample` on the bundled pages and notes: raw archive to shards and report.

    Example: jacorpus demo --out out/demo
    """
    import jacorpus.recipes
    from cli.corpus import print_summary, run_loaded
    from jacorpus.recipe import load_recipe

    recipe = load_recipe(Path(jacorpus.recipes.__file__).parent / "sample" / "recipe.toml")
    if not quiet:
        console.notes.print("jacorpus demo: the first run on a machine also compiles its kernels, about half a minute")
    manifest = run_loaded(recipe, out, workers, "local", quiet)
    print_summary(manifest, out)
    console.result.print(
        f"\nnext    jacorpus corpus validate {out}\n        jacorpus corpus what-if {out} --set text.chars=100"
    )
