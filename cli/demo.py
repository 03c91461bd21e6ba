"""``jacorpus demo``: the main job on the bundled sample, offline: pages to shards, tokenizers, mixture, a model."""

import importlib.util
import shlex
from pathlib import Path
from typing import Annotated

import typer

from cli import console

VOCAB_SIZE = 1800
"""Ids of the demo's tokenizers: the sample is 0.4 MB of sentences made of few words, which more ids learn whole."""


PROMPT = "釣り仲間から借りた本を読み始めたものの、"
"""What the demo's model goes on from: a beginning of its sample's kind."""


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Output folder.")] = Path("out/demo"),
    workers: Annotated[int | None, typer.Option("--workers", "-w", min=1, help="Processes.")] = None,
    model: Annotated[bool, typer.Option("--model/--no-model", help="Train a small model at the end.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the traceback of an error.")] = False,
) -> None:
    """Run the whole toolkit on the bundled pages and notes: raw archive to shards, tokenizers, mixture, model, reports.

    Example: jacorpus demo --out out/demo
    """
    import jacorpus.recipes
    from cli.corpus import print_summary, run_loaded
    from jacorpus.recipe import load_recipe

    path = Path(jacorpus.recipes.__file__).parent / "sample" / "recipe.toml"
    recipe = load_recipe(path)
    if not quiet:
        console.notes.print("jacorpus demo: the first run on a machine also compiles its kernels, about a minute")
    manifest = run_loaded(recipe, out, workers, "local", quiet)
    print_summary(manifest, out)
    _tokenizers(out, workers, quiet)
    _mixture(path, out, quiet)
    reports = [out, out / "tokenizers", out / "mixture"]
    if model and _model(path, out, quiet):
        reports += [out / "model", out / "evaluation"]
    shown = "\n        ".join(str(folder / "report.html") for folder in reports)
    console.result.print(
        f"\nreports {shown}"
        f"\nnext    jacorpus corpus validate {out}\n        jacorpus corpus what-if {out} --set text.chars=100"
    )


def _tokenizers(out: Path, workers: int | None, quiet: bool) -> None:
    """Train two tokenizers on the shards, compare them with bytes and characters, and encode the shards."""
    from cli.tokenizer.compare import compare
    from cli.tokenizer.encode import encode
    from cli.tokenizer.train import train

    folder = out / "tokenizers"
    trained = [folder / algorithm for algorithm in ("unigram", "byte-bpe")]
    for path in trained:
        _say("tokenizer train", out, "--algorithm", path.name, "--vocab-size", VOCAB_SIZE, "--out", path, "--force")
        train([str(out)], path, algorithm=path.name, vocab_size=VOCAB_SIZE, force=True, quiet=quiet)
    _say("tokenizer compare", *trained, "--corpus", out, "--out", folder)
    compare([str(path) for path in trained], [str(out)], out=folder, quiet=quiet)
    _say("tokenizer encode", out, "--tokenizer", trained[0], "--out", out / "tokens")
    encode([str(out)], str(trained[0]), out / "tokens", workers=workers, quiet=quiet)


def _mixture(recipe: Path, out: Path, quiet: bool) -> None:
    """Weigh the two domains by count tables of the token shards."""
    from cli.mix.optimize import optimize

    tokens, mixture = out / "tokens", out / "mixture"
    _say("mix optimize", recipe.name, "--tokens", tokens, "--out", mixture)
    optimize(recipe, tokens, mixture, quiet=quiet)


def _model(recipe: Path, out: Path, quiet: bool) -> bool:
    """Train a small model on the token shards, measure it beside pairs of tokens, let it write. False without torch."""
    if importlib.util.find_spec("torch") is None:
        console.notes.print("no model: torch is not installed; `pip install 'jacorpus[train]'` brings it")
        return False
    from cli.evaluate import evaluate
    from cli.generate import generate
    from cli.train import pretrain

    model, tokens = out / "model", out / "tokens"
    _say("train pretrain", recipe.name, "--tokens", tokens, "--mixture", out / "mixture", "--out", model)
    pretrain(recipe, tokens, model, out / "mixture", quiet=quiet)
    _say("evaluate", model, "--tokens", tokens, "--baseline", "bigram", "--out", out / "evaluation")
    evaluate(model, tokens, baseline="bigram", out=out / "evaluation", quiet=quiet)
    _say("generate", model, PROMPT, "--max-tokens", 60, "--temperature", 0.7)
    generate(model, PROMPT, max_tokens=60, temperature=0.7, quiet=quiet)
    return True


def _say(verb: str, *words: object) -> None:
    """The command that comes next, as one would type it."""
    console.result.print(f"\n$ jacorpus {verb} {shlex.join(map(str, words))}")
