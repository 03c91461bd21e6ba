"""What a text is made of: sizes, kinds of characters, sentences.

    chars, bytes          code points, line breaks included; UTF-8 bytes
    hiragana_chars, katakana_chars, kanji_chars   (int32) as Swallow counts them: no long mark, no half-width kana
    japanese_chars        those three and 、，。．！？
    japanese_ratio        japanese_chars / chars
    hiragana_ratio, katakana_ratio   / japanese_chars
    hiragana_all_ratio    characters U+3040-309F / chars (Uzushio)
    kana_head_chars       kana (ぁ-ん, ァ-ン) in the first 50 characters (HojiChar, llm-jp: drop when 0)
    kuten_gap_chars       chars / count of 。; inf with none, 0 for an empty text
    sentence_mean_chars, sentence_max_chars   length of sentences (Swallow)
    ellipsis_sentence_ratio   sentences whose last character, white space aside, is ・ or … (Swallow)
    special_ratio         ASCII punctuation, white space, symbols and emoji / chars (HojiChar)
    run_max_chars         longest run of one character (HojiChar)
    stopword_types        how many of FineWeb-2's 15 Japanese stop words occur; each is one character

Every ratio is 0 where there is nothing to divide by. Definitions and sources: `jacorpus.script`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from jacorpus.stage import Column

_COUNTS = (
    "chars",
    "bytes",
    "hiragana_chars",
    "katakana_chars",
    "kanji_chars",
    "japanese_chars",
    "kana_head_chars",
    "sentence_max_chars",
    "run_max_chars",
    "stopword_types",
)
_RATIOS = {
    "japanese_ratio": ("japanese_chars", "chars"),
    "hiragana_ratio": ("hiragana_chars", "japanese_chars"),
    "katakana_ratio": ("katakana_chars", "japanese_chars"),
    "hiragana_all_ratio": ("hiragana_block_chars", "chars"),
    "kuten_gap_chars": ("chars", "kuten_chars"),
    "sentence_mean_chars": ("sentence_chars", "sentences"),
    "ellipsis_sentence_ratio": ("ellipsis", "sentences"),
    "special_ratio": ("special_chars", "chars"),
}


@dataclass(frozen=True)
class Text:
    """No options."""

    costly: ClassVar[bool] = False

    def columns(self) -> Mapping[str, pa.DataType]:
        kinds = {name: pa.int64() if name == "bytes" else pa.int32() for name in _COUNTS}
        return kinds | dict.fromkeys(_RATIOS, pa.float64())

    def measure(self, batch: pa.RecordBatch) -> dict[str, Column]:
        from jacorpus.kernels.characters import character_counts

        counts = character_counts(batch.column("text"))
        columns: dict[str, Column] = {
            name: counts[name].astype(np.int64 if name == "bytes" else np.int32) for name in _COUNTS
        }
        for name, (part, whole) in _RATIOS.items():
            columns[name] = np.where(counts[whole] > 0, counts[part] / np.maximum(counts[whole], 1), 0.0)
        no_kuten = (counts["kuten_chars"] == 0) & (counts["chars"] > 0)
        columns["kuten_gap_chars"] = np.where(no_kuten, np.inf, columns["kuten_gap_chars"])
        return columns
