"""``jacorpus mix plan``: compute and text to sizes, epochs and what Japanese lacks, before anything is trained."""

from collections.abc import Mapping
from json import dumps
from json import loads as parse
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import console
from cli.train.options import Json, Verbose

if TYPE_CHECKING:
    from jacorpus.report.report import Table
    from mixing.plan import Plan, Wish
    from mixing.scaling import Law
    from mixing.supply import Source

Folders = Annotated[
    list[Path] | None, typer.Argument(help="Folders of token shards or of corpus runs, for their sizes.")
]
Sources = Annotated[
    list[str] | None, typer.Option("--source", "-s", help="NAME=TOKENS:LANGUAGE, as web=412B:ja. Repeat it.")
]
Languages = Annotated[
    list[str] | None, typer.Option("--language", help="NAME=CODE: language of a source whose name doesn't tell it.")
]
Keep = Annotated[
    list[str] | None, typer.Option("--keep", help="SOURCE=SHARE or LANGUAGE=SHARE that filters will leave, as ja=0.1.")
]
Shares = Annotated[
    list[str] | None, typer.Option("--share", help="LANGUAGE=SHARE of all tokens, as ja=0.5; default: natural.")
]
Importance = Annotated[
    list[str] | None, typer.Option("--importance", help="LANGUAGE=WEIGHT of its data term for --best; default: alike.")
]
Gpus = Annotated[int | None, typer.Option(help="How many GPUs; with --days.")]
Gpu = Annotated[str, typer.Option(help="a100, h100, h200 or b200.")]
Mfu = Annotated[float | None, typer.Option(help="Share of the GPU's peak that training reaches; 0.4 is assumed.")]
Flops = Annotated[str, typer.Option(help="Operations of training instead of GPUs and days, as 1e22.")]
RecipeFile = Annotated[
    Path | None, typer.Option("--recipe", help=r"Take N of \[model], D of \[train], weights of \[mixing].")
]
Parameters = Annotated[str, typer.Option("--parameters", "-n", help="A model size to judge, as 13B.")]
Tokens = Annotated[str, typer.Option("--tokens", "-d", help="Tokens to train on, as 2T.")]
Served = Annotated[str, typer.Option(help="Tokens of inference to come, as 5T: the cheapest size with them.")]
MixtureFile = Annotated[Path | None, typer.Option("--mixture", help="mixture.json with the weights of sources.")]
Best = Annotated[bool, typer.Option("--best", help="Choose shares by the data term, within --share and --max-epochs.")]
MaxEpochs = Annotated[float, typer.Option(help="No source is seen more often by --best; 0: no cap.")]
BytesPerToken = Annotated[float, typer.Option(help="Of the published Japanese bytes, where no source is given.")]
LawName = Annotated[str, typer.Option("--law", help="Constants that tokens follow; all are told.")]
PointsFile = Annotated[
    Path | None, typer.Option("--points", help="CSV or JSON of runs N, D (or C), loss: fit constants of your own.")
]
PointsDrop = Annotated[int, typer.Option(min=0, help="Leave out so many of the largest losses of --points.")]
Language = Annotated[str, typer.Option("--supply", help="Language whose supply is told.")]
CurriculumName = Annotated[str, typer.Option("--curriculum", help="joint, ramp or transfer, as phases to train.")]
Phases = Annotated[int, typer.Option(help="Phases of a ramp, 2 to 4.")]
Replay = Annotated[float, typer.Option(help="Share of other languages in a transfer.")]
Init = Annotated[str, typer.Option(help="Model that a transfer goes on from.")]
WritePhases = Annotated[
    Path | None, typer.Option("--write-phases", help="Write the curriculum's tables for a recipe to this file.")
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder for report.html, report.json and plan.json.")]


def plan(
    folders: Folders = None,
    source: Sources = None,
    language: Languages = None,
    keep: Keep = None,
    gpus: Gpus = None,
    days: Annotated[float | None, typer.Option(help="Days of training; with --gpus.")] = None,
    gpu: Gpu = "h100",
    mfu: Mfu = None,
    flops: Flops = "",
    recipe: RecipeFile = None,
    parameters: Parameters = "",
    tokens: Tokens = "",
    inference_tokens: Served = "",
    mixture: MixtureFile = None,
    share: Shares = None,
    best: Best = False,
    max_epochs: MaxEpochs = 0.0,
    importance: Importance = None,
    bytes_per_token: BytesPerToken = 4.0,
    law: LawName = "besiroglu",
    points: PointsFile = None,
    points_drop: PointsDrop = 0,
    supply: Language = "ja",
    curriculum: CurriculumName = "",
    phases: Phases = 3,
    replay: Replay = 0.2,
    init: Init = "",
    write_phases: WritePhases = None,
    out: Out = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Plan a training: size and tokens for the compute, epochs of each source, and how much Japanese is missing.

    Example: jacorpus mix plan --gpus 1024 --days 30 --gpu h100 --share ja=0.5
    """
    from mixing.plan import Wish, make_plan

    if write_phases and not curriculum:
        raise _wrong("--write-phases writes a curriculum: add --curriculum joint, ramp or transfer")
    sources, published = _sources(folders or [], source or [], bytes_per_token, language or [], keep or [])
    given = _recipe(recipe, folders or [], sum(one.tokens for one in sources)) if recipe else {}
    rest: dict[str, Any] = {"law": law, "best": best, "epochs": max_epochs, "language": supply}
    rest |= {"phases": phases, "replay": replay, "init": init, "published": published}
    wish = Wish(
        sources,
        *_compute(gpus, days, gpu, mfu, flops),
        parameters=_number(parameters, "--parameters") or given.get("parameters", 0.0),
        tokens=_number(tokens, "--tokens") or given.get("tokens", 0.0),
        fitted=_fitted(points, points_drop) if points else None,
        mixture=_mixture(mixture, given.get("weights"), bool(share or best)),
        shares=_table(share or [], "--share", "ja=0.5"),
        importance=_table(importance or [], "--importance", "ja=2"),
        served=_number(inference_tokens, "--inference-tokens"),
        curriculum=_kind(curriculum),
        **rest,
    )
    _finish(make_plan(wish), wish, mfu is None and bool(gpus), write_phases, out, json)


def _wrong(sentence: str) -> Exception:
    from jacorpus.errors import RecipeError

    return RecipeError(sentence)


def _sources(
    folders: list[Path], given: list[str], bytes_per_token: float, languages: list[str], keep: list[str]
) -> "tuple[tuple[Source, ...], bool]":
    """(sources by name, whether they are published figures alone)."""
    from mixing.supply import check_language, defaults, gathered, source_of, sources_of

    if not 0 < bytes_per_token < float("inf"):
        raise _wrong(f"--bytes-per-token {bytes_per_token:g}: it must be over 0")
    codes = {}
    for words in languages:
        name, equals, code = words.partition("=")
        if not (name and equals):
            raise _wrong(f"--language {words}: write NAME=CODE, such as web=ja")
        check_language(code)
        codes[name] = code
    own = [one for folder in folders for one in sources_of(folder)] + [source_of(words) for words in given]
    kept = _table(keep, "--keep", "ja=0.1")
    return gathered(own or defaults(bytes_per_token), codes, kept), not own


def _compute(gpus: int | None, days: float | None, gpu: str, mfu: float | None, flops: str) -> tuple[float, str]:
    """(C, where it is from); 0 where nothing says it."""
    from mixing.plan import MFU, compute_of

    if flops and (gpus is not None or days is not None):
        raise _wrong("--flops says the compute, and so do --gpus and --days: leave one of them out")
    if flops:
        return _number(flops, "--flops"), "as --flops says"
    if gpus is None and days is None:
        return 0.0, ""
    if gpus is None or days is None:
        raise _wrong("--gpus and --days go together: write both, such as --gpus 64 --days 30")
    return compute_of(gpus, days, gpu, MFU if mfu is None else mfu)


def _number(words: str, option: str) -> float:
    from mixing.supply import number_of

    return number_of(words, option) if words else 0.0


def _table(words: list[str], option: str, example: str) -> dict[str, float]:
    """{name: number} of NAME=NUMBER options."""
    found: dict[str, float] = {}
    for one in words:
        name, equals, value = one.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not (name and equals) or number != number:
            raise _wrong(f"{option} {one}: write NAME=NUMBER, such as {example}")
        if name in found:
            raise _wrong(f"{option} names `{name}` twice")
        found[name] = number
    return found


def _kind(curriculum: str) -> Any:
    from jacorpus.errors import nearest
    from mixing.curriculum import KINDS

    if curriculum and curriculum not in KINDS:
        raise _wrong(f"--curriculum {curriculum}{nearest(curriculum, KINDS)}")
    return curriculum or None


def _mixture(path: Path | None, weights: Mapping[str, float] | None, shares: bool) -> Mapping[str, float] | None:
    """Of the file, else of the recipe unless shares are asked for otherwise."""
    from mixing.supply import weights_of_file

    if path:
        return weights_of_file(path)
    return None if shares else weights


def _recipe(path: Path, folders: list[Path], unique: float) -> dict[str, Any]:
    """What a recipe says of parameters, tokens and weights, as far as it does. unique: tokens of all sources."""
    from jacorpus.recipe import load_tables
    from trainer.layouts import model_from_table
    from trainer.settings import settings_from_table

    tables, found = load_tables(path), {}
    settings = settings_from_table(tables.get("train", {}))
    if total := sum(phase["tokens"] for phase in settings.phases) or settings.tokens or settings.epochs * unique:
        found["tokens"] = float(total)
    model = tables.get("model", {})
    if model and "init" not in model:
        found["parameters"] = float(model_from_table(model, _vocabulary(tables, folders)).parameters())
    if weights := tables.get("mixing", {}).get("weights"):
        found["weights"] = weights
    return found


def _vocabulary(tables: dict[str, Any], folders: list[Path]) -> int:
    """Ids of the model: as the recipe says, else of the first token shards."""
    size = tables["model"].get("vocab_size") or tables.get("tokenizer", {}).get("vocab_size")
    for folder in folders:
        path = folder / "manifest.json" if folder.is_dir() else folder
        size = size or parse(path.read_bytes()).get("tokenizer", {}).get("vocab_size")
    if not isinstance(size, int):
        raise _wrong("the recipe's [model] has no vocab_size: add it, name a folder of token shards, or --parameters")
    return size


def _fitted(path: Path, drop: int) -> "tuple[Law, Law]":
    from mixing.refit import bootstrap, fit, read_points

    points = read_points(path).without_largest(drop)
    found = fit(points)
    return found.law, bootstrap(points, found)


def _finish(plan: "Plan", wish: "Wish", assumed: bool, phases: Path | None, out: Path | None, json: bool) -> None:
    """Write what is to be written, then print."""
    if phases and plan.curriculum:
        _write({phases: plan.curriculum.to_toml()})
    if out:
        from mixing.plan_report import plan_report

        report = plan_report(plan, wish.fitted)
        figures = dumps(plan.to_dict(), ensure_ascii=False, indent=1) + "\n"
        files = {"report.html": report.to_html(), "report.json": report.to_json(), "plan.json": figures}
        _write({out / name: text for name, text in files.items()})
    if json:
        console.print_json(plan.to_dict())
        return
    _print(plan, wish.published, assumed)
    for written in (phases, out / "report.html" if out else None):
        if written:
            console.result.print(f"written: {written}")


def _write(files: dict[Path, str]) -> None:
    from jacorpus.errors import StorageError

    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        except OSError as error:
            raise StorageError(f"{path} can't be written ({error.strerror}); name another place") from None


def _print(plan: "Plan", published: bool, assumed: bool) -> None:
    from mixing.plan_report import amount, constrained_sentence, planner_sentence, power, supply_sentences, tables

    say = console.result.print
    if published:
        say("DEFAULTS: no source was given. What follows rests on published sizes, not on your text:", style="bold")
        say("name folders of token shards or corpus runs, or --source NAME=TOKENS:LANGUAGE.", style="bold")
    say(f"C = {power(plan.flops)} operations" + (f": {plan.told}" if plan.told else ""))
    if assumed:
        say("MFU is assumed: --mfu says yours (a run's log tells it).")
    by_key = list(tables(plan))
    for key, table in by_key:
        say("")
        if key == "sources" and not plan.own:
            say(f"By {plan.law}: N = {amount(plan.parameters)}, D = {amount(plan.tokens)}")
        if key == "supply":
            for sentence in supply_sentences(plan):
                say(sentence)
            say("")
        _print_table(table)
        if key == "sources":
            for sentence in filter(None, (planner_sentence(plan), constrained_sentence(plan))):
                say(sentence)
    if plan.curriculum:
        say("\n" + plan.curriculum.to_toml())
    for note in plan.notes:
        say(f"note: {note}")


def _print_table(table: "Table") -> None:
    from jacorpus.report.numbers import show
    from mixing.plan_report import FROM

    rows = [[show(cell, column.unit) for cell, column in zip(row, table.columns, strict=True)] for row in table.rows]
    titles = [column.title for column in table.columns]
    if titles[-1] != FROM:
        console.print_table(table.title, titles, rows, 1)
        return
    console.print_table(table.title, titles[:-1], [row[:-1] for row in rows], 1)
    for row in rows:
        if row[-1]:
            console.result.print(f"{row[0]}: unique tokens are from {row[-1]}")
