"""``jacorpus evaluate``: bits per byte of held-out text, and tasks."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import console

if TYPE_CHECKING:
    from cli.evaluate_items import Items, Wanted
    from jacorpus.report.report import Report, Table
    from tokenizer_lab.tokens import Tokens
    from trainer.evaluate.bits_per_byte import Document, Measured, Scorer
    from trainer.evaluate.lm_eval_adapter import TaskResult
    from trainer.evaluate.scoring import Windows
    from trainer.opened import Opened

NAMES = ("report.html", "report.md", "report.json")


Model = Annotated[
    Path,
    typer.Argument(
        help="Folder of a training run, or of an export in Hugging Face's form; for pfgen and mt_bench also "
        "a JSONL file of stored answers."
    ),
]
TokenFolder = Annotated[
    Path | None, typer.Option("--tokens", "-t", help="Folder of token shards: documents of its split `valid`.")
]
Corpus = Annotated[list[str] | None, typer.Option("--corpus", "-c", help="[NAME=]PATH of a text domain. Repeat it.")]
Tasks = Annotated[
    str,
    typer.Option(
        help="Tasks, comma between: jcommonsenseqa, jmmlu (by lm-eval, unless an option here asks item by item), "
        "math, moral, pfgen, mt_bench."
    ),
]
TaskData = Annotated[list[Path] | None, typer.Option(help="JSONL file (perhaps .zst) with the questions. Repeat it.")]
Shots = Annotated[int | None, typer.Option(min=0, help="Examples before each question; default the task's.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Questions a task; default all.")]
Chat = Annotated[str, typer.Option(help="Ask as a chat: name or file of a template.")]
Compare = Annotated[Path | None, typer.Option(help="Another model, or items of an evaluation, to compare with.")]
CommercialOnly = Annotated[
    bool, typer.Option("--commercial-only", help="Only questions whose license allows commercial use.")
]
Contamination = Annotated[
    Path | None, typer.Option(help="Output of a corpus run: mark questions that lie in its training text.")
]
Judge = Annotated[str, typer.Option(help="mt_bench: URL of an OpenAI-style endpoint, as http://host:8000/v1.")]
JudgeModel = Annotated[str, typer.Option(help="mt_bench: the model asked there.")]
MaxTokens = Annotated[int, typer.Option(min=1, help="Longest answer of the tasks that write one.")]
Budget = Annotated[float, typer.Option(min=0.001, help="MB of text of each domain.")]
Context = Annotated[int, typer.Option(min=2, help="Most tokens the model reads at once.")]
Overlap = Annotated[
    int | None, typer.Option(min=0, help="Tokens of context between cuts of a long document; default half.")
]
Baseline = Annotated[str, typer.Option(help="bigram: pairs of tokens, counted on the split `train`.")]
HeldOut = Annotated[bool, typer.Option("--held-out", help="Of --corpus, only documents of split `valid`.")]
Column = Annotated[str, typer.Option(help="Column or key that holds the text.")]
Seed = Annotated[int, typer.Option(help="Of the draw of documents and of examples.")]
Device = Annotated[str, typer.Option(help="cpu, or cuda, cuda:1 in bfloat16.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder for report.html, .md and .json.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show the traceback of an error.")]


def evaluate(
    model: Model,
    tokens: TokenFolder = None,
    corpus: Corpus = None,
    tasks: Tasks = "",
    task_data: TaskData = None,
    shots: Shots = None,
    limit: Limit = None,
    chat: Chat = "",
    compare: Compare = None,
    commercial_only: CommercialOnly = False,
    contamination: Contamination = None,
    judge: Judge = "",
    judge_model: JudgeModel = "judge",
    max_tokens: MaxTokens = 256,
    budget: Budget = 4.0,
    context: Context = 2048,
    overlap: Overlap = None,
    baseline: Baseline = "",
    held_out: HeldOut = False,
    column: Column = "text",
    seed: Seed = 0,
    device: Device = "cpu",
    out: Out = None,
    json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure a model: bits per byte of text it never saw, by domain, and accuracy on tasks from local files.

    Example: jacorpus evaluate out/ja-1b --tokens out/tokens --baseline bigram --out out/eval
    """
    from cli.evaluate_items import Wanted
    from trainer.evaluate.scoring import Windows

    names, data = tuple(name for name in tasks.split(",") if name), tuple(task_data or ())
    judged = (judge, judge_model)
    wanted = Wanted(
        names, data, shots, limit, chat, compare, commercial_only, contamination, judged, max_tokens, seed, out, device
    )
    _check(tokens, corpus, wanted, baseline)
    windows = Windows(context, overlap)
    opened = _opened(model, wanted, tokens, corpus)
    _folder(out)
    domains: dict[str, dict[str, Measured]] = {}
    with console.Meter("evaluate", quiet=quiet or json, bytes=False) as meter:
        if opened and tokens:
            domains |= _on_tokens(opened, tokens, windows, budget, baseline, meter)
        if opened and corpus:
            found = _on_corpora(opened, corpus, windows, budget, (column, held_out, seed), meter)
            domains |= {(f"{name} (text)" if name in domains else name): each for name, each in found.items()}
        results, items = _on_tasks(model, opened, wanted, windows, meter)
    _finite(model, domains)
    if out:
        split = "valid" if tokens and not corpus else ""
        _write(_report(model, opened, domains, results, windows, split, items), out)
    if json:
        console.print_json(_figures(model, opened, domains, results, items))
    else:
        _print(domains, results, items, out)


def _check(tokens: Path | None, corpus: list[str] | None, wanted: "Wanted", baseline: str) -> None:
    from jacorpus.errors import RecipeError
    from trainer.evaluate.tasks import check_tasks

    if not (tokens or corpus or wanted.names):
        raise RecipeError("name what to measure on: --tokens FOLDER, --corpus [NAME=]PATH, or --tasks NAMES")
    if bool(wanted.names) != bool(wanted.data):
        raise RecipeError("--tasks NAMES and --task-data FILE go together: nothing is fetched")
    if wanted.by_item:
        wanted.check()
    else:
        check_tasks(wanted.names)
    if baseline not in ("", "bigram"):
        raise RecipeError(f"--baseline {baseline}; known: bigram")
    if baseline and not tokens:
        raise RecipeError("--baseline bigram counts pairs in the split train of --tokens FOLDER; name one")


def _opened(model: Path, wanted: "Wanted", tokens: Path | None, corpus: list[str] | None) -> "Opened | None":
    """None for a file of stored answers."""
    from trainer.opened import check_device, default_dtype, open_model

    if model.is_file() and set(wanted.names) <= {"pfgen", "mt_bench"} and not (tokens or corpus):
        return None
    return open_model(model, wanted.device, default_dtype(check_device(wanted.device)))


def _report(
    model: Path,
    opened: "Opened | None",
    domains: "dict[str, dict[str, Measured]]",
    results: "Sequence[TaskResult]",
    windows: "Windows",
    split: str,
    items: "Items | None",
) -> "Report":
    from jacorpus.report.report import Report
    from trainer.evaluate.report import evaluation_report

    sections = items.sections if items else ()
    if opened is None:
        return Report(f"Evaluation of {model.name}", "How good stored answers are", sections)
    return evaluation_report(opened, domains, results, windows, split, sections)


def _on_tokens(
    opened: "Opened", folder: Path, windows: "Windows", budget: float, baseline: str, meter: console.Meter
) -> "dict[str, dict[str, Measured]]":
    from jacorpus.errors import InputError
    from tokenizer_lab.tokens import open_tokens
    from trainer.evaluate.bigram import Bigram
    from trainer.evaluate.bits_per_byte import ModelScorer, measure, token_documents

    tokens = open_tokens(folder)
    _same_tokenizer(opened, tokens)
    scorers: dict[str, Scorer] = {"model": ModelScorer(opened.model, windows)}
    eos_id = tokens.eos_id if opened.eos_id is None else opened.eos_id
    if baseline:
        meter.step("count pairs of tokens")
        scorers["bigram"] = Bigram.train(tokens, eos_id)
    found = {}
    for name in tokens.domains:
        shards = tokens.of(name, "valid")
        if any(shard.tokens for shard in shards):
            most = min(sum(shard.text_bytes for shard in shards), int(budget * 1e6))
            meter.bytes = True
            meter.step(f"bits per byte, {name}", most)
            documents = _counted(token_documents(tokens, name, "valid", int(budget * 1e6)), meter)
            found[name] = measure(documents, scorers, eos_id, tokens.vocab_size)
    if not found:
        raise InputError(f"{folder} has no document of split valid to measure on; encode more text, or use --corpus")
    return found


def _same_tokenizer(opened: "Opened", tokens: "Tokens") -> None:
    """Ids mean something to the model only if its own tokenizer gave them."""
    from jacorpus.errors import InputError

    theirs = tokens.manifest["tokenizer"]
    mine = opened.tokenizer
    if mine is not None and mine.fingerprint != theirs["fingerprint"]:
        raise InputError(
            f"{tokens.folder} was encoded with {theirs['name']}, another tokenizer than that of {opened.folder}; "
            f"encode it with the model's, or give the text itself: --corpus"
        )
    if tokens.vocab_size > opened.config.vocab_size:
        raise InputError(
            f"{tokens.folder} has ids up to {tokens.vocab_size - 1:,}, and the model of {opened.folder} knows "
            f"{opened.config.vocab_size:,}; encode the text with the tokenizer the model was trained with"
        )


def _counted(documents: "Iterable[Document]", meter: console.Meter) -> "Iterable[Document]":
    for document in documents:
        yield document
        meter.add(document.text_bytes)


def _on_corpora(
    opened: "Opened",
    corpus: list[str],
    windows: "Windows",
    budget: float,
    reading: tuple[str, bool, int],
    meter: console.Meter,
) -> "dict[str, dict[str, Measured]]":
    from tokenizer_lab.corpus import open_corpus
    from trainer.evaluate.bits_per_byte import ModelScorer, measure, text_documents

    column, held_out, seed = reading
    tokenizer = opened.need_tokenizer()
    found = {}
    for domain in open_corpus(corpus, column):
        meter.bytes = True
        meter.step(f"bits per byte, {domain.name}")
        split = "valid" if held_out or domain.shards else None
        documents = text_documents(domain, tokenizer, split, int(budget * 1e6), seed)
        scorers: dict[str, Scorer] = {"model": ModelScorer(opened.model, windows)}
        found[domain.name] = measure(_counted(documents, meter), scorers, opened.eos_id, tokenizer.vocab_size)
    return found


def _on_tasks(
    model: Path, opened: "Opened | None", wanted: "Wanted", windows: "Windows", meter: console.Meter
) -> "tuple[list[TaskResult], Items | None]":
    """(lm-eval's figures, answers item by item): one of the two, or nothing."""
    from cli.evaluate_items import ask_items

    if wanted.by_item:
        return [], ask_items(model, opened, wanted, meter)
    if opened is None or not wanted.names:
        return [], None
    from trainer.evaluate.lm_eval_adapter import evaluate_tasks

    meter.bytes = False
    meter.step("answers scored")
    options = (wanted.shots or 0, wanted.limit, wanted.seed)
    return evaluate_tasks(opened, wanted.names, wanted.data[0], *options, windows, meter.add), None


def _finite(model: Path, domains: "dict[str, dict[str, Measured]]") -> None:
    import math

    from jacorpus.errors import InputError

    if not all(math.isfinite(each["model"].loss) for each in domains.values()):
        raise InputError(f"the loss of {model} is not finite: its training diverged, or its weights are damaged")


def _figures(
    model: Path,
    opened: "Opened | None",
    domains: "dict[str, dict[str, Measured]]",
    tasks: "Sequence[TaskResult]",
    items: "Items | None",
) -> dict[str, Any]:
    about = {"step": opened.step, "parameters": opened.config.parameters()} if opened else {}
    return {
        "model": str(opened.folder if opened else model),
        **about,
        "bits_per_byte": {
            name: {scorer: measured.to_dict() for scorer, measured in each.items()} for name, each in domains.items()
        },
        "tasks": [task.to_dict() for task in tasks],
        **(items.figures() if items else {}),
    }


def _print(
    domains: "dict[str, dict[str, Measured]]", tasks: "Sequence[TaskResult]", items: "Items | None", out: Path | None
) -> None:
    from trainer.evaluate.report import beside, bits_table, task_table

    if domains:
        _print_table("bits per byte", bits_table(domains), 1)
    for name, each in domains.items():
        for scorer, measured in each.items():
            if scorer != "model":
                console.result.print(f"{name}: the model lies {beside(scorer, each['model'], measured)}")
    if tasks:
        _print_table("tasks", task_table(tasks), 2)
    for title, table in items.tables if items else ():
        _print_table(title, table, 1)
    for note in items.notes if items else ():
        console.result.print(note)
    if out:
        console.result.print(f"report: {out / NAMES[0]}")


def _print_table(title: str, table: "Table", left: int) -> None:
    """A table of the report, its intervals left to the page."""
    from jacorpus.report.numbers import Interval, show

    rows = [
        [
            show(cell.value if isinstance(cell, Interval) else cell, column.unit)
            for cell, column in zip(row, table.columns, strict=True)
        ]
        for row in table.rows
    ]
    console.print_table(title, [column.title for column in table.columns], rows, left)


def _folder(out: Path | None) -> None:
    """Make the folder before the work, not after it."""
    from jacorpus.shards import storage_errors

    if out:
        with storage_errors(out):
            out.mkdir(parents=True, exist_ok=True)


def _write(report: "Report", out: Path) -> None:
    from jacorpus.shards import storage_errors

    with storage_errors(out):
        for name, text in zip(NAMES, (report.to_html(), report.to_markdown(), report.to_json()), strict=True):
            (out / name).write_text(text, "utf-8")
