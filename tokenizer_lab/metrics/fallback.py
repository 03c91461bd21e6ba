"""What is not written with proper tokens: byte fallback, unknown tokens, characters cut in two.

byte tokens: tokens of kind BYTE / tokens; characters as bytes: characters written so / characters.
unknown tokens: unknown / tokens; unknown characters: characters under unknown tokens / characters (a run of unknown
characters may be one token, so the tokens hide the loss).
broken tokens: tokens that are no valid UTF-8 by themselves / tokens, the figure for byte-level BPE, which has no
fallback; characters cut: characters whose bytes lie in more than one token / characters.
"""

from functools import lru_cache

import numpy as np

from tokenizer_lab.comparison.encoded import Encoded, TokenTable, token_table
from tokenizer_lab.comparison.metric import Figure, Ratio
from tokenizer_lab.tokenizer import Tokenizer, list_buffers

TITLE = "Fallback and loss"
FORMULA = "byte, unknown or broken tokens / tokens; characters written so / characters"
TRAP = (
    "A run of unknown characters may be one token: read the share of characters. Byte fallback keeps the text and "
    "costs three tokens a character; an unknown token loses it."
)
MATERIAL = "text"


def measure(encoded: Encoded) -> list[Figure]:
    table, ids = _table(encoded.tokenizer), encoded.ids
    byte, broken = table.byte[ids], table.broken[ids] & ~table.unknown[ids]
    tokens, chars = encoded.tokens_N, encoded.source.chars_N
    return [
        Ratio("byte tokens", encoded.sums(byte), tokens, "share"),
        Ratio("characters as bytes", encoded.sums(byte & table.leads[ids]), chars, "share"),
        Ratio("unknown tokens", encoded.sums(table.unknown[ids]), tokens, "share"),
        Ratio("unknown characters", _unknown_characters(encoded, table), chars, "share"),
        Ratio("broken tokens", encoded.sums(broken), tokens, "share"),
        Ratio("characters cut", encoded.sums(table.opens[ids]), chars, "share"),
    ]


@lru_cache(maxsize=4)
def _table(tokenizer: Tokenizer) -> TokenTable:
    return token_table(tokenizer)


def _unknown_characters(encoded: Encoded, table: TokenTable) -> np.ndarray:
    """float64 [N]: characters of the raw text that unknown tokens stand for."""
    found = np.zeros(len(encoded.tokens_N))
    if not table.unknown[encoded.ids].any():
        return found
    places = encoded.placed
    offsets, ids = list_buffers(places.tokens)
    rows = np.flatnonzero(table.unknown[ids])
    document = np.searchsorted(offsets, rows, "right") - 1
    base, data = encoded.source.data
    lead = np.concatenate([[0], np.cumsum((data & 0xC0) != 0x80)])
    starts = base[document] + list_buffers(places.starts)[1][rows]
    ends = base[document] + list_buffers(places.ends)[1][rows]
    np.add.at(found, document, lead[ends] - lead[starts])
    return found
