"""The two plain tokenizers that every comparison shows beside the others: ``byte`` and ``char``. They have no file.

``byte``: the 256 bytes of UTF-8. ``char``: ids 0-255 are the bytes; then one id for each character of a table, by
code point: the double-byte characters of JIS X 0213 (Japanese), KS X 1001 (Korean) and GB 2312 (Chinese), Latin to
U+024F, U+2000-206F (punctuation), U+3000-30FF (kana) and U+FF00-FFEF (half and full width). All else (rare kanji,
emoji, other scripts) is written as its bytes. A table of all 1.1 million code points would never fall back, and would
make the embedding cost and the utilization of the ``char`` row meaningless; one of this size (20,475 ids) is what a
character model of East Asian text would really have.
"""

from abc import abstractmethod
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa

from jacorpus.errors import InputError, nearest
from jacorpus.kernels.buffers import text_buffers
from tokenizer_lab.decoding import byte_table, joined, placed
from tokenizer_lab.kernels.characters import character_ids
from tokenizer_lab.tokenizer import Encoding, Kind, SpecialText, Tokenizer, Vocabulary, token_lists

BYTES = 256
BLOCKS = ((0xA0, 0x24F), (0x2000, 0x206F), (0x3000, 0x30FF), (0xFF00, 0xFFEF))
STANDARDS = (("euc_jis_2004", (b"", b"\x8f")), ("euc_kr", (b"",)), ("gb2312", (b"",)))
"""Codecs that hold the tables, and the bytes that choose each plane of theirs."""


@cache
def characters() -> str:
    """The characters of ``char`` beyond ASCII, by code point."""
    found = {chr(code) for first, last in BLOCKS for code in range(first, last + 1)}
    for codec, planes in STANDARDS:
        for plane in planes:
            for pair in product(range(0xA1, 0xFF), repeat=2):
                found.update((plane + bytes(pair)).decode(codec, "ignore"))
    return "".join(sorted(c for c in found if ord(c) >= 0x80 and not 0xD800 <= ord(c) < 0xE000))


class _Plain(Tokenizer):
    def __init__(self, name: str, token_bytes: tuple[bytes, ...], kinds: np.ndarray) -> None:
        self.name = self.format = self.algorithm = name
        self.vocabulary = Vocabulary(token_bytes, token_bytes, kinds)
        self._table = byte_table(token_bytes)

    def decode(self, tokens: pa.LargeListArray) -> pa.LargeBinaryArray:
        return joined(self._table, tokens)

    @abstractmethod
    def _sizes(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(offsets [N+1], ids [T], bytes of each token [T])."""

    def encode(self, texts: pa.Array, special_text: SpecialText = "text") -> pa.LargeListArray:
        offsets, ids, _ = self._sizes(texts)
        return token_lists(offsets, ids)

    def encode_with_offsets(self, texts: pa.Array) -> Encoding:
        return placed(*self._sizes(texts))


class Bytes(_Plain):
    """One id a byte."""

    identity = (b"256 bytes",)

    def __init__(self) -> None:
        super().__init__("byte", tuple(bytes([b]) for b in range(BYTES)), np.full(BYTES, Kind.NORMAL, np.uint8))
        self.traits: dict[str, Any] = {"normalizer": "none", "prefix": "none", "vocabulary": "256 bytes"}

    def _sizes(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        offsets, data = text_buffers(texts)
        ids = data[offsets[0] : offsets[-1]].astype(np.uint32)
        return offsets - offsets[0], ids, np.ones(len(ids), np.int64)


class Characters(_Plain):
    """One id a character of the table; other characters as bytes."""

    def __init__(self) -> None:
        listed = characters()
        kinds = np.full(BYTES + len(listed), Kind.NORMAL, np.uint8)
        kinds[0x80:BYTES] = Kind.BYTE
        token_bytes = (*(bytes([b]) for b in range(BYTES)), *(c.encode() for c in listed))
        super().__init__("char", token_bytes, kinds)
        codes = np.array([ord(c) for c in listed], np.int64)
        self._codes = np.full(int(codes[-1]) + 1, -1, np.int32)
        self._codes[:0x80] = np.arange(0x80)
        self._codes[codes] = BYTES + np.arange(len(listed), dtype=np.int32)
        self.identity = (listed.encode(),)
        self.traits: dict[str, Any] = {
            "normalizer": "none",
            "prefix": "none",
            "vocabulary": f"{len(listed):,} characters, others as bytes",
        }

    def _sizes(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return character_ids(texts, self._codes)


def open_plain(name: str) -> Tokenizer:
    """``byte`` or ``char``. Raises InputError for other names."""
    if name == "byte":
        return Bytes()
    if name == "char":
        return Characters()
    raise InputError(f"no plain tokenizer `{name}`{nearest(name, ('byte', 'char'))}")
