"""``jacorpus synthesize``: documents from a language model, out of seeds, by a template."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import console

if TYPE_CHECKING:
    from jacorpus.synthesize.client import Meter


def synthesize(
    seeds: Annotated[
        list[str], typer.Argument(help="JSONL, Parquet, Arrow, or a corpus's output.", show_default=False)
    ],
    template: Annotated[str, typer.Option("--template", "-t", help="Name, or path of a TOML file.")],
    endpoint: Annotated[str, typer.Option(help="Address of an OpenAI-style endpoint, https://HOST/v1.")],
    model: Annotated[str, typer.Option(help="Model that writes.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.", show_default=False)],
    license: Annotated[str, typer.Option(help="License of what the generator writes; on every row.")] = "unknown",
    weak_model: Annotated[str, typer.Option(help="Model to be trained (codeclm).")] = "",
    weak_endpoint: Annotated[str, typer.Option(help="Its address; default: --endpoint.")] = "",
    judge_model: Annotated[str, typer.Option(help="Model that judges; default: --model.")] = "",
    column: Annotated[str, typer.Option(help="Key or column of the seeds' text.")] = "text",
    limit: Annotated[int, typer.Option(min=0, help="Stop after so many seeds (0: all).")] = 0,
    draws: Annotated[int, typer.Option(min=1, help="Documents a seed.")] = 1,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests at once.")] = 16,
    rpm: Annotated[float, typer.Option(min=0, help="Requests a minute (0: no limit).")] = 0,
    tpm: Annotated[float, typer.Option(min=0, help="Tokens a minute (0: no limit).")] = 0,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds of one request.")] = 120,
    retries: Annotated[int, typer.Option(min=0, help="After 429, 5xx, timeouts, broken connections.")] = 6,
    key_env: Annotated[str, typer.Option(help="Environment variable that holds the endpoint's key.")] = "",
    price_in: Annotated[float, typer.Option(min=0, help="Price of a million tokens of prompts.")] = 0,
    price_out: Annotated[float, typer.Option(min=0, help="Price of a million tokens of answers.")] = 0,
    max_cost: Annotated[float, typer.Option(min=0, help="Spend no more on OUT, earlier runs included.")] = 0,
    json_schema: Annotated[bool, typer.Option("--json-schema", help="Let the endpoint enforce schemas too.")] = False,
    benchmark: Annotated[list[str] | None, typer.Option(help="JSONL whose items must not appear; repeatable.")] = None,
    glossary: Annotated[str, typer.Option(help="Terms for translation: term, tab, translation a line.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show one request and the cost; send nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the traceback of an error.")] = False,
) -> None:
    """Make documents out of seeds; what was received is kept, so the same command goes on after any end.

    Example: jacorpus synthesize docs.jsonl -t qa --endpoint http://localhost:8000/v1 --model llm-jp-4 -o synth
    """
    from jacorpus.synthesize.client import Limits
    from jacorpus.synthesize.run import Job, Synthesis

    models = {"main": model, "weak": weak_model, "judge": judge_model or model}
    addresses = {"main": endpoint, "weak": weak_endpoint or endpoint, "judge": endpoint}
    wanted: dict[str, Any] = {
        "column": column,
        "limit": limit,
        "draws": draws,
        "json_schema": json_schema,
        "glossary": glossary,
    }
    prices: dict[str, Any] = {"price_in": price_in, "price_out": price_out, "max_cost": max_cost}
    limits = Limits(concurrency, rpm, tpm, timeout, retries, key_env=key_env)
    wanted["benchmarks"] = tuple(benchmark or ())
    synthesis = Synthesis(Job(tuple(seeds), template, models, addresses, license, limits=limits, **wanted, **prices))
    if dry_run:
        console.print_json(synthesis.estimate())
        return
    with _Bar(sum(1 for _ in synthesis.units()), quiet or json) as bar:
        manifest = synthesis.run(out, bar.update)
    _print(manifest, bar, out, json)


def _print(manifest: dict[str, Any], bar: "_Bar", out: Path, json: bool) -> None:
    if json:
        console.print_json(manifest)
    else:
        rows = [[name, number] for name, number in manifest["counts"].items()]
        console.print_table(str(out), ["", "count"], rows + [[f"  {k}", v] for k, v in manifest["reasons"].items()])
        if bar.line:
            console.notes.print(bar.line)
    if manifest["license"] == "unknown":
        console.notes.print("the generator's license was not given; rows say unknown (--license)")
    if not manifest["complete"]:
        left = bar.total - manifest["counts"]["read"]
        console.notes.print(f"--max-cost is reached with {left:,} left; the same command with a higher one goes on")


class _Bar:
    """Documents done and what they cost: a bar on a terminal, a line every 30 seconds elsewhere."""

    def __init__(self, total: int, quiet: bool) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.total, self.quiet, self.line, self._last = total, quiet, "", time.monotonic()
        self.bar: Any = None
        if not quiet and console.notes.is_terminal:
            text = TextColumn("{task.description}", markup=False)
            self.bar = Progress(BarColumn(20), text, TimeRemainingColumn(), console=console.notes)
            self._task = self.bar.add_task("", total=total)

    def __enter__(self) -> "_Bar":
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def update(self, done: int, meter: "Meter") -> None:
        """So many are done."""
        tokens = f"{meter.tokens_in:,} tokens in, {meter.tokens_out:,} out"
        money = f"cost {meter.spent:,.4f} ({meter.before + meter.spent:,.4f} in all)"
        self.line = f"{done:,}/{self.total:,}  {tokens}, {meter.cached:,} requests known  {money}"
        if self.bar:
            self.bar.update(self._task, completed=done, description=self.line)
        elif not self.quiet and time.monotonic() - self._last > console.LINE_EVERY_S:
            self._last = time.monotonic()
            console.notes.print(self.line)
