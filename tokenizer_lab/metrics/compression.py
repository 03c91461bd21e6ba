"""How much text a token stands for: Σ bytes / Σ tokens and Σ characters / Σ tokens, pooled over documents.

Bytes are UTF-8, characters Unicode scalar values, tokens without specials. Pooled: a mean of ratios would let short
documents weigh as much as long ones. Bytes compare languages (a Japanese character has three), characters are what a
reader sees.
"""

from tokenizer_lab.comparison.encoded import Encoded
from tokenizer_lab.comparison.metric import Figure, Ratio

TITLE = "Compression"
FORMULA = "characters per token: Σ characters / Σ tokens; bytes per token: Σ bytes / Σ tokens"
TRAP = "Each tokenizer looks best on text like that it was trained on, and a larger vocabulary always compresses more."
MATERIAL = "text"


def measure(encoded: Encoded) -> list[Figure]:
    source = encoded.source
    return [
        Ratio("characters per token", source.chars_N, encoded.tokens_N),
        Ratio("bytes per token", source.bytes_N, encoded.tokens_N),
    ]
