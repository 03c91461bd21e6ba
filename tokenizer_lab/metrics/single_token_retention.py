"""Single-token retention rate (STRR, arXiv 2510.09947): the share of word types that are one token.

types: w of the set of different gold words W, encoded by itself: |{w : |T(w)| = 1}| / |W|; a prefix that stands for
no text is not counted. in text: the share of gold words that are exactly one token where they stand.
The interval of the types draws types, that of the words draws documents.
"""

import numpy as np
import pyarrow as pa

from tokenizer_lab.comparison.bootstrap import DRAWS
from tokenizer_lab.comparison.encoded import Encoded, Texts, Units, summed
from tokenizer_lab.comparison.metric import Figure, Ratio, Resampled
from tokenizer_lab.tokenizer import list_buffers

TITLE = "Words that are one token"
FORMULA = (
    "STRR: word types that are one token by themselves / word types; in text: gold words that are one token / words"
)
TRAP = "Types are encoded out of context, and the word list decides the figure; in text a token may join two words."
MATERIAL = "gold"


def measure(encoded: Encoded) -> list[Figure]:
    name, units = next(iter(encoded.source.units.items()))
    return [_types(encoded, units), Ratio(f"{name}s in text", _hits(encoded, units), np.diff(units.offsets), "share")]


def _types(encoded: Encoded, units: Units) -> Figure:
    words = pa.array(word_types(encoded.source, units), pa.large_string())
    placed = encoded.tokenizer.encode_with_offsets(words)
    offsets, starts = list_buffers(placed.starts)
    _, ends = list_buffers(placed.ends)
    single = summed(ends > starts, offsets) == 1
    share = float(single.mean()) if len(single) else 0.0
    random = np.random.Generator(np.random.PCG64(0))
    draws = random.binomial(len(single), share, DRAWS) / max(len(single), 1)
    return Resampled("STRR (types)", share, draws, "share")


def word_types(source: Texts, units: Units) -> list[str]:
    """The different gold words, sorted."""
    offsets, data = source.data
    base = np.repeat(offsets[:-1], np.diff(units.offsets))
    text = data.tobytes()
    spans = zip((base + units.starts).tolist(), (base + units.ends).tolist(), strict=True)
    return sorted({text[start:end].decode() for start, end in spans})


def _hits(encoded: Encoded, units: Units) -> np.ndarray:
    """float64 [N]: gold words of each document that are exactly one token, white space before it aside."""
    offsets, data = encoded.source.data
    _, starts, ends = encoded.spans
    first = after_space(encoded.source.dark, starts, ends)
    base = np.repeat(offsets[:-1], np.diff(units.offsets))
    size = len(data) + 1
    gold = (base + units.starts) * size + base + units.ends
    return summed(np.isin(gold, first * size + ends), units.offsets)


def after_space(dark: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """int64: each start moved behind the ASCII spaces it begins with, at most to its end. dark: see Texts."""
    return np.minimum(dark[np.searchsorted(dark, starts)], ends)
