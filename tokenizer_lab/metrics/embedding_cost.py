"""What the vocabulary costs in a model of D_MODEL channels and LAYERS layers, input and output embeddings apart.

parameters: 2 V d_model; share: of those and of the layers' 12 d_model^2 each (attention and a four-fold MLP).
logits: FLOPs of the output layer for each *byte* of text: 2 V d_model / bytes per token. A larger V costs more a token
and needs fewer tokens, so only the figure per byte compares.
"""

from tokenizer_lab.comparison.encoded import Encoded
from tokenizer_lab.comparison.metric import Figure, Ratio, Single

TITLE = "Cost of the vocabulary"
FORMULA = "2 V d_model parameters; logits 2 V d_model FLOPs / bytes per token; d_model 2,048, 24 layers"
TRAP = "A larger vocabulary is not free: what it saves in tokens it may spend in logits and in memory."
MATERIAL = "text"

D_MODEL, LAYERS = 2048, 24


def measure(encoded: Encoded) -> list[Figure]:
    table = encoded.tokenizer.vocab_size * D_MODEL
    body = 12 * LAYERS * D_MODEL**2
    return [
        Ratio("MFLOPs of logits per byte", encoded.tokens_N * (2 * table / 1e6), encoded.source.bytes_N),
        Ratio("MFLOPs of all per byte", encoded.tokens_N * (2 * (table + body) / 1e6), encoded.source.bytes_N),
        Single("embedding parameters", 2 * table, "count"),
        Single("share of all parameters", 2 * table / (2 * table + body), "share"),
    ]


def flops_per_token(vocab_size: int, d_model: int, layers: int) -> float:
    """FLOPs of training on one token, forward and backward: 6 (12 layers d_model^2 + V d_model)."""
    return 6.0 * (12 * layers * d_model**2 + vocab_size * d_model)
