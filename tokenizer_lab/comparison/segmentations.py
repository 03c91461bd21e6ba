"""Passages as each tokenizer cuts them, for people to look at.

A token is shown as the bytes of the raw text it stands for: whole characters as they are, parts of a character as
their bytes (``⟨E3⟩``). Text that no token stands for (normalized away) and tokens that stand for no text (a prefix put
in) are marked, so that what is shown is what happened.
"""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from jacorpus.report.report import Segment, Segmentations, Segmented
from tokenizer_lab.comparison.encoded import Texts, Units
from tokenizer_lab.tokenizer import Kind, Tokenizer, list_buffers

SHORTEST, LONGEST = 36, 84  # characters of a passage
HARD = "𠮷野家で鰻重を12,345円で食べた😀。 ｶﾞﾗｽ①㌔\n\tfor i in range(10):\n        print(f'{i:>08}')  # 繰り返し"
"""A passage of our own with what breaks tokenizers: rare kanji, half-width kana, emoji, numbers, indentation."""

_SHOWN = {"\n": "⏎", "\t": "⇥", "\r": "␍", "\u3000": "□"}


def passages(corpora: Sequence[Texts], gold: Sequence[Texts]) -> list[tuple[str, str, tuple[str, list[int]] | None]]:
    """(title, passage, gold cuts) of each corpus: the first document's first line that is long enough."""
    found: list[tuple[str, str, tuple[str, list[int]] | None]] = []
    for texts in corpora:
        passage = _passage(texts)
        if passage:
            found.append((texts.name, passage, None))
    for texts in gold:
        row = _gold_row(texts)
        if row is not None:
            name, units = next(iter(texts.units.items()))
            found.append((texts.name, texts.texts[row].as_py(), (name, _edges(units, row))))
    return [*found, ("a passage of hard places", HARD, None)]


def _passage(texts: Texts) -> str:
    for text in texts.texts:
        lines = [line.strip() for line in text.as_py().split("\n")]
        good = [line for line in lines if len(line) >= SHORTEST and sum(map(str.isalpha, line)) > len(line) / 2]
        if good:
            line = good[len(good) // 2]
            ends = [i + 1 for i, c in enumerate(line[:LONGEST]) if c in "。．.!?！？" and i + 1 >= SHORTEST]
            return line if len(line) <= LONGEST else line[: ends[-1] if ends else LONGEST]
    return ""


def _gold_row(texts: Texts) -> int | None:
    for row, size in enumerate(texts.chars_N.tolist()):
        if SHORTEST <= size <= LONGEST:
            return row
    return None


def _edges(units: Units, row: int) -> list[int]:
    own = slice(units.offsets[row], units.offsets[row + 1])
    return sorted({0, *units.starts[own].tolist(), *units.ends[own].tolist()})


def segmentations(
    title: str, passage: str, tokenizers: Mapping[str, Tokenizer], gold: tuple[str, list[int]] | None = None
) -> Segmentations:
    """One passage through every tokenizer, the gold units on top where there are any."""
    rows = [Segmented(name, _segments(passage, tokenizer)) for name, tokenizer in tokenizers.items()]
    if gold is not None:
        name, edges = gold
        data = passage.encode()
        cuts = zip(edges, [*edges[1:], len(data)], strict=True)
        rows.insert(0, Segmented(f"gold: {name}", tuple(Segment(shown(data[a:b])) for a, b in cuts if b > a)))
    return Segmentations(title, tuple(rows))


def _segments(passage: str, tokenizer: Tokenizer) -> tuple[Segment, ...]:
    data = passage.encode()
    placed = tokenizer.encode_with_offsets(pa.array([passage], pa.large_string()))
    _, ids = list_buffers(placed.tokens)
    starts, ends = list_buffers(placed.starts)[1].tolist(), list_buffers(placed.ends)[1].tolist()
    kinds = tokenizer.vocabulary.kinds
    segments, at = [], 0
    for id, start, end in zip(ids.tolist(), starts, ends, strict=True):
        if start > at:
            segments.append(Segment(shown(data[at:start]), "no token stands for this", True))
        piece = tokenizer.vocabulary.pieces[id].decode("utf-8", "backslashreplace")
        text = shown(data[start:end]) if end > start else "▁"
        strange = end == start or kinds[id] in (Kind.UNKNOWN, Kind.BYTE) or "⟨" in text
        segments.append(Segment(text, f"id {id}, `{piece}`, bytes {start} to {end}", strange))
        at = max(at, end)
    if at < len(data):
        segments.append(Segment(shown(data[at:]), "no token stands for this", True))
    return tuple(segments)


def shown(data: bytes) -> str:
    """Bytes as a reader can see them.

    >>> shown("日本".encode()), shown(" 日".encode()[:2]), shown(b"\\n"), shown(b"  ")
    ('日本', ' ⟨E6⟩', '⏎', '␣␣')
    """
    text = data.decode("utf-8", "surrogateescape")
    if text.strip(" ") == "":
        return "␣" * len(text)
    return "".join(f"⟨{ord(c) & 0xFF:02X}⟩" if "\udc80" <= c <= "\udcff" else _SHOWN.get(c, c) for c in text)
