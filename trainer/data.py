"""The data feed: batch(manifest, plan, seed, step, row) as a pure function over memory-mapped token shards.

    row        plan.phase_of(step), mixing's schedule  ->  its domain, and the how manyeth of that domain it is
    place      the plan's cursors                      ->  a block of the domain's endless list, a cut of the block
    block      a keyed permutation per epoch           ->  a place in the domain's stream (trainer/order.py)
    tokens     binary search in the offsets            ->  tokens, targets, weights, documents (trainer/stream.py)

Every epoch of a domain cuts its stream of S tokens into S // block blocks from another origin, drawn by key, and takes
each once. The S mod block tokens left over lie elsewhere in each epoch. A domain shorter than a block goes round within
it: its documents start over.

A row's tokens predict the next token of the same document, the last one's being the eos after it. An eos predicts
nothing (weight 0), for the next document is independent; so a document's first token is nobody's target, and a document
of n tokens has n targets. The last token of a row has its target too, though that is the next row's first.

Documents of the split ``valid`` are never among a feed's rows. Which ranks ask for which rows, and in which order steps
are asked for, changes nothing.

Legend: B rows, T tokens of a row, S tokens of a domain's stream.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from jacorpus.errors import InputError, nearest
from tokenizer_lab.tokens import Tokens
from trainer.order import mixed, named_key, numbered_keys, permuted
from trainer.plan import Plan
from trainer.stream import Stream, eos_for, grouped

if TYPE_CHECKING:
    from trainer.batch import TokenBatch

ORIGIN = np.uint64(0x6F726967696E)  # tells the key of an epoch's origin from those of its rounds

CACHED = 1 << 16
"""Tokens worked on at a time, so that they stay in the processor's cache."""


@dataclass(frozen=True)
class RowArrays:
    """A TokenBatch in numpy: tokens_BT, targets_BT int64; weight_BT float32; document_BT, domain_B int32."""

    tokens_BT: np.ndarray
    targets_BT: np.ndarray
    weight_BT: np.ndarray
    document_BT: np.ndarray
    domain_B: np.ndarray

    def batch(self) -> "TokenBatch":
        """The same memory as tensors."""
        import torch

        from trainer.batch import TokenBatch

        tokens, targets, weight = map(torch.from_numpy, (self.tokens_BT, self.targets_BT, self.weight_BT))
        document, domain = map(torch.from_numpy, (self.document_BT, self.domain_B))
        return TokenBatch(tokens, targets, weight, document, domain)


@dataclass(frozen=True)
class Source:
    """A domain's blocks in the order they are trained, epoch after epoch."""

    stream: Stream
    block: int
    key: int

    @property
    def blocks(self) -> int:
        """Of an epoch."""
        return max(1, self.stream.length // self.block)

    def places(self, positions: np.ndarray) -> np.ndarray:
        """int64: where in the stream each position of the endless list of blocks lies."""
        number, cut = np.divmod(positions, self.block)
        epoch, index = np.divmod(number, self.blocks)
        keys = numbered_keys(self.key, epoch)
        origin = (mixed(keys ^ ORIGIN) % np.uint64(self.stream.length)).astype(np.int64)
        return (origin + permuted(index, self.blocks, keys) * self.block + cut) % self.stream.length


class Feed:
    """Batches of a plan from token shards. Opening reads nothing but what the manifest said.

    eos_id: put after each document; default the tokenizer's. Raises InputError for a domain that isn't there or has no
    tokens to train on, and where no eos is known.
    """

    def __init__(self, tokens: Tokens, plan: Plan, seed: int, eos_id: int | None = None) -> None:
        self.tokens, self.plan, self.seed = tokens, plan, seed
        self.eos_id = eos_for(tokens, eos_id)
        shards = grouped(tokens)
        self.sources: dict[str, Source] = {}
        for name in plan.domains:
            stream = Stream(shards.get((name, "train"), []), self.eos_id)
            if name not in tokens.domains:
                near = nearest(name, tokens.domains)
                raise InputError(f"{tokens.folder} has no domain `{name}`, which the plan gives a weight{near}")
            if not stream.tokens:
                raise InputError(
                    f"domain `{name}` has a weight in the plan and no tokens to train on in {tokens.folder}; "
                    f"add documents and encode again, or set its weight to 0"
                )
            self.sources[name] = Source(stream, plan.block, named_key(seed, name))

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What fixes every batch; a checkpoint keeps it. JSON."""
        return {
            "tokens": self.tokens.manifest["key"],
            "tokenizer": self.tokens.manifest["tokenizer"]["fingerprint"],
            "seed": self.seed,
            "eos_id": self.eos_id,
            "plan": self.plan.to_dict(),
        }

    def check_model(self, vocab_size: int) -> None:
        """Raise InputError where the model has no row for some of the tokenizer's ids."""
        if self.tokens.vocab_size > vocab_size:
            raise InputError(
                f"{self.tokens.folder} has ids up to {self.tokens.vocab_size - 1:,} and the model's vocab_size is "
                f"{vocab_size:,}; set vocab_size to {self.tokens.vocab_size:,} or more"
            )

    def check_continues(self, saved: Mapping[str, Any], step: int) -> None:
        """Raise InputError unless batches before ``step`` are those of a checkpoint, whose ``identity`` is given."""
        for name, what, remedy in (
            ("tokenizer", "another tokenizer", "encode the corpus with the tokenizer the model was trained with"),
            ("tokens", "other token shards", "give the folder of shards the run began with"),
            ("seed", "another seed", f"set seed = {saved['seed']}"),
            ("eos_id", "another end-of-text id", f"set eos_id = {saved['eos_id']}"),
        ):
            if saved[name] != self.identity[name]:
                raise InputError(
                    f"the checkpoint was trained with {what} ({str(saved[name])[:12]}, not "
                    f"{str(self.identity[name])[:12]}) than {self.tokens.folder} and this run have, so it can't go on "
                    f"where it was; {remedy}, or start a new run from its weights"
                )
        self.plan.check_continues(saved["plan"], step)

    def rows(self, step: int, rows: range | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(domain_B int32, place_B int64) of rows of a step: the domain's place in ``plan.domains`` and where in its
        stream the row begins. Raises InputError for rows or a step that aren't there."""
        i = self.plan.index_of(step)
        phase = self.plan.phases[i]
        rows = range(phase.rows) if rows is None else rows
        if rows.step != 1 or not (0 <= rows.start <= rows.stop <= phase.rows):
            raise InputError(f"{rows} are no rows of step {step:,}, which has {phase.rows:,}")
        first = (step - self.plan.first_steps[i]) * phase.rows
        number_B = np.arange(first + rows.start, first + rows.stop, dtype=np.int64)
        domain_B, nth_B = phase.schedule.domain(number_B), phase.schedule.nth(number_B)
        found_B, place_B = np.empty_like(domain_B), np.empty(len(number_B), np.int64)
        for domain in np.unique(domain_B):
            name = phase.schedule.names[domain]
            mine = np.nonzero(domain_B == domain)[0]
            place_B[mine] = self.sources[name].places(self.plan.cursors[i][name] + nth_B[mine] * phase.seq_len)
            found_B[mine] = self.plan.domains.index(name)
        return found_B, place_B

    def arrays(self, step: int, rows: range | None = None) -> RowArrays:
        """``batch`` in numpy."""
        domain_B, place_B = self.rows(step, rows)
        T, P = self.plan.phase_of(step).seq_len, self.plan.piece_len(step)
        streams = [self.sources[name].stream for name in self.plan.domains]
        reads = [(streams[domain], place) for domain, place in zip(domain_B.tolist(), place_B.tolist(), strict=True)]
        return packed(reads, T, domain_B, self.tokens.vocab_size, P)

    def batch(self, step: int, rows: range | None = None) -> "TokenBatch":
        """Rows of a step's batch; all of them where none are named.

        Raises InputError for a step or rows that aren't there, and for a shard that is missing or damaged.
        """
        return self.arrays(step, rows).batch()


def packed(reads: list[tuple[Stream, int]], T: int, domain_B: np.ndarray, vocab_size: int, piece_len: int) -> RowArrays:
    """Rows of T tokens, each read from a stream at a place. piece_len: an extra boundary every so many tokens."""
    B, some = len(reads), max(1, CACHED // T)
    made = RowArrays(
        np.empty((B, T), np.int64),
        np.empty((B, T), np.int64),
        np.empty((B, T), np.float32),
        np.zeros((B, T), np.int32),
        domain_B,
    )
    ids = np.empty((some, T + 1), np.uint32)  # with the token after each row
    for first in range(0, B, some):
        rows = slice(first, min(first + some, B))
        read_BT, ends_BT = ids[: rows.stop - first], np.zeros((rows.stop - first, T + 1), bool)
        for row, (stream, place) in enumerate(reads[rows]):
            stream.read(place, read_BT[row], ends_BT[row])
        if int(read_BT.max()) >= vocab_size:
            raise InputError(
                f"a token shard holds the id {int(read_BT.max()):,} and the tokenizer's are below {vocab_size:,}; "
                f"it is damaged: encode the corpus again"
            )
        made.tokens_BT[rows], made.targets_BT[rows] = read_BT[:, :T], read_BT[:, 1:]
        np.subtract(1, ends_BT[:, :T], out=made.weight_BT[rows], dtype=np.float32)
        if piece_len < T:
            ends_BT[:, piece_len - 1 :: piece_len] = True
        np.cumsum(ends_BT[:, : T - 1], axis=1, dtype=np.int32, out=made.document_BT[rows, 1:])
    return made


def valid_arrays(
    tokens: Tokens, domain: str, seq_len: int, rows: int, eos_id: int | None = None, number: int = 0
) -> Iterator[RowArrays]:
    """``valid_batches`` in numpy."""
    stream = Stream(tokens.of(domain, "valid"), eos_for(tokens, eos_id))
    width = seq_len * rows
    for start in range(0, stream.length, width):
        reads = [(stream, place) for place in range(start, start + width, seq_len)]
        made = packed(reads, seq_len, np.full(rows, number, np.int32), tokens.vocab_size, seq_len)
        real = min(stream.length - start, width)
        made.tokens_BT.reshape(-1)[real:] = stream.eos_id
        made.weight_BT.reshape(-1)[real:] = 0
        yield made


def valid_batches(
    tokens: Tokens, domain: str, seq_len: int, rows: int, eos_id: int | None = None, number: int = 0
) -> Iterator["TokenBatch"]:
    """The validation documents of a domain, in order, packed as in training; nothing for a domain that has none.

    Every target of every document is there once: a document of n tokens has n, its eos the last. One that is longer
    than what is left of its row goes on in the next row as a new piece, without what came before in sight. All batches
    have one shape; the last is filled up with weight 0. number: for ``domain_B``.

    Raises InputError for a domain that isn't there.
    """
    for made in valid_arrays(tokens, domain, seq_len, rows, eos_id, number):
        yield made.batch()


@dataclass(frozen=True)
class Counts:
    """Of a domain's split: UTF-8 bytes of the texts, tokens (= targets), documents."""

    text_bytes: int
    tokens: int
    documents: int


def counts_of(tokens: Tokens, domain: str, split: str) -> Counts:
    """From the manifest; zeros for a split without documents. Raises InputError for a domain that isn't there."""
    shards = tokens.of(domain, split)
    return Counts(*(sum(getattr(shard, name) for shard in shards) for name in ("text_bytes", "tokens", "documents")))


def text_bytes_per_token(tokens: Tokens, domain: str, split: str = "valid") -> float:
    """Bytes of text a target stands for: bits per byte = mean loss in nats / ln 2 / this, over the whole split.

    Does not depend on the tokenizer's vocabulary in the way a loss per token does. Raises InputError where there is
    no text.
    """
    counts = counts_of(tokens, domain, split)
    if not counts.tokens:
        raise InputError(f"domain `{domain}` of {tokens.folder} has no {split} text to measure bits per byte on")
    return counts.text_bytes / counts.tokens
