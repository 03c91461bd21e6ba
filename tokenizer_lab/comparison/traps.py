"""Traps that apply to a comparison, each told with the numbers that show it."""

from jacorpus.report.report import show
from tokenizer_lab.compare import ALWAYS, Compared
from tokenizer_lab.comparison.metric import number

FEW_DOCUMENTS = 30
SMALL_USE = 0.2  # share of ids used below which the text says little on the vocabulary
_FLATTERED = (
    "its compression there is flattered. --held-out leaves its own documents out, the likeness stays",
    "not on these documents, but on text like them, so its compression is still flattered",
)
Warning = tuple[str, str]


def warnings(compared: Compared) -> list[Warning]:
    """(about, what to know), the gravest first."""
    found = [*_wrong_ids(compared), *_trained_on(compared), *_lossy(compared), *_unknown(compared)]
    return [*found, *_few(compared), *_unused(compared), *_renyi(compared), *_boundaries(compared), *_parity(compared)]


def _cells(compared: Compared, metric: str, title: str) -> dict[tuple[str, str], float]:
    """Plain numbers of one figure by (tokenizer, corpus)."""
    column = compared.column(metric, title)
    cells = column.cells.items() if column else ()
    return {key: value for key, cell in cells if (value := number(cell)) is not None}


def _wrong_ids(compared: Compared) -> list[Warning]:
    wrong = {key: n for key, n in _cells(compared, "speed", "lines with other ids").items() if n}
    return [
        (name, f"the fast path gave other ids than the original library in {n:,.0f} lines of {corpus}: do not trust it")
        for (name, corpus), n in wrong.items()
    ]


def _trained_on(compared: Compared) -> list[Warning]:
    return [
        (
            name,
            f"trained on {', '.join(corpora)}, which it is compared on here: {_FLATTERED[compared.options.held_out]}",
        )
        for name, corpora in compared.trained_on.items()
    ]


def _lossy(compared: Compared) -> list[Warning]:
    worst: dict[str, tuple[float, str]] = {}
    for (name, corpus), share in _cells(compared, "round_trip", "documents that come back").items():
        if share < 1 and (name not in worst or share < worst[name][0]):
            worst[name] = share, corpus
    why = compared.column("round_trip", "what the others lost")
    return [
        (
            name,
            f"does not give the text back: {show(share, 'share')} of the documents of {corpus} return as they were; "
            f"the others lost: {why.cells[name, corpus] if why else ''}",
        )
        for name, (share, corpus) in worst.items()
    ]


def _unknown(compared: Compared) -> list[Warning]:
    chars = _cells(compared, "fallback", "unknown characters")
    tokens = _cells(compared, "fallback", "unknown tokens")
    per_token = _cells(compared, "compression", "characters per token")
    found: dict[str, tuple[float, float, str]] = {}
    for key, share in chars.items():
        if share > 0 and tokens.get(key) and (key[0] not in found or share > found[key[0]][0]):
            found[key[0]] = share, share / tokens[key] * per_token.get(key, 1.0), key[1]
    return [
        (
            name,
            f"writes {show(share, 'share')} of the characters of {corpus} as unknown, {run:.1f} of them a token: its "
            "compression there is bought with lost text",
        )
        for name, (share, run, corpus) in found.items()
    ]


def _few(compared: Compared) -> list[Warning]:
    return [
        (texts.name, f"only {len(texts.texts)} documents were drawn: its intervals are rough. A larger --budget helps")
        for texts in compared.corpora
        if len(texts.texts) < FEW_DOCUMENTS
    ]


def _unused(compared: Compared) -> list[Warning]:
    best: dict[str, float] = {}
    for (name, _), share in _cells(compared, "utilization", "ids used").items():
        best[name] = max(best.get(name, 0.0), share)
    low = [name for name, share in best.items() if share < SMALL_USE and name not in ALWAYS]
    if not low:
        return []
    text = f"no corpus here uses more than {SMALL_USE:.0%} of the ids of {', '.join(low)}"
    return [("Utilization", f"{text}: text of few languages says little on a vocabulary of many")]


def _renyi(compared: Compared) -> list[Warning]:
    cells = _cells(compared, "renyi", "over V")
    beaten: dict[str, list[str]] = {}
    for (name, corpus), value in cells.items():
        plain = max((cells.get((other, corpus), 0.0) for other in ALWAYS), default=0.0)
        if name not in ALWAYS and plain > value:
            beaten.setdefault(corpus, []).append(name)
    if not beaten:
        return []
    corpus, names = max(beaten.items(), key=lambda item: len(item[1]))
    text = f"on {corpus} plain bytes or characters score above {len(names)} tokenizers"
    return [("Rényi efficiency", f"{text}: the figure can be raised without any use, do not choose by it")]


def _boundaries(compared: Compared) -> list[Warning]:
    column = next((c for c in compared.of_metric("boundaries") if c.title.startswith("P, ")), None)
    if column is None:
        return []
    unit = column.title.removeprefix("P, ")
    precision, f1 = _cells(compared, "boundaries", column.title), _cells(compared, "boundaries", f"F1, {unit}")
    for corpus in dict.fromkeys(corpus for _, corpus in precision):
        names = [name for name in compared.tokenizers if name not in ALWAYS and (name, corpus) in precision]
        best_p = max(names, key=lambda name: precision[name, corpus], default=None)
        best_f = max(names, key=lambda name: f1[name, corpus], default=None)
        if best_p and best_f and best_p != best_f:
            text = (
                f"on {corpus} {best_f} has the best F1 and {best_p} the best precision: F1 falls as tokens grow longer "
                "than words, so read the precision first"
            )
            return [("Boundaries", text)]
    return []


def _parity(compared: Compared) -> list[Warning]:
    pages = [pair.name for pair in compared.pairs if not pair.one.units]
    if not pages:
        return []
    return [("Parity", f"the pages of {', '.join(pages)} hold code that is equal on both sides and pulls it to 1")]
