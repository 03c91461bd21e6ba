"""A tokenizer small enough to count by hand, for the tests of metrics and of the comparison."""

from typing import Any

import numpy as np
import pyarrow as pa

from tokenizer_lab.comparison.encoded import Encoded, Texts, Units
from tokenizer_lab.tokenizer import Encoding, Kind, Tokenizer, Vocabulary, place_lists, token_lists

UNKNOWN, PREFIX = 0, 1


class Words(Tokenizer):
    """The longest listed word at each place; else bytes, or with ``fallback=False`` a run of unknown characters as one
    id. ``prefix`` puts a token in front that stands for no text. Decoding an unknown token gives ``?``."""

    format, algorithm = "test", "longest"

    def __init__(self, *words: str, name: str = "words", fallback: bool = True, prefix: bool = False) -> None:
        self.name, self.fallback, self.prefix = name, fallback, prefix
        self.identity = (repr((words, fallback, prefix)).encode(),)
        self.traits: dict[str, Any] = {}
        pieces = [b"?", b"", *(bytes([b]) for b in range(256)), *(word.encode() for word in words)]
        kinds = np.full(len(pieces), Kind.NORMAL, np.uint8)
        kinds[UNKNOWN], kinds[2:258] = Kind.UNKNOWN, Kind.BYTE
        self.vocabulary = Vocabulary(tuple(pieces), tuple(pieces), kinds, unknown_id=UNKNOWN)
        self._ids = {word.encode(): 258 + i for i, word in enumerate(words)}

    def _cut(self, data: bytes) -> list[tuple[int, int, int]]:
        found, at = [(PREFIX, 0, 0)] if self.prefix and data else [], 0
        while at < len(data):
            word = max((w for w in self._ids if data.startswith(w, at)), key=len, default=b"")
            if word:
                found.append((self._ids[word], at, at + len(word)))
            elif self.fallback:
                found.append((2 + data[at], at, at + 1))
            elif found and found[-1][0] == UNKNOWN:
                found[-1] = (UNKNOWN, found[-1][1], at + 1)
            else:
                found.append((UNKNOWN, at, at + 1))
            at = found[-1][2]
        return found

    def encode_with_offsets(self, texts: pa.Array) -> Encoding:
        rows = [self._cut((text or "").encode()) for text in texts.to_pylist()]
        offsets = np.cumsum([0, *map(len, rows)])
        flat = np.array([token for row in rows for token in row], np.int64).reshape(-1, 3)
        ids, starts, ends = (np.ascontiguousarray(flat[:, i]) for i in range(3))
        return Encoding(token_lists(offsets, ids), place_lists(offsets, starts), place_lists(offsets, ends))

    def encode(self, texts: pa.Array, special_text: Any = "text") -> pa.LargeListArray:
        return self.encode_with_offsets(texts).tokens

    def decode(self, tokens: pa.LargeListArray) -> pa.LargeBinaryArray:
        rows = [b"".join(self.vocabulary.token_bytes[i] for i in row) for row in tokens.to_pylist()]
        return pa.array(rows, pa.large_binary())


def texts_of(*texts: str, name: str = "t", units: dict[str, Units] | None = None) -> Texts:
    return Texts(name, pa.array(texts, pa.large_string()), units or {})


def units_of(*rows: list[str]) -> Units:
    """Units that follow one another without a gap."""
    offsets = np.cumsum([0, *map(len, rows)])
    ends = [np.cumsum([len(word.encode()) for word in row]) for row in rows]
    starts = [np.concatenate([[0], end[:-1]]) if len(end) else end for end in ends]
    return Units(offsets, np.concatenate(starts).astype(np.int64), np.concatenate(ends).astype(np.int64))


def encoded(tokenizer: Tokenizer, texts: Texts) -> Encoded:
    return Encoded(tokenizer, texts, tokenizer.encode(texts.texts))
