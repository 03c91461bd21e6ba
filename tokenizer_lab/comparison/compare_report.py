"""From what ``compare`` measured to a report: sections, tables, plots, and warnings where a trap applies."""

import platform
from collections.abc import Sequence

from jacorpus.report.report import (
    Bar,
    Bars,
    Block,
    Cell,
    Column,
    Fact,
    Facts,
    Paragraph,
    Point,
    Report,
    Scatter,
    Section,
    Series,
    Table,
    Views,
    show,
)
from tokenizer_lab import compare
from tokenizer_lab.compare import Compared
from tokenizer_lab.comparison import segmentations
from tokenizer_lab.comparison.bootstrap import interval
from tokenizer_lab.comparison.metric import metrics, number
from tokenizer_lab.comparison.traps import warnings

SECTIONS = (
    ("compression", "Compression", ("compression", "parity")),
    ("words", "Words", ("boundaries", "fertility", "single_token_retention")),
    ("loss", "What is lost", ("round_trip", "fallback")),
    ("vocabulary", "The vocabulary and its cost", ("utilization", "renyi", "embedding_cost")),
    ("places", "Numbers, spaces, code", ("digits", "spaces", "code")),
    ("speed", "Speed", ("speed",)),
)
CHARS = "compression", "characters per token"
HASH = 8  # characters of a fingerprint shown
SCATTERED = 4  # tokenizers from which a scatter plot says something


def report(compared: Compared, further: Sequence[Section] = ()) -> Report:
    """All sections. further: sections of the language-model judge, before the segmentations."""
    placed = {name for _, _, names in SECTIONS for name in names}
    rest = tuple(name for name in metrics() if name not in placed)
    listed = [*SECTIONS, *([("more", "More", rest)] if rest else [])]
    sections = [Section("overview", "Overview", overview(compared))]
    for key, title, names in listed:
        blocks = [block for name in names for block in _metric(compared, name)]
        if blocks:
            sections.append(Section(key, title, tuple(blocks)))
    sections += [*further, _cuts(compared), _definitions()]
    count = len(compared.tokenizers)
    subtitle = f"{count} tokenizers on {len(compared.corpora)} corpora and {len(compared.gold)} gold segmentations"
    return Report("Tokenizers compared", f"{subtitle}.", tuple(sections))


def overview(compared: Compared) -> tuple[Block, ...]:
    """What was compared on what, and what to beware of."""
    text_bytes = sum(int(texts.bytes_N.sum()) for texts in compared.corpora)
    documents = sum(len(texts.texts) for texts in compared.corpora)
    facts = (
        Fact("tokenizers", len(compared.tokenizers), "count", "byte and char always among them"),
        Fact("corpora", len(compared.corpora), "count", f"and {len(compared.gold)} with gold words"),
        Fact("text encoded", text_bytes, "bytes", f"{show(documents, 'count')} documents"),
        Fact("files refused", len(compared.refused), "count", tone="failed" if compared.refused else "plain"),
    )
    note = (
        "Figures are pooled over documents: a ratio of sums. In brackets the 95 % interval of 1,000 draws of the "
        "documents with replacement (percentile bootstrap); all tokenizers are measured on the same draws. Every table "
        "names tokenizers and corpora with the head of their hash; the tables below tell which they are."
    )
    blocks: list[Block] = [Facts(facts)]
    listed = warnings(compared)
    if listed:
        blocks.append(Table("Read with care", (Column("about"), Column("what to know")), tuple(listed)))
    blocks += [Paragraph(note), _tokenizers(compared), _corpora(compared)]
    if compared.refused:
        rows: tuple[tuple[Cell, ...], ...] = tuple((each.path, each.why) for each in compared.refused)
        blocks.append(Table("Files that are no tokenizers", (Column("file"), Column("why")), rows))
    if compared.lost:
        rows = tuple(compared.lost.items())
        blocks.append(Table("Records not read", (Column("corpus and file"), Column("records", "count")), rows))
    return tuple(blocks)


def _tokenizers(compared: Compared) -> Table:
    titles = (Column("tokenizer"), Column("hash"), Column("format"), Column("algorithm"), Column("ids", "count"))
    rows = tuple(
        (name, t.fingerprint[:HASH], t.format, t.algorithm, t.vocab_size, t.engine, t.reference_name, t.why_slow)
        for name, t in compared.tokenizers.items()
    )
    return Table(
        "Tokenizers",
        (*titles, *(Column(title) for title in ("encoded by", "checked against", "why not our kernels"))),
        rows,
    )


def _corpora(compared: Compared) -> Table:
    titles = Column("corpus"), Column("hash"), Column("documents", "count"), Column("text", "bytes")
    rows = tuple(
        (texts.name, texts.fingerprint[:HASH], len(texts.texts), int(texts.bytes_N.sum()), texts.about)
        for texts in (*compared.corpora, *compared.gold, *(side for pair in compared.pairs for side in _new(pair)))
    )
    return Table("Corpora", (*titles, Column("how drawn")), rows)


def _new(pair: compare.Pair) -> tuple[compare.Texts, ...]:
    return (pair.other,) if pair.one.units else (pair.one, pair.other)


def _metric(compared: Compared, name: str) -> list[Block]:
    columns, module = compared.of_metric(name), metrics()[name]
    if not columns:
        return []
    note = f"{module.FORMULA}. Trap: {module.TRAP}"
    if module.MATERIAL == "tokenizer":
        return [_by_figure(compared, columns, "", module.TITLE, note)]
    if module.MATERIAL == "gold":
        return [_by_gold(compared, columns, module.TITLE, note)]
    tables = tuple((column.title, _by_corpus(compared, column, module.TITLE, note)) for column in columns)
    table: Block = tables[0][1] if len(tables) == 1 else Views(tables)
    if name == CHARS[0]:
        return [_bars(compared), table, _order(compared), *_scatter(compared)]
    return [table]


def row_head(compared: Compared, name: str) -> tuple[str, str]:
    """Name and head of the hash of a tokenizer."""
    return name, compared.tokenizers[name].fingerprint[:HASH]


HEAD = (Column("tokenizer"), Column("hash"))


def _by_gold(compared: Compared, columns: Sequence[compare.Column], title: str, note: str) -> Block:
    """A table for each gold corpus, of the figures for the units it marks."""
    views = []
    for texts in compared.gold:
        own = [column for column in columns if any(corpus == texts.name for _, corpus in column.cells)]
        head = f"{title}, {texts.name} ({texts.fingerprint[:HASH]})"
        views.append((texts.name, _by_figure(compared, own, texts.name, head, note)))
    return Views(tuple(views))


def _by_figure(compared: Compared, columns: Sequence[compare.Column], corpus: str, title: str, note: str) -> Table:
    rows = tuple(
        (*row_head(compared, name), *(column.cells.get((name, corpus)) for column in columns))
        for name in compared.tokenizers
    )
    return Table(title, (*HEAD, *(Column(column.title, column.unit) for column in columns)), rows, note)


def _by_corpus(compared: Compared, column: compare.Column, title: str, note: str) -> Table:
    corpora = list(dict.fromkeys(corpus for _, corpus in column.cells))
    hashes = {texts.name: texts.fingerprint[:HASH] for texts in (*compared.corpora, *compared.gold)}
    hashes |= {pair.name: f"{pair.one.fingerprint[:4]} : {pair.other.fingerprint[:4]}" for pair in compared.pairs}
    rows = tuple(
        (*row_head(compared, name), *(column.cells.get((name, corpus)) for corpus in corpora))
        for name in compared.tokenizers
    )
    heads = tuple(Column(f"{corpus} {hashes.get(corpus, '')}", column.unit) for corpus in corpora)
    return Table(f"{title}: {column.title}", (*HEAD, *heads), rows, note)


def _bars(compared: Compared) -> Views:
    column = compared.columns[CHARS]
    views = []
    for texts in compared.corpora:
        values = {name: number(column.cells.get((name, texts.name))) or 0.0 for name in compared.tokenizers}
        bars = [
            Bar(name, (value,), f"{compared.tokenizers[name].vocab_size:,} ids")
            for name, value in sorted(values.items(), key=lambda item: -item[1])
        ]
        title = f"Characters per token, {texts.name} ({texts.fingerprint[:HASH]})"
        views.append((texts.name, Bars(title, "number", (Series("characters per token"),), tuple(bars))))
    return Views(tuple(views))


def _order(compared: Compared) -> Views:
    """Who is ahead, and whether that is more than the luck of the documents."""
    column = compared.columns[CHARS]
    titles = Column("rank", "count"), *HEAD, Column("characters per token", "number"), Column("ahead of the next by")
    views = []
    for texts in compared.corpora:
        corpus = texts.name
        ranked = sorted(compared.tokenizers, key=lambda name: -(number(column.cells.get((name, corpus))) or 0))
        rows: list[tuple[Cell, ...]] = []
        for rank, name in enumerate(ranked, 1):
            following = ranked[rank] if rank < len(ranked) else None
            ahead = _difference(column, name, following, corpus) if following else ("", "")
            against = _difference(column, name, compared.first, corpus)[0] if name != compared.first else "-"
            rows.append((rank, *row_head(compared, name), column.cells.get((name, corpus)), *ahead, against))
        heads = (*titles, Column("clear"), Column(f"against {compared.first}"))
        note = (
            "Differences are formed on the same draws of documents; clear: the interval holds no 0. "
            f"Corpus {corpus} ({texts.fingerprint[:HASH]})."
        )
        views.append((corpus, Table(f"Order by characters per token, {corpus}", heads, tuple(rows), note)))
    return Views(tuple(views))


def _difference(column: compare.Column, name: str, other: str, corpus: str) -> tuple[str, str]:
    """(relative difference with its interval, whether it is clear) of two tokenizers on one corpus."""
    one, two = column.draws.get((name, corpus)), column.draws.get((other, corpus))
    a, b = number(column.cells.get((name, corpus))), number(column.cells.get((other, corpus)))
    if one is None or two is None or not a or not b:
        return "", ""
    found = interval(a / b - 1, one / two - 1)
    return show(found, "share"), "yes" if found.low > 0 or found.high < 0 else "no"


def _scatter(compared: Compared) -> list[Block]:
    if len(compared.tokenizers) < SCATTERED:
        return []
    column = compared.columns[CHARS]
    views = []
    for texts in compared.corpora:
        cells = {name: number(column.cells.get((name, texts.name))) for name in compared.tokenizers}
        points = tuple(
            Point(name, float(compared.tokenizers[name].vocab_size), value) for name, value in cells.items() if value
        )
        title = f"Compression against size of the vocabulary, {texts.name} ({texts.fingerprint[:HASH]})"
        views.append((texts.name, Scatter(title, "ids", "characters per token", points, log_x=True)))
    return [Views(tuple(views))]


def _cuts(compared: Compared) -> Section:
    blocks: list[Block] = [
        Paragraph(
            "Each color is a token; the number behind a name counts what is shown. Dashed: bytes of a cut character, "
            "unknown tokens, text no token stands for (it was normalized away), tokens that stand for no text."
        )
    ]
    for title, passage, gold in segmentations.passages(compared.corpora, compared.gold):
        blocks.append(segmentations.segmentations(title, passage, compared.tokenizers, gold))
    return Section("segmentations", "Passages as they are cut", tuple(blocks))


def _definitions() -> Section:
    rows = tuple((m.TITLE, name, m.FORMULA, m.TRAP) for name, m in metrics().items())
    columns = Column("metric"), Column("file"), Column("formula"), Column("trap")
    machine = f"Speed was measured on {platform.processor() or platform.machine()}, {platform.python_implementation()}."
    return Section("metrics", "What the metrics mean", (Table("", columns, rows, machine),))
