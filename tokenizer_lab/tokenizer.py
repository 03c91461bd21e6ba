"""One protocol for every kind of tokenizer: Arrow text in, Arrow token lists out. Read this file first.

Legend: N documents, T tokens in all, V ids. A token is a row of the vocabulary, an id its number.

``open_tokenizer(path)`` reads Hugging Face ``tokenizer.json``, SentencePiece ``.model``, tiktoken rank files and
PLaMo-2 ``tokenizer.jsonl``; the names ``byte`` and ``char`` give the two plain ones. Nothing is added to a text:
no begin or end mark, no template.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from jacorpus.errors import InputError

TOKEN_LISTS = pa.large_list(pa.uint32())
"""Type of what ``encode`` gives."""

PLACES = pa.large_list(pa.int64())
"""Type of the byte offsets of ``Encoding``."""

SpecialText = Literal["text", "ids"]
"""What the literal string of a special token in a text becomes: plain tokens, or the special id."""


class Kind(IntEnum):
    """What an id is for; the numbers are SentencePiece's."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3  # never comes out of plain text
    USER_DEFINED = 4  # matched before all else, always whole
    UNUSED = 5  # in the file, never chosen
    BYTE = 6  # one byte of a character that no other token holds


@dataclass(frozen=True)
class Vocabulary:
    """The table of a tokenizer.

    pieces: V strings as the file has them, bytes (``▁the``, ``<0x41>``, raw bytes of a byte-level token).
    token_bytes: V byte strings that decoding gives (``▁`` is a space; empty for control tokens).
    kinds: uint8 [V], see Kind. scores: float64 [V], log probabilities (Unigram) or priorities (BPE); None without.
    specials: text of each control token -> id. unknown_id: id of what can't be written, None where all can.
    """

    pieces: tuple[bytes, ...]
    token_bytes: tuple[bytes, ...]
    kinds: np.ndarray
    scores: np.ndarray | None = None
    specials: dict[str, int] = field(default_factory=dict)
    unknown_id: int | None = None

    def __len__(self) -> int:
        return len(self.pieces)

    @cached_property
    def lengths(self) -> np.ndarray:
        """int64 [V]: bytes of each token as decoded."""
        return np.fromiter(map(len, self.token_bytes), np.int64, len(self.token_bytes))


@dataclass(frozen=True)
class Encoding:
    """Tokens with the place each comes from.

    tokens: large_list<uint32> [N]. starts, ends: large_list<int64> [N] of the same lengths: the bytes
    [start, end) of the raw text of the document (from its own first byte) that a token stands for. Places never go
    back; a token that stands for no text (a prefix that was put in) has start == end; text that normalization took
    away belongs to no token.
    """

    tokens: pa.LargeListArray
    starts: pa.LargeListArray
    ends: pa.LargeListArray


class Tokenizer(ABC):
    """What every tokenizer does.

    name: for people, unique in a report. format: sentencepiece, huggingface, tiktoken, plamo2, byte or char.
    algorithm: unigram, bpe (over characters), byte-bpe, byte or char. engine: ``fast`` for our kernels, else the
    library that encodes, with its version. why_slow: one sentence where engine is not fast, else empty.
    identity: what decides the ids beside the code (file bytes, named pattern): hashed into ``fingerprint``.
    traits: what ``tokenizer explain`` compares: normalizer, prefix, pattern, ties, scores, unicode and so on, each a
    short value in words or JSON scalars.
    """

    name: str
    format: str
    algorithm: str
    engine: str = "fast"
    why_slow: str = ""
    vocabulary: Vocabulary
    identity: tuple[bytes, ...]
    traits: dict[str, Any]

    @abstractmethod
    def encode(self, texts: pa.Array, special_text: SpecialText = "text") -> pa.LargeListArray:
        """large_list<uint32> [N] of large_string (or string) [N]; a null counts as empty.

        special_text: ``text`` never gives a control id; ``ids`` does as the original library does.
        """

    @abstractmethod
    def encode_with_offsets(self, texts: pa.Array) -> Encoding:
        """The tokens of ``encode`` and where in the raw text each lies."""

    @abstractmethod
    def decode(self, tokens: pa.LargeListArray) -> pa.LargeBinaryArray:
        """The bytes that token lists stand for, by the rules of the format. Raises InputError for an id >= V."""

    def reference(self) -> "Tokenizer | None":
        """The same file behind its original library (or the readable twin where none exists); None where this
        object is that already, or the kind needs none."""
        return None

    @property
    def reference_name(self) -> str:
        """Library and version that ``reference`` encodes with, for reports."""
        return ""

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 in hex over format, algorithm and identity: equal fingerprints give equal ids."""
        digest = hashlib.sha256()
        for part in (self.format.encode(), self.algorithm.encode(), *self.identity):
            digest.update(len(part).to_bytes(8, "little") + part)
        return digest.hexdigest()

    @property
    def vocab_size(self) -> int:
        """V: ids are below it."""
        return len(self.vocabulary)


def token_lists(offsets: np.ndarray, ids: np.ndarray) -> pa.LargeListArray:
    """large_list<uint32> over offsets int64 [N+1] and ids uint32 [T]; no copy."""
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), pa.array(ids, pa.uint32()))


def place_lists(offsets: np.ndarray, places: np.ndarray) -> pa.LargeListArray:
    """large_list<int64> over offsets int64 [N+1] and places int64 [T]; no copy."""
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), pa.array(places, pa.int64()))


def list_buffers(tokens: pa.LargeListArray) -> tuple[np.ndarray, np.ndarray]:
    """(offsets int64 [N+1] from 0, values [T]) of token or place lists, slices taken into account."""
    offsets = tokens.offsets.to_numpy(zero_copy_only=False)
    values = tokens.values.to_numpy(zero_copy_only=False)[offsets[0] : offsets[-1]]
    return offsets - offsets[0], values


def open_tokenizer(
    path: str | Path, pattern: str | None = None, specials: Sequence[str] = (), engine: str = "auto"
) -> Tokenizer:
    """Open a tokenizer file, a folder that holds one, or the plain ones by the names ``byte`` and ``char``.

    pattern: only for tiktoken rank files that are not known by their SHA-256: a pattern's name (``gpt2``,
    ``cl100k``, ...) or a regular expression. specials: their special tokens, ids after the ranks.
    engine: ``auto`` takes our kernels where they are exact, ``library`` the original library.
    Raises InputError naming what was expected where the file is missing, broken or of no known kind.
    """
    from tokenizer_lab.formats.sniff import read

    if engine not in ("auto", "library"):
        raise InputError(f"engine `{engine}` is unknown; choose auto or library")
    tokenizer = read(path, pattern, tuple(specials))
    if engine == "library":
        tokenizer = tokenizer.reference() or tokenizer
    return tokenizer
