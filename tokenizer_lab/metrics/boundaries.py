"""Do tokens end where words end? Precision, recall and F1 of the cuts inside a text against gold ones.

A cut is a place between two bytes, not the beginning or the end of a text. A tokenizer's cuts are the edges of its
tokens in the raw text (a prefix that stands for no text has none; a cut inside a character counts, and is wrong). A
cut in a run of ASCII spaces counts as the one behind the run, on both sides, so that it makes no difference to which
word a tokenizer gives the space. Counts are pooled: P = hits / cuts, R = hits / gold cuts, F1 = 2 hits / (cuts + gold).
"""

import numpy as np

from tokenizer_lab.comparison.encoded import Encoded, Units
from tokenizer_lab.comparison.metric import Figure, Ratio

TITLE = "Boundaries"
FORMULA = "P = right cuts / cuts, R = right cuts / gold cuts, F1 = 2 right / (cuts + gold cuts); counts pooled"
TRAP = (
    "F1 falls as tokens grow, since a long token leaves cuts out: single characters reach a high one. Read P first. "
    "The best unit differs by task (arXiv 2306.09572), and agreement with words does not explain how good a model "
    "gets (arXiv 2507.06378)."
)
MATERIAL = "gold"


def measure(encoded: Encoded) -> list[Figure]:
    document, starts, ends = encoded.spans
    ours = _cuts(encoded, document, starts, ends)
    figures: list[Figure] = []
    for name, units in encoded.source.units.items():
        gold = _gold_cuts(encoded, units)
        hits = ours[np.isin(ours, gold)]
        right, cuts, wanted = (_count(encoded, places) for places in (hits, ours, gold))
        figures += [
            Ratio(f"P, {name}", right, cuts),
            Ratio(f"R, {name}", right, wanted),
            Ratio(f"F1, {name}", 2 * right, cuts + wanted),
        ]
    return figures


def _gold_cuts(encoded: Encoded, units: Units) -> np.ndarray:
    document = np.repeat(np.arange(len(units.offsets) - 1), np.diff(units.offsets))
    base = encoded.source.data[0][document]
    return _cuts(encoded, document, base + units.starts, base + units.ends)


def _cuts(encoded: Encoded, document: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Sorted different places from the first byte of the corpus, strictly inside their documents."""
    offsets, data = encoded.source.data
    dark = encoded.source.dark
    places, document = np.concatenate([starts, ends]), np.concatenate([document, document])
    places = np.where(places < len(data), dark[np.searchsorted(dark, places)], places)
    return np.unique(places[(places > offsets[document]) & (places < offsets[document + 1])])


def _count(encoded: Encoded, places: np.ndarray) -> np.ndarray:
    """float64 [N]: places in each document."""
    offsets = encoded.source.data[0]
    return np.diff(np.searchsorted(places, offsets)).astype(np.float64)
