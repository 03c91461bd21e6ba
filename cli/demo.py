"""``jacorpus demo``: the main job on the bundled sample, offline: pages to shards, tokenizers, token shards."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from cli import console

VOCAB_SIZE = 1800
"""Ids of the demo's tokenizers: the sample is 0.4 MB of sentences made of few words, which more ids learn whole."""


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Output folder.")] = Path("out/demo"),
    workers: Annotated[int | None, typer.Option("--workers", "-w", min=1, help="Processes.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the traceback of an error.")] = False,
) -> None:
    """Run the whole toolkit on the bundled pages and notes: raw archive to shards, tokenizers, token shards, reports.

    Example: jacorpus demo --out out/demo
    """
    import jacorpus.recipes
    from cli.corpus import print_summary, run_loaded
    from jacorpus.recipe import load_recipe

    recipe = load_recipe(Path(jacorpus.recipes.__file__).parent / "sample" / "recipe.toml")
    if not quiet:
        console.notes.print("jacorpus demo: the first run on a machine also compiles its kernels, about a minute")
    manifest = run_loaded(recipe, out, workers, "local", quiet)
    print_summary(manifest, out)
    _tokenizers(out, workers, quiet)
    console.result.print(
        f"\nreports {out / 'report.html'}\n        {out / 'tokenizers' / 'report.html'}"
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
        _say("train", out, "--algorithm", path.name, "--vocab-size", VOCAB_SIZE, "--out", path, "--force")
        train([str(out)], path, algorithm=path.name, vocab_size=VOCAB_SIZE, force=True, quiet=quiet)
    _say("compare", *trained, "--corpus", out, "--out", folder)
    compare([str(path) for path in trained], [str(out)], out=folder, quiet=quiet)
    _say("encode", out, "--tokenizer", trained[0], "--out", out / "tokens")
    encode([str(out)], str(trained[0]), out / "tokens", workers=workers, quiet=quiet)


def _say(verb: str, *words: object) -> None:
    """The command that comes next, as one would type it."""
    console.result.print(f"\n$ jacorpus tokenizer {verb} {shlex.join(map(str, words))}")
