"""``jacorpus tokenizer compare``: tokenizers by corpora, every metric, one report."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import console

if TYPE_CHECKING:
    from rich.text import Text

    from jacorpus.report.report import Report, Section, Segmentations
    from tokenizer_lab.compare import Compared
    from tokenizer_lab.corpus import Domain
    from tokenizer_lab.tokenizer import Tokenizer

TOKEN_STYLES = ("on blue", "on magenta", "on dark_green", "on dark_red")
NAMES = ("report.html", "report.md", "report.json")


def compare(
    tokenizers: Annotated[list[str], typer.Argument(help="Tokenizer files or folders; `byte`, `char` are added.")],
    corpus: Annotated[
        list[str] | None, typer.Option("--corpus", "-c", help="[NAME=]PATH of a domain; quote globs. Repeat it.")
    ] = None,
    gold: Annotated[
        list[str] | None, typer.Option(help="Gold words: CoNLL-U, or JSONL with `sentences`; quote globs.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for report.html, .md and .json.")] = None,
    budget: Annotated[float, typer.Option(min=0.001, help="MB of text drawn of each corpus.")] = 4.0,
    lm: Annotated[bool, typer.Option("--lm", help="Also train small language models: bits per byte.")] = False,
    lm_budget: Annotated[float, typer.Option(min=0.001, help="MB of text they train on, of all corpora.")] = 3.0,
    seeds: Annotated[int, typer.Option(min=3, help="Language models per tokenizer, each on another draw.")] = 3,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Only documents of split `valid`: none of ours was trained on them.")
    ] = False,
    engine: Annotated[str, typer.Option(help="auto, or library: encode with the original libraries.")] = "auto",
    pattern: Annotated[str | None, typer.Option(help="Pattern of unknown tiktoken rank files.")] = None,
    column: Annotated[str, typer.Option(help="Column or key that holds the text.")] = "text",
    seed: Annotated[int, typer.Option(help="Of the draw of documents.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the traceback of an error.")] = False,
) -> None:
    """Compare tokenizers on corpora: compression, words, loss, cost, speed, with intervals and warnings.

    Example: jacorpus tokenizer compare a.model b.json --corpus novels=ja/*.jsonl.zst --gold seg/*.conllu --out out/cmp
    """
    from jacorpus.errors import RecipeError
    from tokenizer_lab import compare as comparison
    from tokenizer_lab.comparison.compare_report import report
    from tokenizer_lab.comparison.gold import read_gold
    from tokenizer_lab.corpus import open_corpus

    if not corpus:
        raise RecipeError("name the text to compare on: --corpus [NAME=]PATH, once for each domain")
    if engine not in ("auto", "library"):
        raise RecipeError(f"--engine {engine}; known: auto, library")
    if out:
        _folder(out)
    opened, refused = comparison.open_all(tokenizers, pattern, engine)
    for each in refused:
        console.notes.print(f"left out: {each.path} {each.why}")
    domains, golds = open_corpus(corpus, column), read_gold(gold or [])
    options = comparison.Options(int(budget * 1e6), seed=seed, held_out=held_out)
    with console.Meter("compare", quiet=quiet) as meter:
        step = _stepping(meter)
        compared = comparison.measure(list(opened.values()), domains, golds, options, refused, step)
        _find_overlaps(compared, opened, domains)
        further = _judged(compared, domains, lm_budget, seeds, seed, meter) if lm else []
        made = report(compared, further)
    if out:
        _write(made, out)
    _tell_lost(domains)
    if json:
        console.print_json(made.to_dict())
    else:
        _print(compared, made)
        if out:
            console.result.print(f"\nreport: {out / NAMES[0]}")


def _find_overlaps(compared: "Compared", opened: "dict[str, Tokenizer]", domains: "list[Domain]") -> None:
    """Note which tokenizers were trained on what they are compared on."""
    from tokenizer_lab.compare import overlaps, training_inputs

    names = {t.fingerprint: name for name, t in compared.tokenizers.items()}
    inputs = {names[t.fingerprint]: training_inputs(path) for path, t in opened.items()}
    compared.trained_on = overlaps(inputs, domains)


def _tell_lost(domains: "list[Domain]") -> None:
    for domain in domains:
        for place, number in domain.lost.items():
            console.notes.print(f"{domain.name}: {place}: {number:,} records could not be read")


def _stepping(meter: console.Meter) -> Callable[[str, int | None], Callable[[int], None]]:
    def step(title: str, total: int | None) -> Callable[[int], None]:
        meter.step(title, total)
        return meter.add

    return step


def _judged(
    compared: "Compared", domains: "list[Domain]", budget: float, seeds: int, seed: int, meter: console.Meter
) -> "list[Section]":
    """Language models trained and measured; the sections on them."""
    from tokenizer_lab.comparison.judge import TABLES, Options, judge
    from tokenizer_lab.comparison.judge_report import judge_sections

    meter.bytes = False
    meter.step("language models", len(compared.tokenizers) * seeds * len(TABLES))
    options = Options(int(budget * 1e6), seeds=seeds, seed=seed)
    return judge_sections(judge(compared.tokenizers, domains, options, progress=meter.add), compared)


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


def _print(compared: "Compared", report: "Report") -> None:
    from tokenizer_lab.comparison.traps import warnings

    _print_compression(compared)
    _print_words(compared)
    for section in report.sections:
        if section.key == "bits_per_byte":
            _print_tables(section)
    for block in next(section for section in report.sections if section.key == "segmentations").blocks[1:2]:
        _print_cuts(block)  # type: ignore[arg-type]
    for about, text in warnings(compared):
        console.result.print(f"! {about}: {text}")


def _print_compression(compared: "Compared") -> None:
    from tokenizer_lab.comparison.metric import number

    chars = compared.columns["compression", "characters per token"]
    back = compared.columns["round_trip", "documents that come back"]
    speed = compared.columns["speed", "MB per CPU second"]
    corpora = [texts.name for texts in compared.corpora]
    rows = []
    for name, tokenizer in compared.tokenizers.items():
        per_token = [_short(number(chars.cells.get((name, corpus)))) for corpus in corpora]
        worst = min((number(back.cells.get((name, corpus))) or 0.0 for corpus in corpora), default=0.0)
        rate = [r for corpus in corpora if (r := number(speed.cells.get((name, corpus))))]
        slow = f"{min(rate):.1f}" if rate else "-"
        rows.append([name, tokenizer.algorithm, f"{tokenizer.vocab_size:,}", *per_token, f"{worst:.1%}", slow])
    header = ["tokenizer", "algorithm", "ids", *corpora, "comes back", "MB/s, slowest"]
    _print_rows("characters per token", header, rows, left=2)


def _print_words(compared: "Compared") -> None:
    """One table a gold corpus, of its first kind of unit."""
    from tokenizer_lab.comparison.metric import number

    for texts in compared.gold:
        unit = next(iter(texts.units))
        titles = [("boundaries", f"P, {unit}"), ("boundaries", f"R, {unit}"), ("boundaries", f"F1, {unit}")]
        titles += [("fertility", f"tokens per {unit}"), ("single_token_retention", f"{unit}s in text")]
        columns = [compared.columns[title] for title in titles]
        rows = [
            [name, *(_short(number(column.cells.get((name, texts.name)))) for column in columns)]
            for name in compared.tokenizers
        ]
        header = ["tokenizer", "P", "R", "F1", f"tokens per {unit}", "one token in text"]
        _print_rows(f"{texts.name}: cuts against {unit}s", header, rows)


def _print_tables(section: "Section") -> None:
    """The tables of bits per byte, intervals left to the report."""
    from jacorpus.report.numbers import Interval, show
    from jacorpus.report.report import Table

    for block in section.blocks:
        if isinstance(block, Table):
            header = [column.title for column in block.columns]
            rows = [
                [
                    show(c.value if isinstance(c, Interval) else c, h.unit)
                    for c, h in zip(row, block.columns, strict=True)
                ]
                for row in block.rows
            ]
            _print_rows(block.title, header, rows)


def _print_rows(title: str, header: list[str], rows: list[list[str]], left: int = 1) -> None:
    """A table that is neither folded nor cut, however narrow the window. left: leading columns that are names."""
    from rich.cells import cell_len

    lines = [header, *rows]
    widths = [max(cell_len(line[i]) for line in lines) for i in range(len(header))]
    console.result.print(f"\n{title}")
    for line in lines:
        cells = [
            (0 if i < left else w - cell_len(c)) * " " + c for i, (c, w) in enumerate(zip(line, widths, strict=True))
        ]
        padded = [c + " " * (w - cell_len(c)) for c, w in zip(cells, widths, strict=True)]
        console.result.print("  ".join(padded).rstrip())


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _print_cuts(block: "Segmentations") -> None:
    console.result.print(f"\n{block.title}")
    widest = max(len(row.name) for row in block.rows)
    for row in block.rows:
        console.result.print(_cut(row.name.ljust(widest), [segment.text for segment in row.segments]))


def _cut(name: str, tokens: list[str]) -> "Text":
    """Tokens on changing backgrounds; where there are no colors, bars between them."""
    from rich.text import Text

    line = Text(f"{name} {len(tokens):4} ")
    for i, token in enumerate(tokens):
        if console.result.color_system:
            line.append(token, TOKEN_STYLES[i % len(TOKEN_STYLES)])
        else:
            line.append(token if i == 0 else f"|{token}")
    return line
