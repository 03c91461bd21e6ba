"""Tokens per gold word: Σ tokens / Σ words over texts that people cut into words (Rust et al. 2021, arXiv 2012.15613).

Nothing is cut at spaces: the gold words are those of the corpus (UD short units, Juman words), for each kind of unit
that it marks. The text is encoded whole, so that tokens may span words; below 1 they do on average.
"""

import numpy as np

from tokenizer_lab.comparison.encoded import Encoded
from tokenizer_lab.comparison.metric import Figure, Ratio

TITLE = "Fertility"
FORMULA = "Σ tokens / Σ gold units, of whole texts"
TRAP = "Below 1 means that tokens span words, not that the tokenizer is better."
MATERIAL = "gold"


def measure(encoded: Encoded) -> list[Figure]:
    return [
        Ratio(f"tokens per {name}", encoded.tokens_N, np.diff(units.offsets))
        for name, units in encoded.source.units.items()
    ]
