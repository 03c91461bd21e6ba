"""The sections of a report on bits per byte, and on which cheap metric says the same."""

from collections.abc import Mapping

import numpy as np

from jacorpus.report.numbers import Interval
from jacorpus.report.report import Block, Cell, Column, Paragraph, Section, Table, Views
from tokenizer_lab import compare
from tokenizer_lab.compare import Compared
from tokenizer_lab.comparison.correlation import LEAST, correlation
from tokenizer_lab.comparison.judge import KEPT, TABLES, Judged
from tokenizer_lab.comparison.language_model import D_MODEL, LAYERS
from tokenizer_lab.comparison.metric import metrics, number
from tokenizer_lab.kernels.token_counts import CONTEXT_BYTES
from tokenizer_lab.tokenizer import Tokenizer

HASH = 8


def judge_sections(judged: Judged, compared: Compared, model: str = "count model") -> list[Section]:
    """One section of the tables, one of the correlations. model: what judged, in words."""
    tables = [_table(judged, compared.tokenizers, table) for table in TABLES]
    blocks: list[Block] = [Paragraph(_about(judged, model)), *tables]
    if judged.skipped:
        rows: tuple[tuple[Cell, ...], ...] = tuple(judged.skipped.items())
        blocks.append(Table("Not judged", (Column("tokenizer"), Column("why")), rows))
    if judged.without:
        blocks.append(Paragraph(f"No held-out document in {', '.join(judged.without)}: no figures there."))
    section = Section("bits_per_byte", "Bits per byte", tuple(blocks))
    return [section, Section("correlation", "Which metric says the same", _correlations(judged, compared))]


def _about(judged: Judged, model: str) -> str:
    held = "; ".join(f"{name}: {n:,} documents, {size / 1e3:,.0f} kB" for name, (n, size) in judged.held.items())
    return (
        f"Judge: {model}, interpolated Kneser-Ney over each tokenizer's tokens with a context of {CONTEXT_BYTES} bytes "
        f"for all, trained on {judged.train_bytes * KEPT / 1e6:.1f} MB of all corpora together; "
        f"{judged.options.seeds} seeds, each on another {KEPT:.0%} of the documents. It stands for a small neural "
        "model and is none: with little text counting favors small vocabularies, seen more often. Held "
        f"out: {held}. In brackets the least and the greatest of the seeds; differences are "
        "formed seed by seed. Equal compute counts the FLOPs of a model of "
        f"{LAYERS} layers and {D_MODEL} channels, logits included, and gives each tokenizer the text it can afford. "
        "Lower is better; an upper bound, since one segmentation is scored."
    )


def _table(judged: Judged, tokenizers: Mapping[str, Tokenizer], table: str) -> Table:
    corpora = list(judged.held)
    titles: list[Column] = [Column("tokenizer"), Column("hash"), Column("trained on", "bytes")]
    for corpus in corpora:
        titles += [Column(corpus, "number"), Column("behind")]
    rows = []
    for name, tokenizer in tokenizers.items():
        if name not in judged.skipped:
            seen = float(np.mean(judged.bytes_seen[table, name]))
            cells = [cell for corpus in corpora for cell in _cells(judged, table, name, corpus)]
            rows.append((name, tokenizer.fingerprint[:HASH], seen, *cells))
    return Table(
        f"Bits per byte, {table}",
        tuple(titles),
        tuple(rows),
        "Behind: how much worse than the best; none: within the noise of the seeds.",
    )


def _cells(judged: Judged, table: str, name: str, corpus: str) -> tuple[Cell, Cell]:
    values = judged.bits[table, name, corpus]
    means = {key[1]: float(np.mean(own)) for key, own in judged.bits.items() if (key[0], key[2]) == (table, corpus)}
    best = min(means, key=lambda other: (means[other], other))
    shown = Interval(means[name], min(values), max(values))
    if name == best:
        return shown, "the best"
    if not judged.differs(table, name, best, corpus):
        return shown, "none"
    return shown, f"{means[name] / means[best] - 1:.1%}"


def _correlations(judged: Judged, compared: Compared) -> tuple[Block, ...]:
    judged_ones = [name for name in compared.tokenizers if name not in judged.skipped]
    if len(judged_ones) < LEAST:
        text = f"{len(judged_ones)} tokenizers were judged; correlations are formed from {LEAST} on."
        return (Paragraph(text),)
    views = []
    for corpus in judged.held:
        for table in TABLES:
            title = f"{corpus}, {table}"
            views.append((title, _correlated(judged, compared, corpus, table, judged_ones)))
    return (Views(tuple(views)),)


def _correlated(judged: Judged, compared: Compared, corpus: str, table: str, names: list[str]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for column in compared.columns.values():
        for measured in dict.fromkeys(place for _, place in column.cells):
            if measured in ("", corpus) or measured not in judged.held:
                found = _row(judged, column, measured, corpus, table, names)
                if found is not None:
                    rows.append(found)
    rows.sort(key=lambda row: -abs(number(row[4]) or 0.0))
    columns = Column("metric"), Column("figure"), Column("measured on"), Column("tokenizers", "count")
    note = (
        f"Over the tokenizers that were judged, byte and char among them; 95 % interval of 1,000 draws of tokenizers. "
        f"{len(rows)} figures are tried here, so that some correlate by luck. Negative: more of it, fewer bits."
    )
    title = f"Correlation with bits per byte on {corpus}, {table}"
    return Table(title, (*columns, Column("Spearman", "number"), Column("Pearson", "number")), tuple(rows), note)


def _row(
    judged: Judged, column: compare.Column, measured: str, corpus: str, table: str, names: list[str]
) -> tuple[Cell, ...] | None:
    """None where too few tokenizers have the figure or it does not vary. Speed is no quality and has no row."""
    if column.metric == "speed" or column.unit == "text":
        return None
    pairs = [(number(column.cells.get((name, measured))), judged.mean(table, name, corpus)) for name in names]
    known = np.array([pair for pair in pairs if None not in pair], np.float64).reshape(-1, 2)
    if len(known) < LEAST:
        return None
    found = correlation(known[:, 0], known[:, 1])
    if found.spearman is None:
        return None
    title = metrics()[column.metric].TITLE
    return title, column.title, measured or "made texts", found.tokenizers, found.spearman, found.pearson
