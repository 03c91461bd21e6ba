"""Bits per byte of held-out text by a language model trained over each tokenizer: what the cheap metrics stand for.

Legend: N documents.

Two tables. *Equal text*: every model is trained on the same documents in the same order. *Equal compute*: each gets so
much of them as a stated small model could train on with the same FLOPs, logits included; the FLOPs are those with
which the cheapest tokenizer sees all text. Both are measured on the same held-out documents (split ``valid``), with
the same context in bytes and the same rule for the end of a document, and only for tokenizers that give every one of
these documents back byte for byte.

A seed draws KEPT of the training documents and their order, the same for all tokenizers; so a difference between two of
them is formed seed by seed, and called none where the 95 % interval of its mean (Student's t over seeds) holds 0.
Bits are of one segmentation, an upper bound of those of the text.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jacorpus.errors import InputError
from tokenizer_lab.comparison.language_model import Train, flops_per_token, train_counts
from tokenizer_lab.corpus import Domain, draw
from tokenizer_lab.tokenizer import Tokenizer, list_buffers, token_lists

KEPT = 0.8  # share of the training documents that a seed draws
STUDENT = (4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)  # 97.5 % points for 3, 4, ... 10 seeds
TABLES = ("equal text", "equal compute")
LEAST_SEEDS = 3


@dataclass(frozen=True)
class Options:
    """train_bytes: drawn of all corpora, an equal part of each. held_bytes: of each. seeds: models per tokenizer and
    table, at least three. Counting over bytes needs about 1 kB of memory for each byte of training text."""

    train_bytes: int = 3_000_000
    held_bytes: int = 300_000
    seeds: int = 3
    seed: int = 0


@dataclass
class Judged:
    """bits: (table, tokenizer, corpus) -> bits per byte of each seed. bytes_seen: (table, tokenizer) -> training bytes.

    skipped: tokenizer -> why it has no figures. held: corpus -> (documents, bytes) it is measured on.
    without: corpora with no held-out document. flops: of the table of equal compute, by seed.
    """

    options: Options
    bits: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)
    bytes_seen: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    held: dict[str, tuple[int, int]] = field(default_factory=dict)
    without: list[str] = field(default_factory=list)
    train_bytes: int = 0
    flops: list[float] = field(default_factory=list)

    def mean(self, table: str, name: str, corpus: str) -> float | None:
        """Over seeds; None where the tokenizer was skipped."""
        values = self.bits.get((table, name, corpus))
        return float(np.mean(values)) if values else None

    def differs(self, table: str, one: str, other: str, corpus: str) -> bool:
        """Whether two tokenizers differ by more than the noise of the seeds."""
        gaps = np.subtract(self.bits[table, one, corpus], self.bits[table, other, corpus])
        student = STUDENT[min(len(gaps) - LEAST_SEEDS, len(STUDENT) - 1)]
        return abs(float(gaps.mean())) > student * float(np.std(gaps, ddof=1)) / np.sqrt(len(gaps))


def judge(
    tokenizers: Mapping[str, Tokenizer],
    domains: Sequence[Domain],
    options: Options | None = None,
    train: Train = train_counts,
    progress: Callable[[int], None] | None = None,
) -> Judged:
    """Train and measure. train: see tokenizer_lab.comparison.language_model. progress: called with 1 a model trained.

    Raises InputError where no corpus has held-out documents, or fewer than three seeds are asked for.
    """
    options = options or Options()
    if options.seeds < LEAST_SEEDS:
        raise InputError(f"{options.seeds} seeds show no spread; ask for at least {LEAST_SEEDS}")
    judged = Judged(options)
    texts, held = _draw(domains, options, judged)
    lists: dict[str, tuple[pa.LargeListArray, dict[str, pa.LargeListArray]]] = {}
    for name, tokenizer in tokenizers.items():
        own = tokenizer.encode(texts), {corpus: tokenizer.encode(part) for corpus, part in held.items()}
        lost = _lost(tokenizer, [(texts, own[0]), *((held[corpus], own[1][corpus]) for corpus in held)])
        if lost:
            judged.skipped[name] = f"{lost:,} documents do not come back byte for byte"
        else:
            lists[name] = own
    sizes = pc.binary_length(texts).to_numpy(zero_copy_only=False).astype(np.int64)
    for seed in range(options.seeds):
        order = _order(len(texts), options.seed + seed)
        flops = min((_flops(tokenizers[name], own[0].take(order)) for name, own in lists.items()), default=0.0)
        judged.flops.append(flops)
        for name, (tokens, parts) in lists.items():
            for table in TABLES:
                some = tokens.take(order)
                if table == TABLES[1]:
                    some = _first_tokens(some, int(flops / flops_per_token(tokenizers[name].vocab_size)))
                seen = int(sizes[order.to_numpy()[: len(some)]].sum())
                judged.bytes_seen.setdefault((table, name), []).append(seen)
                model = train(tokenizers[name], some, options.seed + seed)
                for corpus, part in parts.items():
                    bits = float(model.bits(part).sum()) / judged.held[corpus][1]
                    judged.bits.setdefault((table, name, corpus), []).append(bits)
                if progress:
                    progress(1)
    return judged


def _draw(
    domains: Sequence[Domain], options: Options, judged: Judged
) -> tuple[pa.LargeStringArray, dict[str, pa.LargeStringArray]]:
    """(training texts of all corpora, held-out texts of each)."""
    texts, held = [], {}
    for domain in domains:
        try:
            part = draw([domain], options.held_bytes, options.seed, split="valid").texts
        except InputError:
            judged.without.append(domain.name)
            continue
        held[domain.name] = part
        judged.held[domain.name] = len(part), int(pc.sum(pc.binary_length(part)).as_py())
        texts.append(draw([domain], options.train_bytes // len(domains), options.seed, split="train").texts)
    if not held:
        named = ", ".join(judged.without)
        raise InputError(
            f"bits per byte need held-out documents (0.5 % of a corpus), and {named} has none: use more text"
        )
    joined = pa.concat_arrays(texts)
    judged.train_bytes = int(pc.sum(pc.binary_length(joined)).as_py())
    return joined, held


def _lost(tokenizer: Tokenizer, pairs: Sequence[tuple[pa.LargeStringArray, pa.LargeListArray]]) -> int:
    """Documents that do not come back."""
    lost = 0
    for texts, tokens in pairs:
        same = pc.equal(tokenizer.decode(tokens), texts.cast(pa.large_binary()))
        lost += len(texts) - int(pc.sum(same).as_py() or 0)
    return lost


def _order(documents: int, seed: int) -> pa.Array:
    """The documents a seed keeps, in its order: int64 [KEPT N]."""
    random = np.random.Generator(np.random.PCG64(seed))
    return pa.array(random.permutation(documents)[: max(1, round(KEPT * documents))])


def _flops(tokenizer: Tokenizer, tokens: pa.LargeListArray) -> float:
    return len(list_buffers(tokens)[1]) * flops_per_token(tokenizer.vocab_size)


def _first_tokens(tokens: pa.LargeListArray, most: int) -> pa.LargeListArray:
    """The first so many tokens, the last document cut where they end."""
    offsets, ids = list_buffers(tokens)
    rows = int(np.searchsorted(offsets, most, "left"))
    cut = np.minimum(offsets[: rows + 1], most)
    return token_lists(cut.astype(np.int64), np.ascontiguousarray(ids[:most]))
