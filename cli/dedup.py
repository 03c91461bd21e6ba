"""``jacorpus corpus dedup``: near-duplicates out of files, without a recipe."""

from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import typer

from cli import console

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show the traceback of an error.")]


def dedup(
    inputs: Annotated[list[Path], typer.Argument(help="JSONL (plain, gz, zst) or Parquet files.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="File of the same kind to write.", show_default=False)],
    threshold: Annotated[float, typer.Option(help="Smallest Jaccard similarity of a duplicate.")] = 0.7,
    column: Annotated[str, typer.Option(help="Key or column of the text.")] = "text",
    force: Annotated[bool, typer.Option("--force", help="Replace the output file if there is one.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Remove near-duplicates from files; lines that stay are copied byte for byte.

    Of each cluster the first document stays. Beside OUT: OUT.clusters.jsonl, OUT.rejected.jsonl (bad lines).
    Example: jacorpus corpus dedup web-*.jsonl.zst --out web.jsonl.zst
    """
    from jacorpus.dedup.files import Options, dedup_files, memory_estimate
    from jacorpus.dedup.minhash import Minhash
    from jacorpus.errors import RecipeError

    try:
        options = Options(Minhash(threshold=threshold), column, force)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    each = memory_estimate(options.stage, 1)
    with console.RunWatcher(quiet or json) as watcher:
        watcher.say(f"signatures are held in memory: {each} bytes a document, {each / 1000:.2f} GB a million")
        summary = dedup_files(inputs, out, options, _Progress(watcher, inputs))
    console.print_json(summary) if json else _print(summary)


class _Progress:
    """Turns what dedup_files tells into the phases of a run."""

    def __init__(self, watcher: console.RunWatcher, inputs: list[Path]) -> None:
        self.watcher, self.inputs, self.phase = watcher, inputs, ""
        self.read: dict[str, int] = {}

    def __call__(self, phase: str, file: Any, number: int) -> None:
        if phase != self.phase:
            self.phase, self.read = phase, {}
            self.watcher.phase(phase, len(self.inputs), 0, sum(path.stat().st_size for path in self.inputs))
        before = self.read.get(file.uri, 0)
        self.read[file.uri] = before + number
        task = SimpleNamespace(key=file.uri, name=file.name, size=file.size)
        done = before < file.size <= before + number
        self.watcher.event("done" if done else "progress", task, number)


def _print(summary: dict[str, Any]) -> None:
    names = ("documents", "kept", "removed", "clusters", "rejected")
    console.print_table(str(summary["out"]), ["", "count"], [[name, summary[name]] for name in names])
    for reason, count in summary["rejected_by_reason"].items():
        console.notes.print(f"rejected, {reason}: {count:,}; see {summary['out']}.rejected.jsonl")
