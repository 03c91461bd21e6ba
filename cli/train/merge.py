"""``jacorpus train merge``: several models' weights become one model."""

from pathlib import Path
from typing import Annotated

import typer

from cli import console
from cli.train.options import Json, Verbose


def merge(
    model: Annotated[list[str], typer.Option("--model", "-m", help="FOLDER or FOLDER=WEIGHT; once for each model.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write; of the first model's kind.")],
    method: Annotated[str, typer.Option(help="linear, slerp, task, ties, dare_linear, dare_ties or stock.")] = "linear",
    base: Annotated[Path | None, typer.Option("--base", "-b", help="What the models were trained from.")] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="NAME=NUMBER of the method: density, drop or scale; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what DARE drops.")] = 42,
    average: Annotated[
        str | None, typer.Option(metavar="STEPS", help="Checkpoints of the one --model RUN to average, as 100,200,300.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the merged model that lies there.")] = False,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Merge models of one start without training; the first one's tokenizer and chat template stay.

    Example: jacorpus train merge --method ties --base B --model A=0.5 --model C=0.5 --out merged
    """
    if average is not None:
        _average(model, average, out, force, json, method != "linear" or base is not None or bool(option))
        return
    from jacorpus.errors import RecipeError
    from trainer.merge import merge as write
    from trainer.merge_methods import METHODS

    folders, weights = zip(*(_valued(each) for each in model), strict=True)
    given = [weight for weight in weights if weight is not None]
    if given and len(given) < len(weights):
        raise RecipeError("some models have a weight and some have none; give each one, as --model FOLDER=0.5, or none")
    if base is not None and method in METHODS and METHODS[method].change is None:
        raise RecipeError(f"{method} uses no base; leave --base out")
    options = dict(_valued(each, "--option") for each in option or ())
    result = write(method, [Path(folder) for folder in folders], given, base, options, seed, out, force)
    if json:
        console.print_json(result)
        return
    console.result.print(f"{len(folders)} models of {result['parameters']:,} parameters merged by {method}")
    for each, weight in zip(result["models"], result["weights"], strict=True):
        console.result.print(f"  {weight:.4g} of {each['name']}")
    console.result.print(f"model in {out}")


def _average(model: list[str], average: str, out: Path, force: bool, json: bool, more: bool) -> None:
    """Checkpoints of one run. more: whether words were given that only other merges have."""
    from jacorpus.errors import RecipeError
    from trainer.merge import merge_steps

    if len(model) != 1:
        raise RecipeError(f"--average takes checkpoints of one run, got {len(model)} --model; give one --model RUN")
    if more or _valued(model[0])[1] is not None:
        raise RecipeError("--average weighs its checkpoints alike; leave --method, --base, --option and =WEIGHT out")
    try:
        steps = [int(step) for step in average.split(",")]
    except ValueError:
        raise RecipeError(f"--average {average}: write steps with commas, as --average 100,200,300") from None
    result = merge_steps(Path(model[0]), steps, out, force)
    if json:
        console.print_json(result)
        return
    named = ", ".join(f"{step:,}" for step in steps)
    console.result.print(f"checkpoints {named} of {result['run']}, {result['parameters']:,} parameters, averaged")
    console.result.print(f"model in {out}")


def _valued(text: str, flag: str = "--model") -> tuple[str, float | None]:
    """(name, number) of NAME=NUMBER. The number may be left out for a model alone."""
    from jacorpus.errors import RecipeError

    name, equals, number = text.rpartition("=")
    if not equals and flag == "--model":
        return text, None
    try:
        return name, float(number)
    except ValueError:
        if flag == "--model" and Path(text).exists():  # a folder with = in its name
            return text, None
        raise RecipeError(f"{flag} {text}: write NAME=NUMBER, as {flag} {name or 'scale'}=0.5") from None
