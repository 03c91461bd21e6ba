"""Signals that need words: FineWeb-2's Gopher and FineWeb rules, and HojiChar's nouns and repetition.

Words come from MeCab with UniDic-lite. HojiChar (3ca1d27) uses UniDic too; FineWeb-2 (d0defb2) cuts by Sudachi in
split mode A, whose units are nearly the same but differ for proper names, numbers (Sudachi keeps a run of digits,
UniDic-lite cuts it into single ones) and words newer than the dictionary. docs/word-rules.md has the measured
difference. Text goes to MeCab in pieces of at most PIECE_CHARS characters, cut behind a line break or a full stop
where there is one: it crashes on very long input (HojiChar PR#83, whose pieces are cut anywhere).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa

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
        return {**whole, **dict.fromkeys((*_NUMBERS, *_repetition_names()), pa.float64())}

    def measure(self, batch: pa.RecordBatch) -> dict[str, Column]:
        texts = batch.column("text").to_pylist()
        ids = batch.column("id").to_pylist()
        surfaces: list[str] = []
        counts = np.zeros((3, len(texts)), np.int64)  # words with white space, nouns, 補助記号
        for row, (text, document) in enumerate(zip(texts, ids, strict=True)):
            inflight.mark(document)
            found, classes = segment(text)
            surfaces += found
            counts[:, row] = len(found), classes.count("名詞"), classes.count("補助記号")
        inflight.clear()
        encoded = pa.array(surfaces, pa.large_string()).dictionary_encode()
        offsets = np.concatenate([[0], np.cumsum(counts[0])])
        lexicon = _Lexicon.of(encoded.dictionary.to_pylist(), tuple(self.stopwords))
        everything = encoded.indices.to_numpy().astype(np.int64)
        columns = _counts(texts, offsets, everything, lexicon)
        columns["noun_ratio"] = counts[1] / np.maximum(counts[0] - counts[2], 1)
        columns |= _repetition(texts, offsets, everything, lexicon)
        return {name: columns[name] for name in self.columns()}


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


@dataclass(frozen=True)
class _Lexicon:
    """Facts about each distinct word of a batch, indexed by its number; stopword: place in the list + 1, or 0."""

    chars: np.ndarray
    blank: np.ndarray
    plain: np.ndarray
    alpha: np.ndarray
    stopword: np.ndarray

    @classmethod
    def of(cls, words: list[str], stopwords: tuple[str, ...]) -> "_Lexicon":
        places = {word: place + 1 for place, word in enumerate(dict.fromkeys(stopwords))}
        return cls(
            chars=np.array([len(word) for word in words], np.int64),
            blank=np.array([not word.strip() for word in words], bool),
            plain=np.array([not SYMBOLS.issuperset(word) for word in words], bool),
            alpha=np.array([any(map(str.isalpha, word)) for word in words], bool),
            stopword=np.array([places.get(word, 0) for word in words], np.int64),
        )


def _sums(offsets: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sum of the values of each document, int64 [N]."""
    return np.diff(np.concatenate([[0], np.cumsum(values, dtype=np.int64)])[offsets])


def _counts(texts: list[str], offsets: np.ndarray, numbers: np.ndarray, lexicon: _Lexicon) -> dict[str, Column]:
    solid = ~lexicon.blank
    words = _sums(offsets, solid[numbers])
    plain_words = _sums(offsets, (lexicon.plain & solid)[numbers])
    plain_chars = _sums(offsets, np.where(lexicon.plain & solid, lexicon.chars, 0)[numbers])
    rows = np.repeat(np.arange(len(texts)), np.diff(offsets))
    stopwords = lexicon.stopword[numbers]
    kinds = np.unique(np.stack([rows, stopwords])[:, stopwords > 0], axis=1)
    divisor = np.maximum(words, 1)
    marks = [max(text.count("#"), text.count("...") + text.count("…")) for text in texts]
    return {
        "words": words.astype(np.int32),
        "plain_words": plain_words.astype(np.int32),
        "stopword_types": np.bincount(kinds[0], minlength=len(texts)).astype(np.int32),
        "word_mean_chars": plain_chars / np.maximum(plain_words, 1),
        "newline_per_word": np.array([text.count("\n") for text in texts], np.int64) / divisor,
        "alpha_word_ratio": _sums(offsets, lexicon.alpha[numbers]) / divisor,
        "symbol_word_ratio": np.array(marks, np.int64) / divisor,
    }


def _repetition_names() -> list[str]:
    covers = [f"top_{n}_word_cover_ratio" for n in _TOP] + [f"dup_{n}_word_cover_ratio" for n in _DUP]
    return ["word_repetition_ratio", *covers]


def _repetition(texts: list[str], offsets: np.ndarray, numbers: np.ndarray, lexicon: _Lexicon) -> dict[str, Column]:
    from jacorpus.kernels.word_ngrams import word_repetition

    chars = np.maximum(np.array([len(text) for text in texts], np.int64), 1)
    solid = ~lexicon.blank[numbers]
    solid_offsets = np.concatenate([[0], np.cumsum(_sums(offsets, solid))])
    top, dup, repeated = word_repetition(solid_offsets, numbers[solid], lexicon.chars, max(_DUP))
    if not solid.all():  # HojiChar counts ideographic spaces as words, datatrove does not
        repeated = word_repetition(offsets, numbers, lexicon.chars, _REPEATED)[2]
    grams = np.maximum(np.diff(offsets) - _REPEATED + 1, 1)
    columns: dict[str, Column] = {"word_repetition_ratio": repeated[:, _REPEATED] / grams}
    columns |= {f"top_{n}_word_cover_ratio": top[:, n] / chars for n in _TOP}
    return columns | {f"dup_{n}_word_cover_ratio": dup[:, n] / chars for n in _DUP}
