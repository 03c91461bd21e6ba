"""Does the text come back? Documents with decode(encode(x)) = x, byte for byte / documents; and why the others do not.

Each document that differs is made plainer on both sides, step by step, until they are equal; the step names the class:
    prefix       spaces at the two ends
    BOM          U+FEFF
    newline      CR, LF, tab and other line ends, become a space or nothing
    space        runs of white space
    normalizer   Unicode NFKC
    unknown      an unknown token stands for some of it
    other        none of these
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from tokenizer_lab.comparison.encoded import Encoded, token_table
from tokenizer_lab.comparison.metric import Figure, Ratio, Single

TITLE = "Round trip"
FORMULA = "documents with decode(encode(x)) = x / documents"
TRAP = "One lost newline in each document gives 0 %: read the classes. Bits per byte are only formed at 100 %."
MATERIAL = "text"

_STEPS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("prefix", lambda text: text.strip(" ")),
    ("BOM", lambda text: text.replace("\ufeff", "")),
    ("newline", lambda text: re.sub(r"[\r\n\t\v\f\x85\u2028\u2029]+", " ", text).strip(" ")),
    ("space", lambda text: re.sub(r"\s+", "", text)),
    ("normalizer", lambda text: re.sub(r"\s+", "", unicodedata.normalize("NFKC", text))),
)
CLASSES = (*(name for name, _ in _STEPS), "unknown", "other")


def measure(encoded: Encoded) -> list[Figure]:
    exact = encoded.exact_N.astype(np.float64)
    counts = classes(encoded)
    lost = ", ".join(f"{name} {counts[name]:,}" for name in CLASSES if counts[name])
    return [
        Ratio("documents that come back", exact, np.ones(len(exact)), "share"),
        Single("what the others lost", lost or "nothing", "text"),
    ]


def classes(encoded: Encoded) -> Counter[str]:
    """Documents that do not come back, by class."""
    rows = np.flatnonzero(~encoded.exact_N)
    if not len(rows):
        return Counter()
    unknown = encoded.sums(token_table(encoded.tokenizer).unknown[encoded.ids])
    take = pa.array(rows)
    texts, decoded = encoded.source.texts.take(take).to_pylist(), encoded.decoded.take(take).to_pylist()
    return Counter(
        classify(text, back.decode("utf-8", "replace"), bool(unknown[row]))
        for row, text, back in zip(rows, texts, decoded, strict=True)
    )


def classify(text: str, back: str, has_unknown: bool) -> str:
    """The class of one document; see the module's docstring."""
    for name, step in _STEPS:
        text, back = step(text), step(back)
        if text == back:
            return name
    return "unknown" if has_unknown else "other"
