"""FineWeb-2's word rules without words: the same columns as `signals.words`, over pseudo-words.

Pseudo-words (kernels/pseudo_words.py) come from scripts alone, in pairs of kanji and of hiragana; there are nearly as
many of them as words, so the published bounds stand as they are. docs/word-rules.md says how often a rule decides
the same as with Sudachi's words. `signals.words` has the exact ones, much slower, and nouns and stop words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from jacorpus.signals.words import Tokens, repetition_names, word_counts, word_repetition_ratios
from jacorpus.stage import Column

_RATIOS = ("word_mean_chars", "newline_per_word", "alpha_word_ratio", "symbol_word_ratio")


@dataclass(frozen=True)
class Wordless:
    """Columns as in `signals.words`, but for noun_ratio and stopword_types (`signals.text` has the latter).

    A plain word here is one that is no symbol; an alpha word is neither symbol nor digits. No options.
    """

    costly: ClassVar[bool] = False

    def columns(self) -> Mapping[str, pa.DataType]:
        whole = dict.fromkeys(("words", "plain_words"), pa.int32())
        return {**whole, **dict.fromkeys((*_RATIOS, *repetition_names()), pa.float64())}

    def measure(self, batch: pa.RecordBatch) -> dict[str, Column]:
        from jacorpus.kernels.pseudo_words import DIGIT, SYMBOL, pseudo_words

        text = batch.column("text")
        found = pseudo_words(text)
        plain = found.kinds != SYMBOL
        nothing = np.zeros(len(plain), bool)
        tokens = Tokens(
            offsets=found.offsets,
            numbers=found.numbers,
            chars=found.chars,
            solid=~nothing,
            plain=plain,
            alpha=plain & (found.kinds != DIGIT),
            stopword=nothing,
        )
        columns = word_counts(tokens, text) | word_repetition_ratios(tokens, text)
        return {name: columns[name] for name in self.columns()}
