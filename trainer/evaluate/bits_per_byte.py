"""Bits per byte of held-out text, by domain: comparable between models of any tokenizer.

    bits per byte = bits of all tokens of the documents / UTF-8 bytes of their texts

Which tokens count. Training packs documents so that none sees another, and begins none with a special token: a
document of n tokens has n targets, tokens 1 .. n-1 and the end-of-text token. The first token is nobody's target, and
no model of ours has an opinion on it. Its bytes count nevertheless, and it is charged log2(V) bits, as if drawn from V
ids at random: the worst of sound choices. So

    bits = documents * log2(V)  +  sum of -log2 P(token | earlier tokens of the document)  over the n targets

The end of text is charged too, though it stands for no byte: without it the texts could not be told apart. All this
makes a figure larger, never smaller, and holds for every scorer (the bigram baseline too). ``loss`` is in nats a
target, first tokens aside, as the loss of training is. Documents without tokens count nowhere.

An interval says where 95 % of figures lie when documents are drawn again (bootstrap).
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np

from jacorpus.errors import InputError
from jacorpus.report.numbers import Interval
from tokenizer_lab.comparison.bootstrap import Resampling, interval
from tokenizer_lab.corpus import Domain, draw
from tokenizer_lab.tokenizer import Tokenizer, list_buffers
from tokenizer_lab.tokens import Tokens
from trainer.evaluate.scoring import BATCH_TOKENS, Scores, Span, Windows, score
from trainer.model import Model

POOL_TOKENS = 1 << 19
"""Tokens that are sorted by length and scored at a time."""

_UNITS = 10_000


@dataclass(frozen=True)
class Document:
    """ids: without end of text. text_bytes: UTF-8 bytes of the text they stand for."""

    ids: np.ndarray
    text_bytes: int


class Scorer(Protocol):
    """What predicts tokens: our models, the bigram baseline."""

    def score(self, spans: list[Span]) -> list[Scores]:
        """Scores of each span."""


@dataclass(frozen=True)
class ModelScorer:
    """A model, reading at most a window of a document at once."""

    model: Model
    windows: Windows = field(default_factory=Windows)
    batch_tokens: int = BATCH_TOKENS

    def score(self, spans: list[Span]) -> list[Scores]:
        """Scores of each span."""
        return score(self.model, spans, self.windows, self.batch_tokens)


@dataclass(frozen=True)
class Measured:
    """Figures of a domain, one entry a document. hits: -1 for a scorer that looks for none. first_bits: what a
    document's first token is charged."""

    nats: np.ndarray
    targets: np.ndarray
    hits: np.ndarray
    text_bytes: np.ndarray
    first_bits: float

    @property
    def documents(self) -> int:
        return len(self.nats)

    @property
    def tokens(self) -> int:
        """Tokens that were predicted."""
        return int(self.targets.sum())

    @cached_property
    def _bits(self) -> np.ndarray:
        return self.nats / math.log(2) + self.first_bits

    @property
    def bits_per_byte(self) -> float:
        return float(self._bits.sum() / max(1, self.text_bytes.sum()))

    @property
    def loss(self) -> float:
        """Nats a predicted token."""
        return float(self.nats.sum() / max(1, self.tokens))

    @property
    def accuracy(self) -> float | None:
        """Share of predicted tokens that were the likeliest; None where that was not looked for."""
        return None if (self.hits < 0).any() else float(self.hits.sum() / max(1, self.tokens))

    @cached_property
    def _draws(self) -> np.ndarray:
        """Bits per byte of documents drawn again; the same draws for every scorer of the same documents."""
        units = np.arange(self.documents) * min(self.documents, _UNITS) // max(1, self.documents)
        return Resampling(units).ratios(self._bits, self.text_bytes)

    @property
    def interval(self) -> Interval:
        """Bits per byte with its interval over documents."""
        return interval(self.bits_per_byte, self._draws)

    def less(self, other: "Measured") -> Interval:
        """Bits per byte less those of another scorer on the same documents, formed draw by draw."""
        return interval(self.bits_per_byte - other.bits_per_byte, self._draws - other._draws)

    def to_dict(self) -> dict[str, float | int | None]:
        """Plain numbers."""
        return {
            "bits_per_byte": self.bits_per_byte,
            "low": self.interval.low,
            "high": self.interval.high,
            "loss": self.loss,
            "accuracy": self.accuracy,
            "documents": self.documents,
            "tokens": self.tokens,
            "text_bytes": int(self.text_bytes.sum()),
        }


def token_documents(
    tokens: Tokens, domain: str, split: str = "valid", budget_bytes: int | None = None
) -> Iterator[Document]:
    """Documents of token shards, in their order (shuffled when they were encoded) up to a budget of text."""
    read = 0
    for shard in tokens.of(domain, split):
        sizes = shard.batch["text_bytes"].to_numpy(zero_copy_only=False)
        for number, size in enumerate(sizes.tolist()):
            if budget_bytes is not None and read + size > budget_bytes and read:
                return
            read += size
            yield Document(shard.ids[shard.offsets[number] : shard.offsets[number + 1]], size)


def text_documents(
    domain: Domain, tokenizer: Tokenizer, split: str | None, budget_bytes: int, seed: int = 0
) -> Iterator[Document]:
    """Documents of raw text, drawn to a budget and encoded."""
    texts = draw([domain], budget_bytes, seed, split=split).texts
    offsets, ids = list_buffers(tokenizer.encode(texts))
    for number, text in enumerate(texts.to_pylist()):
        yield Document(ids[offsets[number] : offsets[number + 1]], len(text.encode()))


def measure(
    documents: Iterable[Document], scorers: Mapping[str, Scorer], eos_id: int | None, vocab_size: int
) -> dict[str, Measured]:
    """Each scorer on the same documents. eos_id: None where the tokenizer has none, and no end is predicted.

    vocab_size: V of the tokenizer, for the first token's charge. Raises InputError where there is no document.
    """
    found: dict[str, list[tuple[float, int, int]]] = {name: [] for name in scorers}
    sizes: list[int] = []
    for pool in _pools(documents):
        ends = [] if eos_id is None else [eos_id]
        spans = [Span(np.append(document.ids, ends).astype(np.int64)) for document in pool]
        sizes += [document.text_bytes for document in pool]
        for name, scorer in scorers.items():
            for each in scorer.score(spans):
                right = -1 if each.hits is None else int(each.hits.sum())
                found[name].append((float(each.nats.sum()), len(each.nats), right))
    if not sizes:
        raise InputError("there is no document to measure bits per byte on; is the split `valid` empty?")
    charge = math.log2(vocab_size)
    measured = {}
    for name, rows in found.items():
        nats, targets, hits = (np.array(column) for column in zip(*rows, strict=True))
        measured[name] = Measured(nats, targets, hits, np.array(sizes), charge)
    return measured


def evaluate_tokens(
    model: Model,
    tokens: Tokens,
    eos_id: int | None,
    split: str = "valid",
    budget_bytes: int | None = None,
    windows: Windows | None = None,
) -> dict[str, Measured]:
    """A model on each domain of a token folder that has documents of the split; for the evaluations of a training."""
    scorers = {"model": ModelScorer(model, windows or Windows())}
    domains = [name for name in tokens.domains if any(shard.tokens for shard in tokens.of(name, split))]
    return {
        name: measure(token_documents(tokens, name, split, budget_bytes), scorers, eos_id, tokens.vocab_size)["model"]
        for name in domains
    }


def together(parts: Iterable[Measured]) -> Measured:
    """Domains as one: every byte counts the same."""
    parts = list(parts)
    names = ("nats", "targets", "hits", "text_bytes")
    nats, targets, hits, text_bytes = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
    return Measured(nats, targets, hits, text_bytes, parts[0].first_bits)


def _pools(documents: Iterable[Document]) -> Iterator[list[Document]]:
    pool: list[Document] = []
    size = 0
    for document in documents:
        if len(document.ids):
            pool.append(document)
            size += len(document.ids)
        if size >= POOL_TOKENS:
            yield pool
            pool, size = [], 0
    if pool:
        yield pool
