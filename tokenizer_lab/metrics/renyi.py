"""Rényi efficiency of the use of ids (Zouhar et al. 2023, arXiv 2306.16842): how evenly ids are used.

p: share of each id among all tokens, V: ids. H_α = ln(Σ p^α) / (1 - α) with α = 2.5; efficiency = H_α / ln V. Over
used types the V below is the number of ids used.
The interval: documents drawn again. The sum is ruled by frequent ids, so the TOP most used are drawn again and the
part of all others is held at its value; an id beyond them adds to Σ p^α less than a thousandth on real text.
"""

import numpy as np

from tokenizer_lab.comparison.encoded import Encoded
from tokenizer_lab.comparison.metric import Figure, Resampled

TITLE = "Rényi efficiency"
FORMULA = "ln(Σ p^2.5) / (1 - 2.5) / ln V, p the share of each id"
TRAP = "It can be raised without any use (arXiv 2402.14614), and single characters score above good tokenizers."
MATERIAL = "text"

ALPHA = 2.5
TOP = 1024


def measure(encoded: Encoded) -> list[Figure]:
    uses, size = encoded.uses_V, encoded.tokenizer.vocab_size
    used = int(np.count_nonzero(uses))
    if not used:
        return []
    value, draws = entropy(uses / uses.sum()), _draws(encoded)
    return [
        Resampled(f"over {name}", value / np.log(number), draws / np.log(number))
        for name, number in (("V", size), ("used ids", used))
        if number > 1
    ]


def entropy(p: np.ndarray) -> float:
    """H_α in nats of shares that sum to 1."""
    return float(np.log((p[p > 0] ** ALPHA).sum()) / (1 - ALPHA))


def _draws(encoded: Encoded) -> np.ndarray:
    uses = encoded.uses_V
    top = np.argsort(-uses, kind="stable")[:TOP]
    rest = np.delete(uses, top) / uses.sum()
    place = np.full(len(uses), len(top), np.int64)
    place[top] = np.arange(len(top))
    documents = np.repeat(np.arange(len(encoded.tokens_N)), encoded.tokens_N)
    width = len(top) + 1
    counts = np.bincount(documents * width + place[encoded.ids], minlength=len(encoded.tokens_N) * width)
    sums = encoded.source.resampling.sums(counts.reshape(-1, width).astype(np.float64))
    shares = sums[:, :-1] / sums.sum(1, keepdims=True)
    return np.log((shares**ALPHA).sum(1) + (rest**ALPHA).sum()) / (1 - ALPHA)
