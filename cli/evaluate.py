"""``jacorpus evaluate``: bits per byte of held-out text, and tasks."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import console

if TYPE_CHECKING:
    from jacorpus.report.report import Report, Table
    from tokenizer_lab.tokens import Tokens
    from trainer.evaluate.bits_per_byte import Document, Measured, Scorer
    from trainer.evaluate.lm_eval_adapter import TaskResult
    from trainer.evaluate.scoring import Windows
    from trainer.opened import Opened

NAMES = ("report.html", "report.md", "report.json")


def evaluate(
    model: Annotated[Path, typer.Argument(help="Folder of a training run, or of an export in Hugging Face's form.")],
    tokens: Annotated[
        Path | None, typer.Option("--tokens", "-t", help="Folder of token shards: documents of its split `valid`.")
    ] = None,
    corpus: Annotated[
        list[str] | None, typer.Option("--corpus", "-c", help="[NAME=]PATH of a text domain. Repeat it.")
    ] = None,
    tasks: Annotated[str, typer.Option(help="Tasks, comma between: jcommonsenseqa, jmmlu. Needs lm-eval.")] = "",
    task_data: Annotated[Path | None, typer.Option(help="JSONL file (perhaps .zst) with the questions.")] = None,
    shots: Annotated[int, typer.Option(min=0, help="Examples before each question.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Questions a task; default all.")] = None,
    budget: Annotated[float, typer.Option(min=0.001, help="MB of text of each domain.")] = 4.0,
    context: Annotated[int, typer.Option(min=2, help="Most tokens the model reads at once.")] = 2048,
    overlap: Annotated[
        int | None, typer.Option(min=0, help="Tokens of context between cuts of a long document; default half.")
    ] = None,
    baseline: Annotated[str, typer.Option(help="bigram: pairs of tokens, counted on the split `train`.")] = "",
    held_out: Annotated[bool, typer.Option("--held-out", help="Of --corpus, only documents of split `valid`.")] = False,
    column: Annotated[str, typer.Option(help="Column or key that holds the text.")] = "text",
    seed: Annotated[int, typer.Option(help="Of the draw of documents and of examples.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, or cuda, cuda:1 in bfloat16.")] = "cpu",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for report.html, .md and .json.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the traceback of an error.")] = False,
) -> None:
    """Measure a model: bits per byte of text it never saw, by domain, and accuracy on tasks from local files.

    Example: jacorpus evaluate out/ja-1b --tokens out/tokens --baseline bigram --out out/eval
    """
    from trainer.evaluate.report import evaluation_report
    from trainer.evaluate.scoring import Windows
    from trainer.opened import check_device, default_dtype, open_model

    names = [name for name in tasks.split(",") if name]
    _check(tokens, corpus, names, task_data, baseline)
    windows = Windows(context, overlap)
    opened = open_model(model, device, default_dtype(check_device(device)))
    if out:
        _folder(out)
    domains: dict[str, dict[str, Measured]] = {}
    results: list[TaskResult] = []
    with console.Meter("evaluate", quiet=quiet or json, bytes=False) as meter:
        if tokens:
            domains |= _on_tokens(opened, tokens, windows, budget, baseline, meter)
        if corpus:
            found = _on_corpora(opened, corpus, windows, budget, (column, held_out, seed), meter)
            domains |= {(f"{name} (text)" if name in domains else name): each for name, each in found.items()}
        if names:
            results = _on_tasks(opened, names, task_data, (shots, limit, seed), windows, meter)
    _finite(opened, domains)
    if out:
        _write(evaluation_report(opened, domains, results, windows, "valid" if tokens and not corpus else ""), out)
    if json:
        console.print_json(_figures(opened, domains, results))
    else:
        _print(domains, results, out)


def _check(
    tokens: Path | None, corpus: list[str] | None, names: list[str], task_data: Path | None, baseline: str
) -> None:
    from jacorpus.errors import RecipeError
    from trainer.evaluate.tasks import check_tasks

    if not (tokens or corpus or names):
        raise RecipeError("name what to measure on: --tokens FOLDER, --corpus [NAME=]PATH, or --tasks NAMES")
    if bool(names) != bool(task_data):
        raise RecipeError("--tasks NAMES and --task-data FILE go together: nothing is fetched")
    check_tasks(names)
    if baseline not in ("", "bigram"):
        raise RecipeError(f"--baseline {baseline}; known: bigram")
    if baseline and not tokens:
        raise RecipeError("--baseline bigram counts pairs in the split train of --tokens FOLDER; name one")


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
    opened: "Opened",
    names: list[str],
    data: Path | None,
    options: tuple[int, int | None, int],
    windows: "Windows",
    meter: console.Meter,
) -> "list[TaskResult]":
    from trainer.evaluate.lm_eval_adapter import evaluate_tasks

    assert data is not None
    meter.bytes = False
    meter.step("answers scored")
    return evaluate_tasks(opened, names, data, *options, windows, meter.add)


def _finite(opened: "Opened", domains: "dict[str, dict[str, Measured]]") -> None:
    import math

    from jacorpus.errors import InputError

    if not all(math.isfinite(each["model"].loss) for each in domains.values()):
        raise InputError(
            f"the loss of {opened.folder} is not finite: its training diverged, or its weights are damaged"
        )


def _figures(
    opened: "Opened", domains: "dict[str, dict[str, Measured]]", tasks: "Sequence[TaskResult]"
) -> dict[str, Any]:
    return {
        "model": str(opened.folder),
        "step": opened.step,
        "parameters": opened.config.parameters(),
        "bits_per_byte": {
            name: {scorer: measured.to_dict() for scorer, measured in each.items()} for name, each in domains.items()
        },
        "tasks": [task.to_dict() for task in tasks],
    }


def _print(domains: "dict[str, dict[str, Measured]]", tasks: "Sequence[TaskResult]", out: Path | None) -> None:
    from trainer.evaluate.report import beside, bits_table, task_table

    if domains:
        _print_table("bits per byte", bits_table(domains), 1)
    for name, each in domains.items():
        for scorer, measured in each.items():
            if scorer != "model":
                console.result.print(f"{name}: the model lies {beside(scorer, each['model'], measured)}")
    if tasks:
        _print_table("tasks", task_table(tasks), 2)
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


def _folder(out: Path) -> None:
    """Make the folder before the work, not after it."""
    from jacorpus.shards import storage_errors

    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)


def _write(report: "Report", out: Path) -> None:
    from jacorpus.shards import storage_errors

    with storage_errors(out):
        for name, text in zip(NAMES, (report.to_html(), report.to_markdown(), report.to_json()), strict=True):
            (out / name).write_text(text, "utf-8")
