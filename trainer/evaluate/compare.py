"""Answers on a page: scores with intervals, two models beside each other, a card for before and after."""

from collections.abc import Sequence

from jacorpus.errors import InputError
from jacorpus.report.numbers import Cell
from jacorpus.report.report import Block, Column, Excerpt, Excerpts, Paragraph, Piece, Section, Table
from trainer.evaluate.items import Answers, Item, mean_interval, paired
from trainer.evaluate.questions import commercial

RULE = (
    "Intervals: 95 % of means when items are drawn again. The difference is formed item by item, over the items both "
    "have; p: exact sign test over the items one of them did better. clean: items not found in the training corpus."
)
SHOWN = 3


def answers_table(answers: Sequence[Answers], seed: int = 0) -> Table:
    """One row a task. found: items that lie in the training corpus, empty where that was not looked for."""
    columns = [Column("task"), Column("metric"), Column("score", "number"), Column("items", "count")]
    columns += [Column("found", "count"), Column("clean score", "number"), Column("license"), Column("commercial")]
    rows: list[tuple[Cell, ...]] = []
    for each in answers:
        looked = any(item.contaminated is not None for item in each.items)
        clean = each.clean()
        known = mean_interval(clean, seed) if looked and clean.items else None
        found = len(each.items) - len(clean.items) if looked else None
        free = all(map(commercial, each.licence.split(", ")))
        rows.append(
            (each.task, each.metric, mean_interval(each, seed), len(each.items), found, known, each.licence, free)
        )
    return Table("", tuple(columns), tuple(rows))


def compare_table(before: Sequence[Answers], after: Sequence[Answers], seed: int = 0) -> Table:
    """One row a task that both have. Raises InputError where there is none."""
    earlier = {each.task: each for each in before}
    columns = [Column("task"), Column("before", "number"), Column("after", "number"), Column("difference", "number")]
    columns += [Column("better", "count"), Column("equal", "count"), Column("worse", "count"), Column("p", "number")]
    rows: list[tuple[Cell, ...]] = []
    for each in after:
        if (old := earlier.get(each.task)) is not None:
            change = paired(old, each, seed)
            counts = (change.wins, change.ties, change.losses, change.p)
            rows.append((each.task, mean_interval(old, seed), mean_interval(each, seed), change.difference, *counts))
    if not rows:
        raise InputError(f"no task was asked both: {', '.join(earlier)}; {', '.join(each.task for each in after)}")
    return Table("", tuple(columns), tuple(rows))


def card(before: Sequence[Answers], after: Sequence[Answers], seed: int = 0) -> Section:
    """A section on two models: what changed, with items whose score changed most."""
    earlier = {each.task: each for each in before}
    shown = [
        _changed(each, {item.id: item for item in earlier[each.task].items}) for each in after if each.task in earlier
    ]
    blocks: list[Block] = [Paragraph(RULE), compare_table(before, after, seed)]
    blocks += [each for each in shown if each.excerpts]
    return Section("comparison", "Before and after", tuple(blocks))


def _changed(answers: Answers, earlier: dict[str, Item]) -> Excerpts:
    both = [(earlier[item.id], item) for item in answers.items if item.id in earlier]
    changed = sorted((each for each in both if each[0].score != each[1].score), key=lambda each: each[1].id)
    changed.sort(key=lambda each: -abs(each[1].score - each[0].score))
    excerpts = [
        Excerpt(
            new.id,
            (("score", f"{old.score:.3g} → {new.score:.3g}"), ("reference", new.reference)),
            (Piece(old.output or "(nothing)", "removed"), Piece("\n"), Piece(new.output or "(nothing)", "added")),
        )
        for old, new in changed[:SHOWN]
    ]
    return Excerpts(answers.task, tuple(excerpts), len(changed), note="before, then after")
