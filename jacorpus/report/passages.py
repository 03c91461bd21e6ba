"""Where in a text lies what a rule objects to, and where two texts differ. For people's eyes: nothing is decided here.

A finder takes a text and yields the spans [start, stop) of characters behind one family of signals; ``offending``
chooses it by the signal's column name and knows no label, so a profile of the user's own is served too. Families
without a passage to point at (too short, compression, a missing script) yield nothing and the text is shown unmarked.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import groupby
from typing import TypeAlias

from jacorpus.report.report import Piece

Span: TypeAlias = tuple[int, int]

LOOKED_AT = 20_000  # characters of a text that are searched
SHOWN = 600  # characters shown
_SENTENCE = re.compile(r"[^。．！？!?\n]+[。．！？!?]?")
_BLANK = re.compile(r"^[^\S\n]*(\n)", re.MULTILINE)
_TOKEN = re.compile(r"[A-Za-z0-9]+|[ぁ-ゖ]+|[ァ-ヺー]+|[々〇\u3400-\u9fff\uf900-\ufaff]+|\s+|.", re.DOTALL)
_KATAKANA = "[ァ-ヺー]"
_FOREIGN = re.compile(r"[^\s、，。．！？ぁ-ゖァ-ヺー々〇\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]{2,}")


def offending(signal: str, text: str, keywords: Sequence[str] = (), blank_lines: bool = False) -> list[Span]:
    """Spans of text behind a signal's value, in order and apart; empty where there is nothing to point at.

    signal: ``label.column`` or the column alone. keywords: words the signal looks for, where it looks for words.
    blank_lines: whether the signal counts blank lines as equal lines.
    """
    column = signal.rsplit(".", 1)[-1]
    text = text[:LOOKED_AT]
    if blank_lines and column.startswith("dup_line"):
        return merge([*_repeated_lines(text, 0), *(match.span(1) for match in _BLANK.finditer(text))])
    for pattern, finder in _FINDERS:
        found = re.search(pattern, column)
        if found:
            return merge(finder(text, int(found[1]) if found.groups() and found[1] else 0))
    if keywords:
        return merge(_keyword_hits(text, keywords))
    return []


def merge(spans: Iterable[Span]) -> list[Span]:
    """Sorted, overlapping and touching spans joined."""
    merged: list[Span] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        elif stop > start:
            merged.append((start, stop))
    return merged


def excerpt(text: str, spans: Sequence[Span], shown: int = SHOWN) -> tuple[Piece, ...]:
    """About ``shown`` characters of text around where most of the spans lie, cut into marked and unmarked pieces.

    A marked line break is made visible with ⏎.
    """
    start = _window(spans, len(text), shown)
    stop = min(start + shown, len(text))
    pieces, at = [Piece("", "gap")] if start else [], start
    for left, right in spans:
        left, right = max(left, start), min(right, stop)
        if left >= right:
            continue
        pieces += [Piece(text[at:left])] if left > at else []
        pieces.append(Piece(_visible(text[left:right]), "hit"))
        at = right
    pieces += [Piece(text[at:stop])] if stop > at else []
    pieces += [Piece("", "gap")] if stop < len(text) else []
    return tuple(pieces)


def differing(text: str, keeper: str, shown: int = SHOWN, around: int = 36) -> tuple[Piece, ...]:
    """Where a duplicate differs from the document kept instead of it; what they share is shortened.

    ``removed`` stands in the duplicate alone, ``added`` in the keeper alone. Texts are compared in runs of one
    script over the ``4 * shown`` characters from a little before the first difference.
    """
    first = next((i for i, (a, b) in enumerate(zip(text, keeper, strict=False)) if a != b), min(len(text), len(keeper)))
    start = max(first - around, 0)
    ours, theirs = (_TOKEN.findall(t[start : start + 4 * shown]) for t in (text, keeper))
    pieces: list[Piece] = [Piece("", "gap")] if start else []
    changes = SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes()
    cut = max(len(text), len(keeper)) > start + 4 * shown
    for tag, i, j, k, m in changes[:-1] if cut and len(changes) > 1 else changes:
        if tag == "equal":
            pieces += _shortened("".join(ours[i:j]), around)
            continue
        pieces += [Piece(_visible("".join(ours[i:j])), "removed")] if j > i else []
        pieces += [Piece(_visible("".join(theirs[k:m])), "added")] if m > k else []
    return _clip([*pieces, Piece("", "gap")] if cut else pieces, 2 * shown)


def _visible(text: str) -> str:
    """Line breaks that stand alone get a sign: a marked one could not be seen."""
    return text if text.strip() else text.replace("\n", "⏎\n")


def _shortened(text: str, around: int) -> list[Piece]:
    if len(text) <= 3 * around:
        return [Piece(text)]
    return [Piece(text[:around]), Piece("", "gap"), Piece(text[-around:])]


def _clip(pieces: list[Piece], shown: int) -> tuple[Piece, ...]:
    kept: list[Piece] = []
    for piece in pieces:
        if shown <= 0:
            return (*kept, Piece("", "gap"))
        kept.append(Piece(piece.text[:shown], piece.mark))
        shown -= len(piece.text)
    return tuple(kept)


def _window(spans: Sequence[Span], length: int, shown: int) -> int:
    """Start of the window of ``shown`` characters that holds most marked ones, a little before its first mark."""
    best, best_marked = 0, 0
    for number, (start, _) in enumerate(spans):
        begin = max(start - shown // 6, 0)
        marked = 0
        for left, right in spans[number:]:
            if left >= begin + shown:
                break
            marked += min(right, begin + shown) - left
        if marked > best_marked:
            best, best_marked = begin, marked
    return max(min(best, length - shown), 0)


def _repeated(units: Iterator[re.Match[str]]) -> Iterator[Span]:
    """Every occurrence of a unit that occurs twice or more, white space aside."""
    found = [(match.span(), match[0].strip()) for match in units]
    counts = Counter(unit for _, unit in found if unit)
    return (span for span, unit in found if counts[unit] > 1)


def _repeated_lines(text: str, _: int) -> Iterator[Span]:
    return _repeated(re.finditer(r"[^\n]+", text))


def _repeated_sentences(text: str, _: int) -> Iterator[Span]:
    return _repeated(_SENTENCE.finditer(text))


def _repeated_ngrams(text: str, n: int) -> Iterator[Span]:
    """Characters covered by an n-gram that occurs twice or more."""
    n = n or 5
    counts = Counter(text[i : i + n] for i in range(len(text) - n + 1))
    return ((i, i + n) for i in range(len(text) - n + 1) if counts[text[i : i + n]] > 1)


def _top_ngram(text: str, n: int) -> Iterator[Span]:
    """Occurrences of the commonest n-gram; the first in the text among equals."""
    n = n or 2
    counts = Counter(text[i : i + n] for i in range(len(text) - n + 1))
    if not counts:
        return iter(())
    commonest = max(counts, key=lambda ngram: counts[ngram])
    return ((match.start(), match.start() + n) for match in re.finditer(f"(?={re.escape(commonest)})", text))


def _longest(spans: Iterable[Span]) -> list[Span]:
    return [max(spans, key=lambda span: span[1] - span[0], default=(0, 0))]


def _longest_sentence(text: str, _: int) -> list[Span]:
    return _longest(match.span() for match in _SENTENCE.finditer(text))


def _longest_run(text: str, _: int) -> list[Span]:
    at, runs = 0, []
    for _character, run in groupby(text):
        length = sum(1 for _ in run)
        runs.append((at, at + length))
        at += length
    return _longest(runs)


def _matches(pattern: str) -> Callable[[str, int], Iterator[Span]]:
    compiled = re.compile(pattern, re.MULTILINE)
    return lambda text, _: (match.span() for match in compiled.finditer(text))


def _longest_match(pattern: str) -> Callable[[str, int], list[Span]]:
    find = _matches(pattern)
    return lambda text, n: _longest(find(text, n))


def _foreign(text: str, _: int) -> list[Span]:
    """What is not Japanese; nothing where that is most of the text, since all of it would be marked."""
    spans = [match.span() for match in _FOREIGN.finditer(text)]
    return spans if 2 * sum(stop - start for start, stop in spans) < len(text) else []


def _keyword_hits(text: str, keywords: Sequence[str]) -> Iterator[Span]:
    """Longest words first; a word of katakana alone counts only where it is a whole run of katakana."""
    ordered = sorted((word for word in keywords if word), key=lambda word: (-len(word), word))
    patterns = (
        f"(?<!{_KATAKANA}){w}(?!{_KATAKANA})" if re.fullmatch(f"{_KATAKANA}+", w) else re.escape(w) for w in ordered
    )
    return (match.span() for match in re.finditer("|".join(patterns), text)) if ordered else iter(())


_FINDERS: tuple[tuple[str, Callable[[str, int], Iterable[Span]]], ...] = (
    (r"dup_(?:line|paragraph)", _repeated_lines),
    (r"dup_sentence", _repeated_sentences),
    (r"dup_(\d+)_word", lambda text, n: _repeated_ngrams(text, 2 * n)),  # a word is about two characters
    (r"top_(\d+)_word", lambda text, n: _top_ngram(text, 2 * n)),
    (r"dup_(\d+)", _repeated_ngrams),
    (r"top_(\d+)", _top_ngram),
    (r"repetition", _repeated_ngrams),
    (r"zlib|lz4|compress", lambda text, _: _repeated_ngrams(text, 10)),
    (r"run_max", _longest_run),
    (r"kana_head", lambda text, _: [(0, 50)]),
    (r"replacements", _matches("\ufffd+")),
    (r"symbol_word", _matches(r"[#＃…]+|\.\.\.")),
    (r"sentence_(?:max|mean)", _longest_sentence),
    (r"kuten_gap", _longest_match(r"[^。]+")),
    (r"ellipsis_line", _matches(r"^.*(?:…|\.\.\.)$")),
    (r"ellipsis", _matches(r"[^。．！？!?\n]*(?:・|…|\.\.\.)+(?=[。．！？!?\n]|$)")),
    (r"short_line", _matches(r"^.{1,10}$")),
    (r"bullet_line", _matches(r"^\s*[•\-・].*$")),
    (r"terminal_line", _matches(r"^.*[^。．！？!?」』）)\s]$")),
    (r"katakana", _matches(r"[ァ-ヺー]{2,}")),
    (r"special", _matches(r"[!-/:-@\[-`{-~ 　■-◿☀-➿\U0001f300-\U0001faff]{2,}")),
    (r"japanese|hiragana|^lang|label|^ja$", _foreign),
)
"""Column name -> what to mark, first match wins. Digits in the pattern's group are the finder's n."""
