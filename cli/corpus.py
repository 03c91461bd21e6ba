"""``jacorpus corpus``: run a recipe, and ask its output."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli import console
from cli.dedup import dedup

app = typer.Typer(no_args_is_help=True, help="Raw input to curated shards, and questions to the result.")
app.command()(dedup)

Out = Annotated[Path, typer.Argument(help="Output folder of a finished run.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show the traceback of an error.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override, as key=value; may be repeated.")]
Workers = Annotated[int | None, typer.Option("--workers", "-w", min=1, help="Processes; default: all processors.")]
EngineName = Annotated[str, typer.Option("--engine", help="local, inline, or ray (needs the extra `ray`).")]


@app.command()
def run(
    recipe: Annotated[Path, typer.Argument(help="A recipe (TOML).", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Output folder; default: `out` of the recipe.")
    ] = None,
    overrides: Set = None,
    workers: Workers = None,
    engine: EngineName = "local",
    limit: Annotated[int, typer.Option(min=0, help="Trial run: so many records of each source.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the recipe, list the tasks, do nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Forget finished tasks and start over.")] = False,
    keep_text: Annotated[bool, typer.Option(help="Keep measured text under work/ for the next run.")] = True,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run a recipe; a second run does only what changed, a killed one goes on.

    Example: jacorpus corpus run recipe.toml --out out/ja-web --workers 8
    """
    from jacorpus.recipe import load_recipe

    words = [*(overrides or []), *([f"limit={limit}"] if limit else [])]
    loaded = load_recipe(recipe, tuple(words))
    target = out or Path(loaded.out or f"out/{loaded.name}")
    if dry_run:
        _dry_run(loaded, target, json)
        return
    if force:
        _forget(target)
    manifest = run_loaded(loaded, target, workers, engine, quiet or json, keep_text)
    if json:
        console.print_json(manifest)
    else:
        print_summary(manifest, target)


def run_loaded(recipe: Any, out: Path, workers: int | None, engine: str, quiet: bool, keep_text: bool = True) -> Any:
    """Run with a progress bar, then write the report."""
    from jacorpus.output.report import write_report
    from jacorpus.run import default_workers, drop_text, run_recipe

    with console.RunWatcher(quiet) as watcher:
        manifest = run_recipe(recipe, out, make_engine(engine, workers or default_workers()), watcher)
        watcher.phase("report", 1, 0, 0)
        write_report(out)
        watcher.finish()
    if not keep_text:
        drop_text(out)
    return manifest


def make_engine(name: str, workers: int) -> Any:
    """The engine of ``--engine``."""
    from jacorpus.errors import RecipeError, nearest

    if name == "local":
        from jacorpus.engine.local import Local

        return Local(workers)
    if name == "inline":
        from jacorpus.engine.inline import Inline

        return Inline()
    if name == "ray":
        from jacorpus.engine.ray import Ray

        return Ray(workers)
    raise RecipeError(f"--engine {name}{nearest(name, ('local', 'inline', 'ray'))}")


def _forget(out: Path) -> None:
    """Forget finished tasks; not those of a run that is at work."""
    import shutil

    from jacorpus.store import Store

    if not (out / "work").is_dir():
        return
    with Store(out / "work").lock():
        for name in ("done", "parts", "outcomes"):
            shutil.rmtree(out / "work" / name, ignore_errors=True)


def _dry_run(recipe: Any, out: Path, json: bool) -> None:
    from jacorpus.engine.local import Local
    from jacorpus.run import Run
    from jacorpus.tasks import pending

    plan = Run(recipe, out, Local(1))
    tasks = [part.task for part in plan.plan()]
    left, _ = pending(tasks, plan.store)
    waiting = {task.key for task in left}
    rows = [(task.name, task.payload.source.domain, task.size, task.key not in waiting) for task in tasks]
    if json:
        names = ("task", "domain", "bytes", "done")
        console.print_json([dict(zip(names, row, strict=True)) for row in rows])
        return
    console.print_table(f"{len(tasks)} measure tasks, {len(left)} to do", ("task", "domain", "bytes", "done"), rows, 2)


def print_summary(manifest: dict[str, Any], out: Path) -> None:
    """The table a run ends with."""
    rows = [
        (name, d["read"], d["kept"], d["dropped"], d["failed"], console.size(d["kept_bytes"]))
        for name, d in manifest["domains"].items()
    ]
    counts = manifest["counts"]
    if len(rows) > 1:
        kept_bytes = sum(d["kept_bytes"] for d in manifest["domains"].values())
        rows.append(
            ("all", counts["read"], counts["kept"], counts["dropped"], counts["failed"], console.size(kept_bytes))
        )
    console.print_table(manifest["name"], ("domain", "read", "kept", "dropped", "failed", "text kept"), rows)
    reasons: dict[tuple[str, str, str], int] = {}
    for fate in manifest["fates"]:
        if fate["state"] != "kept":
            key = (fate["state"], fate["stage"], fate["reason"])
            reasons[key] = reasons.get(key, 0) + fate["documents"]
    ordered = sorted(reasons.items(), key=lambda item: -item[1])
    console.result.print()
    console.print_table("Why", ("state", "stage", "reason", "records"), [(*key, n) for key, n in ordered], 3)
    console.result.print(f"\nshards  {out / 'shards'}\nreport  {out / 'report.html'}")


@app.command("what-if")
def what_if(
    out: Out,
    profile: Annotated[str | None, typer.Option(help="Another profile, by name or path.")] = None,
    overrides: Set = None,
    bytes_per_token: Annotated[float | None, typer.Option(min=0.1, help="For tokens; default: the recipe's.")] = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """What another profile or threshold would keep; reads signals and clusters only.

    Example: jacorpus corpus what-if out/ja-web --set text.chars=200
    """
    from jacorpus.output.what_if import what_if as ask

    answer = ask(out, profile, parse_bounds(overrides or []), bytes_per_token)
    if json:
        console.print_json(answer)
        return
    rows = []
    for name, one in [*answer["domains"].items(), ("all", answer["total"])]:
        now, then = one["now"], one["then"]
        change = then["documents"] - now["documents"]
        rows.append(
            (
                name,
                now["documents"],
                then["documents"],
                f"{change:+,}",
                console.size(then["bytes"]),
                then["tokens"],
                one["unknown"],
            )
        )
    header = ("domain", "kept now", "then", "change", "bytes then", "tokens then", "unknown")
    console.print_table("What if", header, rows)
    drops = [(r["reason"], r["signal"], r["bound"], r["drops"]) for r in answer["rules"] if r["active"] and r["drops"]]
    console.result.print()
    console.print_table("Rules, by what they drop first", ("reason", "signal", "keep if", "drops"), drops, 3)


def parse_bounds(words: list[str]) -> dict[str, Any]:
    """``signal=bound`` words; a bound is a number or a TOML list."""
    import tomllib

    from jacorpus.errors import RecipeError

    found = {}
    for word in words:
        name, equals, text = word.partition("=")
        try:
            found[name] = tomllib.loads(f"v = {text}")["v"]
        except tomllib.TOMLDecodeError:
            equals = ""
        if not equals or not isinstance(found[name], (int, float, list)):
            raise RecipeError(f"--set {word}: write it as signal=number, as in text.chars=200")
    return found


@app.command()
def explain(
    out: Out,
    key: Annotated[str, typer.Argument(help="A document's id (32 hex digits) or URL.", show_default=False)],
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """One document's whole story: read, measured, decided, written.

    Example: jacorpus corpus explain out/ja-web https://example.jp/
    """
    from jacorpus.output.explain import explain as ask

    stories = ask(out, key)
    if json:
        console.print_json(stories)
        return
    for story in stories:
        _print_story(story)


def _print_story(story: dict[str, Any]) -> None:
    say = console.result.print
    say(story["id"], style="bold", end="")
    say(f"  {story['state']}" + (f": {story['stage']}, {story['reason']}" if story["stage"] else ""))
    say(f"  {story['domain']}: {story['file']} at {story['position']}" + (f"  {story['url']}" if story["url"] else ""))
    if story["detail"]:
        say(f"  {story['detail']}")
    for found in story["duplicates"]:
        say(f"  {found['label']}: one of {found['size']} in cluster {found['cluster']}, kept {found['kept'] or 'none'}")
        say(f"    nearest neighbor {found['similarity']}; members {' '.join(found['members'][:6])}")
        if found.get("matched"):
            say(f"    matched {found['matched']} of the snapshot {found['matched_in']}")
    rules = [(r["verdict"], r["signal"], r["value"], r["bound"]) for r in story.get("rules", [])]
    if rules:
        console.print_table("", ("verdict", "signal", "value", "keep if"), rules, 2)
    named = {r[1] for r in rules}
    others = [(k, v) for k, v in story.get("signals", {}).items() if k not in named]
    if others:
        console.print_table("", ("other signal", "value"), others)
    if story.get("shard"):
        shard = story["shard"]
        say(f"  {shard['path']} row {shard['row']} ({shard['split']}), stands for {shard['cluster_size']}")
        say(shard["text"])


@app.command()
def validate(
    out: Out,
    inputs: Annotated[bool, typer.Option(help="Count the input files again too.")] = True,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Prove the output: checksums, accounting, shards against audit, a second count of the inputs. Exit 3 if not.

    Example: jacorpus corpus validate out/ja-web
    """
    from jacorpus.output.validate import validate as check

    answer = check(out, inputs)
    if json:
        console.print_json(answer)
    else:
        rows = [("ok" if c["passed"] else "FAILED", c["name"], c["detail"]) for c in answer["checks"]]
        console.print_table("", ("", "check", "finding"), rows, 3)
    if not answer["passed"]:
        raise typer.Exit(3)


@app.command()
def stats(out: Out, json: Json = False, verbose: Verbose = False) -> None:
    """Counts by domain and reason, and the spread of each signal.

    Example: jacorpus corpus stats out/ja-web
    """
    from jacorpus.output.stats import stats as ask

    answer = ask(out)
    if json:
        console.print_json(answer)
        return
    print_summary(answer["manifest"], out)
    rows = [(s["signal"], s["known"], s["p05"], s["median"], s["p95"], s["mean"]) for s in answer["signals"]]
    console.result.print()
    console.print_table("Signals of measured documents", ("signal", "known", "5 %", "median", "95 %", "mean"), rows)
    for name, values in answer["names"].items():
        console.result.print()
        console.print_table(name, ("value", "documents"), list(values.items()))


@app.command()
def diff(
    first: Out,
    second: Annotated[Path, typer.Argument(help="Another output folder.", show_default=False)],
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """What moved between two runs, from which fate to which.

    Example: jacorpus corpus diff out/old out/new
    """
    from jacorpus.output.diff import diff as ask

    answer = ask(first, second)
    if json:
        console.print_json(answer)
        return
    rows = [(m["from"], m["to"], m["documents"], m["ids"][0]) for m in answer["moves"]]
    title = f"{answer['same']:,} records have the same fate in both"
    header = ("in the first", "in the second", "records", "such as")
    console.print_table(title, header, rows, 2, whole=("such as",))


@app.command()
def export(
    format: Annotated[str, typer.Argument(help="parquet or jsonl.zst", show_default=False)],
    out: Out,
    to: Annotated[Path, typer.Argument(help="Folder to write to.", show_default=False)],
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Kept documents as files other tools read.

    Example: jacorpus corpus export jsonl.zst out/ja-web export/
    """
    from jacorpus.errors import RecipeError, nearest
    from jacorpus.output.export import export as write

    if format not in ("parquet", "jsonl.zst"):
        raise RecipeError(f"unknown format {format}{nearest(format, ('parquet', 'jsonl.zst'))}")
    files = write(out, to, format)  # type: ignore[arg-type]
    if json:
        console.print_json([str(path) for path in files])
    else:
        console.print_table("", ("file", "size"), [(path, console.size(path.stat().st_size)) for path in files])


@app.command()
def remove(
    out: Out,
    keys: Annotated[list[str], typer.Argument(help="Ids or URLs; @file for one a line.", show_default=False)],
    workers: Workers = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Takedown: documents out of the shards; the next member of a cluster takes the place.

    Example: jacorpus corpus remove out/ja-web https://example.jp/page @more-urls.txt
    """
    from jacorpus.output.finished import finished
    from jacorpus.output.remove import name_removals, read_keys
    from jacorpus.output.validate import load_resolved

    before = finished(out)
    answer = name_removals(out, read_keys(keys))
    manifest = run_loaded(load_resolved(before), out, workers, "local", quiet or json)
    if json:
        console.print_json({**answer, "counts": manifest["counts"]})
        return
    for key in answer["unknown"]:
        console.notes.print(f"no record matches {key}")
    console.result.print(f"{len(answer['new'])} documents removed ({len(answer['ids'])} in all)")
    print_summary(manifest, out)


@app.command()
def report(out: Out, verbose: Verbose = False) -> None:
    """Write report.html again from the finished output.

    Example: jacorpus corpus report out/ja-web
    """
    from jacorpus.output.report import write_report

    console.result.print(write_report(out))


@app.command()
def index(
    out: Out,
    folder: Annotated[Path, typer.Argument(metavar="INDEX", help="Folder of the index.", show_default=False)],
    name: Annotated[str, typer.Option("--name", help="What to call this crawl.", show_default=False)],
    verbose: Verbose = False,
) -> None:
    """Add a finished run's signatures to an index that later crawls are compared with.

    Example: jacorpus corpus index out/2024-33 index --name 2024-33
    """
    from jacorpus.older import index_run

    console.result.print(f"{index_run(out, folder, name):,} documents of {out} are in {folder} as {name}")
