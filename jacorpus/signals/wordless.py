"""FineWeb-2's word rules without words: the number of words is estimated from characters and runs of scripts.

words = sum of weights times counts (kernels/word_estimate.py): a hiragana, a kanji, a run of katakana are worth what
a least-squares fit on hand-segmented sentences gives (UD_Japanese-GSD, short unit words; Sudachi's split mode A has
0.3 % more of them); a run of letters, a run of digits and a symbol are one word each, as Sudachi has it. How well the
rules agree with those on real words is in docs/word-rules.md. `signals.words` has the exact signals, much slower.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jacorpus.stage import Column

WEIGHTS = {"hiragana": 0.60, "kanji": 0.69, "katakana_runs": 1.44, "letter_runs": 1.0, "digit_runs": 1.0}
"""Words each is worth. A symbol is a word of its own too, but no plain one."""


@dataclass(frozen=True)
class Wordless:
    """Estimates, as float64, of the columns of `signals.words` with the same names. No options.

    words; plain_words: less symbols; word_mean_chars: characters without symbols / plain_words;
    newline_per_word; alpha_word_ratio: words that are neither symbols nor digits / words; symbol_word_ratio.
    All are 0 where there is nothing to divide by.
    """

    costly: ClassVar[bool] = False

    def columns(self) -> Mapping[str, pa.DataType]:
        names = ("words", "plain_words", "word_mean_chars", "newline_per_word", "alpha_word_ratio", "symbol_word_ratio")
        return dict.fromkeys(names, pa.float64())

    def measure(self, batch: pa.RecordBatch) -> dict[str, Column]:
        from jacorpus.kernels.word_estimate import COUNTS, script_runs

        text = batch.column("text")
        counts = dict(zip(COUNTS, script_runs(text).T, strict=True))
        plain = np.zeros(len(text))
        for name, weight in WEIGHTS.items():
            plain = plain + weight * counts[name]
        words = plain + counts["symbols"]
        letters = plain - WEIGHTS["digit_runs"] * counts["digit_runs"]
        marks = np.maximum(_count(text, "#"), _count(text, "...") + _count(text, "…"))
        return {
            "words": words,
            "plain_words": plain,
            "word_mean_chars": _ratio(counts["symbol_free_chars"], plain),
            "newline_per_word": _ratio(_count(text, "\n"), words),
            "alpha_word_ratio": _ratio(letters, words),
            "symbol_word_ratio": _ratio(marks, words),
        }


def _count(text: pa.Array, mark: str) -> np.ndarray:
    return pc.fill_null(pc.count_substring(text, mark), 0).to_numpy(zero_copy_only=False).astype(np.int64)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
