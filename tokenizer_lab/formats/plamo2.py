"""PLaMo-2 ``tokenizer.jsonl``: line n is id n, ``[token, score, type, ...]`` of type NORMAL, UNKNOWN, CONTROL or BYTE.

Text is read as it is: no normalizer, no prefix, spaces are spaces, U+FEFF is a character (llama.cpp drops one at the
beginning). The cost of a token is -score x 10,000, rounded half to even. Every token but the byte tokens is looked for
in the text, control tokens too: with ``special_text="ids"`` their strings become their ids, as in the published Python;
with ``text`` they and the unknown token are left out of the search. A token that begins with ``<0x`` decodes as one
byte.
See tokenizer_lab.kernels.unigram_plamo2 for the search.

Where the published Python would fail or go astray, the file is refused: an empty token, a byte without a token or with
id 0, a score of exactly -1,000 (it takes such a row for the end of its list), a cost beyond 32 bits.
No library encodes this form; ``reference`` is the readable twin.

Legend: N documents, T tokens, V ids.
"""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jacorpus.errors import InputError
from tokenizer_lab.decoding import byte_table, joined, placed
from tokenizer_lab.kernels.unigram_plamo2 import (
    UNKNOWN_COST,
    Plamo2Table,
    plamo2_table,
    unigram_plamo2,
    unigram_plamo2_naive,
)
from tokenizer_lab.tokenizer import Encoding, Kind, SpecialText, Tokenizer, Vocabulary, token_lists

TICKS = 10_000
NEVER_COST = 20_000_000
"""A token of this cost or more is never chosen, and neither is one whose score is no number."""
KINDS = {"NORMAL": Kind.NORMAL, "UNKNOWN": Kind.UNKNOWN, "CONTROL": Kind.CONTROL, "BYTE": Kind.BYTE}
TWIN = "PLaMo-2 readable twin"


class Plamo2(Tokenizer):
    """One file; ``twin`` encodes with the readable twin."""

    format, algorithm = "plamo2", "unigram"

    def __init__(self, name: str, digest: bytes, vocabulary: Vocabulary, twin: bool = False) -> None:
        self.name, self.vocabulary, self.identity, self._twin = name, vocabulary, (digest,), twin
        if twin:
            self.engine, self.why_slow = TWIN, "asked for"
        self._byte_ids = np.zeros(256, np.uint32)
        for id in np.flatnonzero(vocabulary.kinds == Kind.BYTE):
            self._byte_ids[vocabulary.token_bytes[id][0]] = id
        self._tables: dict[str, Plamo2Table] = {}
        self._table = byte_table(vocabulary.token_bytes)
        self.traits: dict[str, Any] = {
            "normalizer": "none",
            "prefix": "none",
            "byte_fallback": True,
            "ties": "longest first piece",
            "scores": "whole numbers of 1e-4",
            "unknown": f"costs {UNKNOWN_COST}",
            "specials": sorted(vocabulary.specials),
        }

    def _matched(self, special_text: SpecialText) -> dict[str, tuple[int, int]]:
        """Token -> (id, cost) of all that text is searched for. Of two equal tokens the last one counts."""
        assert self.vocabulary.scores is not None
        kinds = (Kind.NORMAL,) if special_text == "text" else (Kind.NORMAL, Kind.CONTROL, Kind.UNKNOWN)
        found = {}
        for id in np.flatnonzero(np.isin(self.vocabulary.kinds, kinds)):
            score = float(self.vocabulary.scores[id])
            cost = -round(score * TICKS) if math.isfinite(score) else NEVER_COST
            found[self.vocabulary.pieces[id].decode()] = int(id), cost
        return {piece: entry for piece, entry in found.items() if entry[1] < NEVER_COST}

    def _sizes(self, texts: pa.Array, special_text: SpecialText, sized: bool) -> tuple[np.ndarray, ...]:
        """(offsets [N+1], ids [T], bytes of each token [T], empty where they are not asked for)."""
        if self._twin:
            return unigram_plamo2_naive(texts, self._matched(special_text), self._byte_ids)
        if special_text not in self._tables:
            self._tables[special_text] = plamo2_table(self._matched(special_text), self._byte_ids)
        return unigram_plamo2(texts, self._tables[special_text], sized)

    def encode(self, texts: pa.Array, special_text: SpecialText = "text") -> pa.LargeListArray:
        offsets, ids, _ = self._sizes(texts, special_text, False)
        return token_lists(offsets, ids)

    def encode_with_offsets(self, texts: pa.Array) -> Encoding:
        return placed(*self._sizes(texts, "text", True))

    def decode(self, tokens: pa.LargeListArray) -> pa.LargeBinaryArray:
        return joined(self._table, tokens)

    def reference(self) -> Tokenizer | None:
        return None if self._twin else Plamo2(self.name, self.identity[0], self.vocabulary, twin=True)

    @property
    def reference_name(self) -> str:
        return "" if self._twin else TWIN


def open_jsonl(path: str | Path) -> Tokenizer:
    """The tokenizer of a PLaMo-2 ``tokenizer.jsonl``. Raises InputError naming the line that is wrong."""
    path = Path(path)
    data = path.read_bytes()
    rows = [_row(path, number, line) for number, line in enumerate(data.splitlines(), 1)]
    vocabulary = _vocabulary(path, rows)
    name = path.parent.name if path.name == "tokenizer.jsonl" else path.name.removesuffix(".jsonl")
    return Plamo2(name, hashlib.sha256(data).hexdigest().encode(), vocabulary)


def _row(path: Path, number: int, line: bytes) -> tuple[str, float, Kind]:
    wanted = 'expected ["token", score, "NORMAL"], one id a line (PLaMo-2 tokenizer.jsonl)'
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}, line {number} is no JSON: {error}; {wanted}") from error
    if not isinstance(row, list) or len(row) < 2 or not isinstance(row[0], str):
        raise InputError(f"{path}, line {number} is {line[:60].decode('utf-8', 'replace')}; {wanted}")
    kind = row[2] if len(row) > 2 else "NORMAL"
    score = math.nan if row[1] is None else row[1]
    if kind not in KINDS or isinstance(score, bool) or not isinstance(score, int | float):
        raise InputError(
            f"{path}, line {number}: type {kind!r}, score {row[1]!r}; {wanted}, of type {', '.join(KINDS)}"
        )
    if not row[0]:
        raise InputError(f"{path}, line {number}: the token is empty; {wanted}")
    ticks = round(score * TICKS) if math.isfinite(score) else 0
    if ticks == -UNKNOWN_COST or abs(ticks) >= 1 << 31:
        raise InputError(f"{path}, line {number}: a score of {score} can't be used; scores lie over -1000 and up to 0")
    return row[0], float(score), KINDS[kind]


def _vocabulary(path: Path, rows: list[tuple[str, float, Kind]]) -> Vocabulary:
    decoded = []
    for number, (token, _, kind) in enumerate(rows, 1):
        try:
            plain = b"" if kind == Kind.CONTROL else token.encode()
            decoded.append(bytes([int(token[3:5], 16)]) if token.startswith("<0x") and plain else plain)
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {token!r} begins like a byte token and names no byte") from error
    held = {decoded[id]: id for id, row in enumerate(rows) if row[2] == Kind.BYTE}
    for value in range(256):
        if not held.get(bytes([value])):
            wrong = "line 1 (id 0)" if bytes([value]) in held else "missing"
            raise InputError(f"{path}: byte token <0x{value:02X}> is {wrong}; all 256 are needed, none with id 0")
    kinds = np.array([row[2] for row in rows], np.uint8)
    unknown = next((id for id, row in enumerate(rows) if row[2] == Kind.UNKNOWN), None)
    return Vocabulary(
        pieces=tuple(row[0].encode() for row in rows),
        token_bytes=tuple(decoded),
        kinds=kinds,
        scores=np.array([row[1] for row in rows], np.float64),
        specials={row[0]: id for id, row in enumerate(rows) if row[2] in (Kind.CONTROL, Kind.UNKNOWN)},
        unknown_id=unknown,
    )
