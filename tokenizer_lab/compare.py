"""Tokenizers by corpora: every metric measured, with intervals, into one report.

Legend: D draws.

``measure`` gathers the figures, ``compare`` makes the report of them. Of each corpus a deterministic part is drawn
(tokenizer_lab.corpus.draw: documents of lowest hash, over the whole input, up to a stated number of bytes) and every
tokenizer encodes that same part once.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from jacorpus.errors import InputError
from jacorpus.report.numbers import Cell, Unit
from jacorpus.report.report import Report
from tokenizer_lab.comparison.aligned import Pair, aligned
from tokenizer_lab.comparison.bootstrap import Resampling, interval
from tokenizer_lab.comparison.encoded import Encoded, Texts, encode_timed
from tokenizer_lab.comparison.gold import Gold
from tokenizer_lab.comparison.metric import Figure, Single, draws_of, metrics, pooled
from tokenizer_lab.corpus import Domain, draw
from tokenizer_lab.tokenizer import Tokenizer, open_tokenizer

ALWAYS = ("byte", "char")
"""Rows that are always present."""

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Options:
    """budget_bytes: drawn of each corpus. aligned_bytes: of the texts of each pair of corpora. seed: of the draw.

    held_out: only documents of split ``valid`` are drawn, on which no tokenizer of ours was trained.
    """

    budget_bytes: int = 4_000_000
    aligned_bytes: int = 500_000
    seed: int = 0
    held_out: bool = False


@dataclass(frozen=True)
class Refused:
    """A file that could not be opened as a tokenizer, and why."""

    path: str
    why: str


@dataclass
class Column:
    """One figure of one metric: its cells and draws by (tokenizer, corpus).

    The corpus is empty for metrics of the tokenizer alone. draws: float64 [D].
    """

    metric: str
    title: str
    unit: Unit
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    draws: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)


@dataclass
class Compared:
    """All that was measured. tokenizers: by the name the report uses. columns: by (metric, figure)."""

    tokenizers: dict[str, Tokenizer]
    corpora: list[Texts]
    gold: list[Texts]
    pairs: list[Pair]
    refused: list[Refused]
    lost: dict[str, int]
    options: Options
    columns: dict[tuple[str, str], Column] = field(default_factory=dict)
    trained_on: dict[str, list[str]] = field(default_factory=dict)  # tokenizer -> corpora of its own training
    first: str = ""  # the tokenizer that differences are formed with

    def column(self, metric: str, title: str) -> Column | None:
        return self.columns.get((metric, title))

    def of_metric(self, metric: str) -> list[Column]:
        """Its figures in the order they were measured."""
        return [column for (name, _), column in self.columns.items() if name == metric]


def labels(tokenizers: Sequence[Tokenizer]) -> dict[str, Tokenizer]:
    """Names that differ: the same tokenizer twice counts once, others of one name get the head of their hash."""
    unlike: dict[str, Tokenizer] = {}
    for tokenizer in tokenizers:
        unlike.setdefault(tokenizer.fingerprint, tokenizer)
    different = list(unlike.values())
    names = Counter(tokenizer.name for tokenizer in different)
    return {t.name if names[t.name] == 1 else f"{t.name} {t.fingerprint[:6]}": t for t in different}


def with_plain(tokenizers: Sequence[Tokenizer]) -> list[Tokenizer]:
    """The tokenizers and, behind them, the plain ones that are not among them."""
    present = {tokenizer.fingerprint for tokenizer in tokenizers}
    plain = [open_tokenizer(name) for name in ALWAYS]
    return [*tokenizers, *(each for each in plain if each.fingerprint not in present)]


def open_all(paths: Sequence[str], pattern: str | None, engine: str) -> tuple[dict[str, Tokenizer], list[Refused]]:
    """Tokenizers by path, and the files that are none. Raises InputError where not one opens.

    pattern: for tiktoken rank files that are not known; other files are opened without it.
    """
    found: dict[str, Tokenizer] = {}
    refused: list[Refused] = []
    for path in paths:
        try:
            found[path] = _open(path, pattern, engine)
        except InputError as error:
            refused.append(Refused(path, str(error).removeprefix(f"{path} ")))
    if not found:
        listed = "\n".join(each.why for each in refused)
        raise InputError(f"none of the files could be opened as a tokenizer:\n{listed}")
    return found, refused


def _open(path: str, pattern: str | None, engine: str) -> Tokenizer:
    try:
        return open_tokenizer(path, None, engine=engine)
    except InputError:
        if pattern is None:
            raise
    return open_tokenizer(path, pattern, engine=engine)


def training_inputs(path: str) -> set[str]:
    """Corpora a tokenizer of ours was trained on, by name, out of the ``train.json`` beside it; empty without."""
    beside = Path(path) if Path(path).is_dir() else Path(path).parent
    listing = beside / "train.json"
    if not listing.is_file():
        return set()
    try:
        return set(json.loads(listing.read_text("utf-8"))["corpus"])
    except (ValueError, KeyError, TypeError):
        return set()


def overlaps(inputs: Mapping[str, set[str]], domains: Sequence[Domain]) -> dict[str, list[str]]:
    """Tokenizer -> corpora of this comparison that its training names."""
    named = {name: [domain.name for domain in domains if domain.name in listed] for name, listed in inputs.items()}
    return {name: own for name, own in named.items() if own}


def drawn(domain: Domain, options: Options, progress: Progress | None = None) -> Texts:
    """The part of a corpus that is compared on. Raises InputError where it holds no text."""
    split = "valid" if options.held_out else None
    part = draw([domain], options.budget_bytes, options.seed, split=split, progress=progress)
    read, held = part.read_bytes[domain.name] / 1e6, "held-out " if split else ""
    about = (
        f"{len(part.texts):,} {held}documents drawn by hash (seed {options.seed}) up to "
        f"{options.budget_bytes / 1e6:g} MB of {read:,.1f} MB"
    )
    return Texts(domain.name, part.texts, about=about, read_bytes=part.read_bytes[domain.name])


def measure(
    tokenizers: Sequence[Tokenizer],
    domains: Sequence[Domain],
    gold: Sequence[Gold] = (),
    options: Options | None = None,
    refused: Sequence[Refused] = (),
    progress: Callable[[str, int | None], Progress] | None = None,
) -> Compared:
    """Every metric of every tokenizer on every corpus.

    progress: called with a title and a total of bytes for each step; what it returns is called with bytes done.
    """
    options = options or Options()
    named = labels(with_plain(tokenizers))
    step = progress or (lambda title, total: lambda done: None)
    reading = step("reading corpora", None)
    corpora = [drawn(domain, options, progress=reading) for domain in domains]
    pairs = aligned(domains, options.aligned_bytes, options.seed)
    pairs += [Pair(f"{one.texts.name} : English", one.texts, one.english) for one in gold if one.english]
    lost = {f"{domain.name}/{place}": n for domain in domains for place, n in domain.lost.items()}
    parts = [one.texts for one in gold]
    compared = Compared(named, corpora, parts, pairs, list(refused), lost, options, first=next(iter(named)))
    each = [*corpora, *parts, *(pair.one for pair in pairs if pair.one not in parts), *(pair.other for pair in pairs)]
    done = step("encoding", sum(int(texts.bytes_N.sum()) for texts in each) * len(named))
    for name, tokenizer in named.items():
        _measure_one(compared, name, tokenizer, done)
    return compared


def _measure_one(compared: Compared, name: str, tokenizer: Tokenizer, done: Progress) -> None:
    encoded: dict[int, Encoded] = {}

    def encode(texts: Texts, verified_bytes: int = 0) -> Encoded:
        if id(texts) not in encoded:
            encoded[id(texts)] = encode_timed(tokenizer, texts, verified_bytes)
            done(int(texts.bytes_N.sum()))
        return encoded[id(texts)]

    for metric, module in metrics().items():
        if module.MATERIAL == "tokenizer":
            _keep(compared, metric, name, "", module.measure(tokenizer), None)
    by_material = [(metric, module) for metric, module in metrics().items() if module.MATERIAL != "tokenizer"]
    for texts in compared.corpora:
        for metric, module in by_material:
            if module.MATERIAL == "text":
                figures = module.measure(encode(texts, 100_000))
                _keep(compared, metric, name, texts.name, figures, texts.resampling)
        encoded.clear()
    for texts in compared.gold:
        for metric, module in by_material:
            if module.MATERIAL == "gold":
                _keep(compared, metric, name, texts.name, module.measure(encode(texts)), texts.resampling)
    for pair in compared.pairs:
        for metric, module in by_material:
            if module.MATERIAL == "pair":
                figures = module.measure(encode(pair.one), encode(pair.other))
                _keep(compared, metric, name, pair.name, figures, pair.one.resampling)


def _keep(
    compared: Compared, metric: str, name: str, corpus: str, figures: Sequence[Figure], resampling: Resampling | None
) -> None:
    for figure in figures:
        column = compared.columns.setdefault((metric, figure.title), Column(metric, figure.title, figure.unit))
        if isinstance(figure, Single) or resampling is None:
            column.cells[name, corpus] = figure.value if isinstance(figure, Single) else pooled(figure)
            continue
        value, draws = pooled(figure), draws_of(figure, resampling)
        column.cells[name, corpus] = None if value is None or draws is None else interval(value, draws)
        if draws is not None:
            column.draws[name, corpus] = draws


def compare(
    tokenizers: Sequence[Tokenizer],
    domains: Sequence[Domain],
    gold: Sequence[Gold] = (),
    options: Options | None = None,
    refused: Sequence[Refused] = (),
    trained_on: Mapping[str, list[str]] | None = None,
) -> Report:
    """The report of tokenizers on corpora; see the module's docstring. trained_on: see ``overlaps``."""
    from tokenizer_lab.comparison.compare_report import report

    compared = measure(tokenizers, domains, gold, options, refused)
    compared.trained_on = dict(trained_on or {})
    return report(compared)
