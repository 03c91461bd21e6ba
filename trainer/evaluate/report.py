"""An evaluation on a page: bits per byte by domain, beside the baseline, and tasks."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from jacorpus.report.numbers import Cell
from jacorpus.report.report import Bar, Bars, Block, Column, Fact, Facts, Paragraph, Report, Section, Series, Table
from trainer.evaluate.bits_per_byte import Measured, together
from trainer.evaluate.scoring import Windows
from trainer.opened import Opened

if TYPE_CHECKING:
    from trainer.evaluate.lm_eval_adapter import TaskResult

RULE = (
    "All bits of a document's tokens over the bytes of its text. A document's first token, which nothing precedes, is "
    "charged log2(V) bits, V the number of the tokenizer's ids; its end-of-text token is predicted and charged too. "
    "The baseline is charged by the same rule. Intervals: 95 % of figures when documents are drawn again."
)
Domains = Mapping[str, Mapping[str, Measured]]
"""domain -> scorer (``model``, ``bigram``) -> figures."""


def evaluation_report(
    opened: Opened,
    domains: Domains,
    tasks: "Sequence[TaskResult]",
    windows: Windows,
    split: str = "",
    more: Sequence[Section] = (),
) -> Report:
    """The page. domains or tasks may be empty. more: sections that follow (trainer.evaluate.compare)."""
    facts = [Fact("weights", opened.config.parameters(), "count", f"{len(opened.config.layers)} layers")]
    if opened.step is not None:
        facts.append(Fact("step", opened.step, "count"))
    if domains:
        whole = together(each["model"] for each in domains.values())
        facts.append(Fact("bits per byte", whole.bits_per_byte, "number", "all domains, every byte the same"))
    sections = [Section("model", "The model", (Facts(tuple(facts)),))]
    if domains:
        sections.append(Section("bits_per_byte", "Bits per byte", _bits(domains, windows, split)))
    if tasks:
        sections.append(Section("tasks", "Tasks", _tasks(tasks)))
    sections += more
    return Report(f"Evaluation of {opened.folder.name}", "How well a model predicts text and answers", tuple(sections))


def bits_table(domains: Domains) -> Table:
    """One row a domain, one of all where there are several."""
    baselines = [name for name in next(iter(domains.values())) if name != "model"]
    columns = [Column("domain"), Column("bits per byte", "number"), *(Column(name, "number") for name in baselines)]
    columns += [Column("loss", "number"), Column("accuracy", "share")]
    columns += [Column("documents", "count"), Column("tokens", "count"), Column("text", "bytes")]
    listed = dict(domains)
    if len(listed) > 1:
        names = next(iter(domains.values()))
        listed["all"] = {name: together(each[name] for each in domains.values()) for name in names}
    rows: list[tuple[Cell, ...]] = []
    for name, figures in listed.items():
        mine = figures["model"]
        others = [figures[baseline].interval for baseline in baselines]
        amounts = (mine.documents, mine.tokens, int(mine.text_bytes.sum()))
        rows.append((name, mine.interval, *others, mine.loss, mine.accuracy, *amounts))
    return Table("", tuple(columns), tuple(rows))


def task_table(tasks: "Sequence[TaskResult]") -> Table:
    """One row a task and metric."""
    columns = [Column("task"), Column("metric"), Column("value", "share"), Column("standard error", "share")]
    columns += [Column("chance", "share"), Column("examples", "count"), Column("questions", "count")]
    rows = [
        (each.task, metric, value, error, each.chance, each.shots, each.questions)
        for each in tasks
        for metric, (value, error) in each.metrics.items()
    ]
    return Table("", tuple(columns), tuple(rows))


def _bits(domains: Domains, windows: Windows, split: str) -> tuple[Block, ...]:
    overlap = windows.context // 2 if windows.overlap is None else windows.overlap
    how = f" A token is predicted from at most {windows.context:,} tokens; longer documents are cut, "
    how += f"{overlap:,} tokens of context carried over."
    about = f" Documents of split {split}." if split else ""
    names = list(next(iter(domains.values())))
    bars = Bars(
        "Bits per byte",
        "number",
        tuple(Series(name, "kept" if name == "model" else "plain") for name in names),
        tuple(Bar(domain, tuple(each[name].bits_per_byte for name in names)) for domain, each in domains.items()),
    )
    lines = [
        Paragraph(f"{domain}: the model lies {beside(name, each['model'], each[name])}.")
        for domain, each in domains.items()
        for name in names
        if name != "model"
    ]
    return Paragraph(RULE + how + about), bars, bits_table(domains), *lines


def _tasks(tasks: "Sequence[TaskResult]") -> tuple[Block, ...]:
    text = (
        "acc: the likeliest of the answers was right; acc_norm: the likeliest per character. chance: of guessing. "
        "A value within two standard errors of chance says nothing."
    )
    return Paragraph(text), task_table(tasks)


def beside(name: str, model: Measured, other: Measured) -> str:
    """The model beside a baseline, in words: below or above only where the interval of the difference says so."""
    apart = model.less(other)
    where = "below" if apart.high < 0 else "above" if apart.low > 0 else "not apart from"
    return f"{where} {name}: {apart.value:+.3f} [{apart.low:+.3f}, {apart.high:+.3f}] bits per byte"
