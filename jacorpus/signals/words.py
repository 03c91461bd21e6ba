"""Signals that need words: FineWeb-2's Gopher and FineWeb rules, and HojiChar's nouns and repetition.

Words come from MeCab with UniDic-lite. HojiChar (3ca1d27) uses UniDic too; FineWeb-2 (d0defb2) cuts by Sudachi in
split mode A, whose units are nearly the same. UniDic-lite cuts katakana compounds and names shorter, and numbers at
commas, and joins runs of symbols that Sudachi cuts: 1.4 % fewer words in all (docs/word-rules.md).
Text goes to MeCab in pieces of at most PIECE_CHARS characters, cut behind a line break or a full stop
where there is one: it crashes on very long input (HojiChar PR#83, whose pieces are cut anywhere).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jacorpus import inflight
from jacorpus.stage import Column

if TYPE_CHECKING:
    from fugashi import GenericTagger

PIECE_CHARS = 50_000
STOPWORDS = ("の", "に", "を", "は", "た", "て", "が", "と", "で", "年", "し", "・", "月", "れ", "さ")
"""FineWeb-2's for Japanese, configs/jpn_Jpan.yml."""

SYMBOLS = frozenset(
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~«»–—‘“”„…‼‽⁇⁈⁉∶►、。《》「」【】〈〉！（），．１：；？％～´｡﹒﹖﹗"
    + "".join(map(chr, [*range(9), 11, 12, *range(13, 32), *range(127, 160)]))
)
"""Characters of which a word that is no word consists (datatrove a649de79, utils/text.py). Its set also holds the
sentence ends of scripts that do not occur here. It holds １ and lacks ・『』, as in the source."""

_TOP = range(2, 5)
_DUP = range(5, 11)
_REPEATED = 7
_NUMBERS = ("word_mean_chars", "newline_per_word", "alpha_word_ratio", "symbol_word_ratio", "noun_ratio")


@dataclass(frozen=True)
class Words:
    """Words and what they say about a document. Ratios of an empty document are 0.

    words: without white space. plain_words: those not of symbols alone (Gopher's 50 to 100,000 are these).
    newline_per_word: LF / words. word_mean_chars: over plain words. alpha_word_ratio: words with a letter / words.
    symbol_word_ratio: the larger of ``#`` and of ``…`` or ``...``, per word. stopword_types: how many of
    ``stopwords`` occur as words. top_N_word_cover_ratio, dup_N_word_cover_ratio: see kernels/word_ngrams.py,
    / chars of the text. noun_ratio: nouns / words that are no 補助記号. word_repetition_ratio: occurrences of
    7-grams that occur twice or more / all.

    stopwords: words to look for.
    """

    stopwords: tuple[str, ...] = STOPWORDS

    costly: ClassVar[bool] = True

    def columns(self) -> Mapping[str, pa.DataType]:
        whole = dict.fromkeys(("words", "plain_words", "stopword_types"), pa.int32())
        return {**whole, **dict.fromkeys((*_NUMBERS, *repetition_names()), pa.float64())}

    def measure(self, batch: pa.RecordBatch) -> dict[str, Column]:
        text = batch.column("text")
        surfaces: list[str] = []
        counts = np.zeros((3, len(text)), np.int64)  # words with white space, nouns, 補助記号
        for row, (document, value) in enumerate(zip(batch.column("id").to_pylist(), text.to_pylist(), strict=True)):
            inflight.mark(document)
            found, classes = segment(value)
            surfaces += found
            counts[:, row] = len(found), classes.count("名詞"), classes.count("補助記号")
        inflight.clear()
        everything = _tokens(surfaces, counts[0], tuple(self.stopwords))
        solid = everything.only(everything.solid)
        columns = word_counts(solid, text) | word_repetition_ratios(solid, text)
        if solid is not everything:  # HojiChar counts ideographic spaces as words, datatrove does not
            columns["word_repetition_ratio"] = word_repetition_ratios(everything, text)["word_repetition_ratio"]
        columns["stopword_types"] = _stopword_types(solid)
        columns["noun_ratio"] = counts[1] / np.maximum(counts[0] - counts[2], 1)
        return {name: columns[name] for name in self.columns()}


@dataclass(frozen=True)
class Tokens:
    """The words of a batch. offsets int64 [N+1]: where documents begin; the rest is one value a word, [W].

    numbers: the same for equal words of one document. chars: characters. solid: not white space; plain: not of
    symbols alone; alpha: has a letter. stopword: its place in the list of stop words + 1, or 0.
    """

    offsets: np.ndarray
    numbers: np.ndarray
    chars: np.ndarray
    solid: np.ndarray
    plain: np.ndarray
    alpha: np.ndarray
    stopword: np.ndarray

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum over the words of each document, int64 [N]."""
        return np.diff(np.concatenate([[0], np.cumsum(values, dtype=np.int64)])[self.offsets])

    def only(self, mask: np.ndarray) -> "Tokens":
        """The words where mask, bool [W], is true."""
        if mask.all():
            return self
        offsets = np.concatenate([[0], np.cumsum(self.sums(mask))])
        columns = (self.numbers, self.chars, self.solid, self.plain, self.alpha, self.stopword)
        return Tokens(offsets, *(column[mask] for column in columns))


def _tokens(surfaces: list[str], counts: np.ndarray, stopwords: tuple[str, ...]) -> Tokens:
    """Tokens of MeCab's surfaces, counts [N] of them a document; each distinct word is looked at once."""
    encoded = pa.array(surfaces, pa.large_string()).dictionary_encode()
    words = encoded.dictionary.to_pylist()
    numbers = encoded.indices.to_numpy()
    places = {word: place + 1 for place, word in enumerate(dict.fromkeys(stopwords))}
    return Tokens(
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        numbers=numbers,
        chars=np.array([len(word) for word in words], np.int64)[numbers],
        solid=np.array([bool(word.strip()) for word in words], bool)[numbers],
        plain=np.array([not SYMBOLS.issuperset(word) for word in words], bool)[numbers],
        alpha=np.array([any(map(str.isalpha, word)) for word in words], bool)[numbers],
        stopword=np.array([places.get(word, 0) for word in words], np.int64)[numbers],
    )


def _stopword_types(tokens: Tokens) -> np.ndarray:
    documents = len(tokens.offsets) - 1
    rows = np.repeat(np.arange(documents), np.diff(tokens.offsets))
    hits = tokens.stopword > 0
    pairs = np.unique(np.stack([rows[hits], tokens.stopword[hits]]), axis=1)
    return np.bincount(pairs[0], minlength=documents).astype(np.int32)


def segment(text: str) -> tuple[list[str], list[str]]:
    """(surfaces, parts of speech) of the words of a text; NUL becomes a space, MeCab would end there."""
    surfaces: list[str] = []
    classes: list[str] = []
    for piece in pieces(text.replace("\0", " ")):
        lines = _tagger().parse(piece).split("\n")
        stop = len(lines) // 2 * 2
        surfaces += lines[0:stop:2]
        classes += lines[1:stop:2]
    return surfaces, classes


def pieces(text: str, limit: int = PIECE_CHARS) -> Iterator[str]:
    """Parts of at most ``limit`` characters, cut behind the last LF, else the last 。, else anywhere."""
    start = 0
    while len(text) - start > limit:
        stop = start + limit
        cut = text.rfind("\n", start, stop)
        if cut < 0:
            cut = text.rfind("。", start, stop)
        stop = cut + 1 if cut >= 0 else stop
        yield text[start:stop]
        start = stop
    yield text[start:]


@cache
def _tagger() -> "GenericTagger":
    """MeCab that writes a line with the surface and one with the part of speech for each word."""
    import unidic_lite
    from fugashi import GenericTagger

    form = r"%m\n%f[0]\n"
    options = f"-O '' '--node-format={form}' '--unk-format={form}' --eos-format="
    return GenericTagger(f"-r /dev/null -d '{unidic_lite.DICDIR}' {options}")


def word_counts(tokens: Tokens, text: pa.Array) -> dict[str, Column]:
    """words, plain_words, word_mean_chars, newline_per_word, alpha_word_ratio, symbol_word_ratio of solid words."""
    words, plain = np.diff(tokens.offsets), tokens.sums(tokens.plain)
    marks = np.maximum(_occurrences(text, "#"), _occurrences(text, "...") + _occurrences(text, "…"))
    divisor = np.maximum(words, 1)
    return {
        "words": words.astype(np.int32),
        "plain_words": plain.astype(np.int32),
        "word_mean_chars": tokens.sums(np.where(tokens.plain, tokens.chars, 0)) / np.maximum(plain, 1),
        "newline_per_word": _occurrences(text, "\n") / divisor,
        "alpha_word_ratio": tokens.sums(tokens.alpha) / divisor,
        "symbol_word_ratio": marks / divisor,
    }


def _occurrences(text: pa.Array, mark: str) -> np.ndarray:
    return pc.count_substring(text, mark).to_numpy(zero_copy_only=False).astype(np.int64)


def repetition_names() -> list[str]:
    """Columns of ``word_repetition_ratios``."""
    covers = [f"top_{n}_word_cover_ratio" for n in _TOP] + [f"dup_{n}_word_cover_ratio" for n in _DUP]
    return [*covers, "word_repetition_ratio"]


def word_repetition_ratios(tokens: Tokens, text: pa.Array) -> dict[str, Column]:
    """Gopher's shares of the characters in the commonest and in repeated n-grams; HojiChar's share of repeated ones."""
    from jacorpus.kernels.word_ngrams import word_repetition

    chars = np.maximum(pc.utf8_length(text).to_numpy(zero_copy_only=False), 1)
    top, dup, repeated = word_repetition(tokens.offsets, tokens.numbers, tokens.chars, max(_DUP))
    found = [top[:, n] / chars for n in _TOP] + [dup[:, n] / chars for n in _DUP]
    return dict(zip(repetition_names(), [*found, _repeated_ratio(tokens, repeated)], strict=True))


def _repeated_ratio(tokens: Tokens, repeated: np.ndarray) -> np.ndarray:
    return repeated[:, _REPEATED] / np.maximum(np.diff(tokens.offsets) - _REPEATED + 1, 1)
