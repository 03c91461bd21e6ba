"""How much more a language costs than English for the same content: Σ tokens / Σ tokens of aligned texts
(arXiv 2305.15425, 2510.21909). 1 is equal treatment.

Two sources of aligned texts: documents of two corpora with the same key ``align`` (translations of one page), and the
English translation ``# text_en`` beside the sentences of a CoNLL-U file (Parallel Universal Dependencies).
"""

from tokenizer_lab.comparison.encoded import Encoded
from tokenizer_lab.comparison.metric import Figure, Ratio

TITLE = "Parity"
FORMULA = "Σ tokens of one language / Σ tokens of the other, over texts that say the same"
TRAP = "Translated pages hold code that is the same on both sides and pulls the ratio to 1; sentences of PUD do not."
MATERIAL = "pair"


def measure(one: Encoded, other: Encoded) -> list[Figure]:
    return [Ratio("tokens over tokens", one.tokens_N, other.tokens_N)]
