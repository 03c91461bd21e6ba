"""Every way of initial embeddings here is a mixture: a new row is a weighted sum of old rows.

So a method answers with weights alone, and the same weights serve the input and the output side (but for ``omp``,
whose donor has two sides of its own).

Legend: V old ids, U new ids, K new ids without an old row, T terms in all, D columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tokenizer_lab.corpus import Domain
from tokenizer_lab.kernels.weighted_rows import weighted_rows
from tokenizer_lab.tokenizer import Kind, Tokenizer, list_buffers

CARRIER = "\n"
"""Put before a token's text, so that a dummy prefix comes before it and not before the token."""


@dataclass(frozen=True)
class Mixtures:
    """Terms of K sums. offsets: int64 [K+1]. ids: int64 [T], old ids. weights: float32 [T].

    fallback: bool [K], sums that the method had nothing for and that are means of subwords. notes: for people.
    """

    offsets: np.ndarray
    ids: np.ndarray
    weights: np.ndarray
    fallback: np.ndarray
    notes: tuple[str, ...] = ()

    def of(self, matrix: np.ndarray) -> np.ndarray:
        """float32 [K, D]: the sums over rows of a matrix [V or more, D]."""
        return weighted_rows(self.offsets, self.ids, self.weights, matrix)


@dataclass(frozen=True)
class Job:
    """What a method is asked for. old, new: tokenizers. source: int64 [U], the old id of each new id or -1.

    corpus: text for static vectors. old_corpus: text of the old language alone (wechsel). dictionary: pairs (old
    language, new language). donor: tokenizer and rows of another model (omp). neighbors: most terms of a mixture.
    """

    old: Tokenizer
    new: Tokenizer
    source: np.ndarray
    corpus: Sequence[Domain] = ()
    old_corpus: Sequence[Domain] = ()
    dictionary: Sequence[tuple[str, str]] = ()
    donor: Tokenizer | None = None
    donor_rows: np.ndarray | None = None
    seed: int = 0
    budget_bytes: int = 20_000_000
    neighbors: int = 16

    @property
    def wanted(self) -> np.ndarray:
        """int64 [K]: the new ids without an old row."""
        return np.flatnonzero(self.source < 0)


def mixtures(terms: Sequence[tuple[np.ndarray, np.ndarray]], fallback: np.ndarray, notes: tuple[str, ...]) -> Mixtures:
    """Of K pairs (ids, weights)."""
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(ids) for ids, _ in terms])]).astype(np.int64)
    none = np.zeros(0, np.int64)
    ids = np.concatenate([none, *(ids for ids, _ in terms)]).astype(np.int64)
    weights = np.concatenate([none, *(weights for _, weights in terms)]).astype(np.float32)
    return Mixtures(offsets, ids, weights, fallback, notes)


def _key(tokenizer: Tokenizer, id: int) -> tuple[str, bytes] | None:
    kind, token = tokenizer.vocabulary.kinds[id], tokenizer.vocabulary.token_bytes[id]
    if kind in (Kind.CONTROL, Kind.UNKNOWN):
        return Kind(kind).name, tokenizer.vocabulary.pieces[id]
    if kind == Kind.UNUSED or not token:
        return None
    return "byte" if kind == Kind.BYTE or (len(token) == 1 and token[0] > 0x7F) else "text", token


def shared_tokens(old: Tokenizer, new: Tokenizer) -> np.ndarray:
    """int64 [U]: the old id that stands for the same bytes in the same role as each new id, -1 where none does.

    The same id is taken where it will do, else the lowest. Byte tokens match byte tokens, control tokens control
    tokens of the same name, the unknown token the unknown token.
    """
    known: dict[tuple[str, bytes], int] = {}
    keys = [_key(old, id) for id in range(old.vocab_size)]
    for id, key in enumerate(keys):
        if key is not None:
            known.setdefault(key if key[0] != "UNKNOWN" else ("UNKNOWN", b""), id)
    found = np.full(new.vocab_size, -1, np.int64)
    for id in range(new.vocab_size):
        key = _key(new, id)
        if key is not None and id < len(keys) and keys[id] == key:
            found[id] = id
        elif key is not None:
            found[id] = known.get(key if key[0] != "UNKNOWN" else ("UNKNOWN", b""), -1)
        elif id < len(keys) and old.vocabulary.pieces[id] == new.vocabulary.pieces[id]:
            found[id] = id  # an unused place of both
    return found


def subwords(tokenizer: Tokenizer, tokens: Sequence[bytes]) -> list[np.ndarray]:
    """The ids that a tokenizer writes each byte string with, without a prefix; int64 arrays, empty where none does.

    A string that is no UTF-8, or that a normalizer changes, is covered by the longest tokens from the left.
    """
    texts = []
    for token in tokens:
        try:
            texts.append(CARRIER + token.decode())
        except UnicodeDecodeError:
            texts.append("")
    made = tokenizer.encode_with_offsets(pa.array(texts, pa.large_string()))
    offsets, ids = list_buffers(made.tokens)
    _, starts = list_buffers(made.starts)
    _, ends = list_buffers(made.ends)
    table, found = tokenizer.vocabulary.token_bytes, []
    longest = {token: id for id, token in reversed(list(enumerate(table)))}
    for k, token in enumerate(tokens):
        span = slice(offsets[k], offsets[k + 1])
        inside = (starts[span] >= len(CARRIER)) & (ends[span] > starts[span])
        own = ids[span][inside].astype(np.int64)
        found.append(own if b"".join(table[id] for id in own) == token else _covered(token, longest))
    return found


def _covered(token: bytes, longest: dict[bytes, int]) -> np.ndarray:
    ids, at = [], 0
    while at < len(token):
        end = next((end for end in range(len(token), at, -1) if token[at:end] in longest), None)
        if end is None:
            at += 1
            continue
        ids.append(longest[token[at:end]])
        at = end
    return np.array(ids, np.int64)


def means(job: Job) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each wanted token as the mean of the old tokens of its string (Hewitt 2021 and others); of all rows where it
    has none, such as a new control token."""
    strings = [job.new.vocabulary.token_bytes[id] for id in job.wanted]
    every = np.arange(job.old.vocab_size)
    return [
        (ids, np.full(len(ids), 1 / len(ids))) for ids in (i if len(i) else every for i in subwords(job.old, strings))
    ]
