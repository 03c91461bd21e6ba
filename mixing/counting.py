"""Counts of domains' n-grams at the events of held-out text: what count tables are made of.

Held-out sets become a trie of their grams; each domain's tokens run through it once and leave their counts; a set then
keeps its own grams with the counts of all domains, those of no domain left out. An event whose context no domain has
seen counts at the next shorter one that some has, which is its probability anyway.

A few of each domain's first documents are not counted: the concentrations are chosen on them (count_tables.py).

Legend: k domains in the order of sorted names, N documents, T tokens, E events, G grams of a set, C their contexts, M
grams of all sets, O pairs of a document and one of its events' grams.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from jacorpus.errors import InputError, RecipeError, nearest

if TYPE_CHECKING:
    from mixing.kernels.backoff import Grams
    from mixing.kernels.gram_trie import GramTrie

Progress = Callable[[str, int, int], None]
"""Hears (what is done, how much of it, of how much)."""

MOST_ORDER = 3
TUNING_TOKENS = 10_000
"""Of each domain, at most, are kept from counting."""

_TUNING_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Documents:
    """Tokens of documents. ids: uint32 [T], all of them one after another; offsets: int64 [N+1], document d has
    ids[offsets[d]:offsets[d+1]]. text_bytes: UTF-8 bytes of their text, of all together or int64 [N] of each."""

    ids: np.ndarray
    offsets: np.ndarray
    text_bytes: int | np.ndarray = 0


@dataclass(frozen=True)
class TableSettings:
    """Options of count tables: ``[mixing.tables]`` of a recipe.

    mixing: ``counts`` pools counts before backing off, as a model trained on the mixture would; ``predictions`` mixes
    what the domains' own models predict, which is convex (MixMin, arXiv 2502.10510). order: tokens of the longest
    gram, 1 to 3. tokens_per_domain: counted at most, from the first document on. events_per_set, events_per_document:
    tokens of held-out text scored at most; a longer document is cut. tokens: that pooled counts add up to (D, no budget
    of a training run); 0 for those of the domain counted most; far more, and the tables trust a sample as if it were
    all there is. concentrations: weight of the next shorter context's prediction, in tokens, for grams of 1, 2, ...
    tokens; none: chosen on documents kept from counting.
    """

    mixing: Literal["counts", "predictions"] = "counts"
    order: int = 3
    tokens_per_domain: int = 1_000_000
    events_per_set: int = 30_000
    events_per_document: int = 3_000
    tokens: float = 0.0
    concentrations: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        where = "[mixing.tables]"
        if self.mixing not in ("counts", "predictions"):
            near = nearest(str(self.mixing), ("counts", "predictions"))
            raise RecipeError(f"{where} mixing = {self.mixing!r} is unknown{near}; write counts or predictions")
        for name, most in (("order", MOST_ORDER), *((name, 1 << 31) for name in _COUNTS)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise RecipeError(f"{where} {name} must be a whole number from 1 to {most:,}, got {value!r}")
        if not _is_number(self.tokens) or not 0 <= self.tokens < np.inf:
            raise RecipeError(f"{where} tokens must be a number, 0 or more, got {self.tokens!r}")
        if not isinstance(self.concentrations, Sequence) or isinstance(self.concentrations, str):
            raise RecipeError(f"{where} concentrations must be a list of numbers, got {self.concentrations!r}")
        if self.concentrations and len(self.concentrations) != self.order:
            raise RecipeError(
                f"{where} concentrations needs one number for each order 1 to {self.order}, got "
                f"{len(self.concentrations)}; leave it out to have them chosen"
            )
        if not all(_is_number(m) and 0 < m < np.inf for m in self.concentrations):
            raise RecipeError(f"{where} concentrations must be numbers above 0, got {list(self.concentrations)}")
        object.__setattr__(self, "concentrations", tuple(self.concentrations))

    @staticmethod
    def of(table: Mapping[str, Any]) -> "TableSettings":
        """Of a recipe's table. Raises RecipeError naming the key and what it takes."""
        known = [field.name for field in fields(TableSettings)]
        for key in table:
            if key not in known:
                raise RecipeError(f"[mixing.tables] has no key `{key}`{nearest(key, known)}")
        return TableSettings(**table)


_COUNTS = ("tokens_per_domain", "events_per_set", "events_per_document")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True, eq=False)
class Taken:
    """Documents cut to size, as kernels take them: where each starts and ends in ids (int64 [N]), whether its end is
    its own (bool [N]), and bytes of its text as far as it is taken (float64 [N])."""

    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    ended: np.ndarray
    text_bytes: np.ndarray

    @property
    def tokens(self) -> int:
        """Tokens of them all, ends not counted."""
        return int((self.ends - self.starts).sum())

    def events(self, eos: int) -> np.ndarray:
        """int64 [N]: events of each document."""
        sizes = self.ends - self.starts
        return sizes + (self.ended & (sizes > 0) if eos >= 0 else 0)


def taken(name: str, documents: Documents, first: int, most: int, most_each: int, vocab: int) -> Taken:
    """Documents from number ``first`` on, until they have ``most`` tokens; of each at most ``most_each``.

    Raises InputError for arrays that don't fit together and for ids outside the vocabulary.
    """
    ids = np.ascontiguousarray(documents.ids, np.uint32)
    offsets = np.asarray(documents.offsets, np.int64)
    each = _bytes_each(name, documents, offsets, len(ids))
    starts, whole = offsets[first:-1], offsets[first + 1 :]
    sizes = np.minimum(whole - starts, most_each)
    before = np.cumsum(sizes) - sizes
    count = int(np.searchsorted(before, most)) if len(sizes) else 0
    sizes = np.minimum(sizes[:count], most - before[:count])
    starts, whole = starts[:count], whole[:count]
    share = sizes / np.maximum(whole - starts, 1)
    found = Taken(ids, starts, starts + sizes, starts + sizes == whole, each[first : first + count] * share)
    if count and vocab and int(ids[found.starts[0] : found.ends[-1]].max(initial=0)) >= vocab:
        raise InputError(f"`{name}` has token ids of {vocab:,} or more, outside the vocabulary; encode it again")
    return found


def _bytes_each(name: str, documents: Documents, offsets: np.ndarray, tokens: int) -> np.ndarray:
    """float64 [N]: bytes of each document; of all together, shared out by tokens."""
    if offsets.ndim != 1 or not len(offsets) or offsets[0] < 0 or offsets[-1] > tokens or np.any(np.diff(offsets) < 0):
        raise InputError(f"offsets of `{name}` must rise from 0 to at most its {tokens:,} tokens")
    sizes = np.diff(offsets).astype(np.float64)
    given = np.asarray(documents.text_bytes, np.float64)
    if given.ndim == 0:
        return sizes * (float(given) / max(sizes.sum(), 1.0))
    if given.shape != sizes.shape:
        raise InputError(f"`{name}` has {len(sizes):,} documents and text_bytes of {len(given):,}")
    return given


def kept_for_tuning(documents: Documents, most: int) -> int:
    """How many of the first documents are kept from counting: enough for TUNING_TOKENS, at most a tenth of what there
    is to count."""
    sizes = np.diff(np.asarray(documents.offsets, np.int64))
    until = np.cumsum(sizes)
    allowed = _TUNING_SHARE * min(int(sizes.sum()), most)
    enough = int(np.searchsorted(until, TUNING_TOKENS)) + 1
    return min(enough, int(np.searchsorted(until, allowed, side="right")))


@dataclass(frozen=True, eq=False)
class HeldOutSet:
    """A set's grams with their counts, and which documents have them.

    Three columns [O], sorted by document, tell where events are: ``document``, ``gram`` (place among the grams), and
    ``times``. document_bytes: float64 [N].
    """

    name: str
    grams: "Grams"
    document: np.ndarray
    gram: np.ndarray
    times: np.ndarray
    document_bytes: np.ndarray

    @property
    def events(self) -> int:
        """E."""
        return int(self.times.sum())

    def weights(self, draws: np.ndarray | None = None) -> np.ndarray:
        """float64 [G]: events at each gram; draws int64 [N]: how often each document counts, default once."""
        times = self.times if draws is None else self.times * draws[self.document]
        return np.bincount(self.gram, times, len(self.grams.contexts))

    def sums(self, values: np.ndarray) -> np.ndarray:
        """float64 [N]: of each document, the sum over its events of their grams' values [G]."""
        return np.bincount(self.document, self.times * values[self.gram], len(self.document_bytes))


@dataclass(frozen=True, eq=False)
class _Counts:
    """Counts of all grams in the domains that have them: [starts[g], starts[g+1]) of domains and counts; k domains."""

    k: int
    starts: np.ndarray
    domains: np.ndarray
    counts: np.ndarray

    @staticmethod
    def of(by_domain: list[np.ndarray], grams: int) -> "_Counts":
        """Of (gram, count) pairs [2, n] of each domain."""
        gram, count = np.concatenate(by_domain, axis=1)
        domain = np.repeat(np.arange(len(by_domain)), [pairs.shape[1] for pairs in by_domain]).astype(np.uint16)
        order = np.argsort(gram, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(gram, minlength=grams))])
        return _Counts(len(by_domain), starts, domain[order], count[order])

    def rows(self, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of some grams, by domain: (starts [k+1], places among those wanted, counts)."""
        sizes = self.starts[wanted + 1] - self.starts[wanted]
        before = np.cumsum(sizes) - sizes
        at = np.arange(sizes.sum()) + np.repeat(self.starts[wanted] - before, sizes)
        order = np.argsort(self.domains[at], kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(self.domains[at], minlength=self.k))])
        places = np.repeat(np.arange(len(wanted), dtype=np.int32), sizes)
        return starts, places[order], self.counts[at][order]


def held_out_sets(
    train: Sequence[Taken],
    held_out: Sequence[tuple[str, Taken]],
    order: int,
    eos: int,
    progress: Progress | None = None,
) -> list[HeldOutSet]:
    """Count the grams of held-out sets, given as (name, documents), in the documents of each domain. eos: end-of-text
    id, -1 for none."""
    from mixing.kernels.gram_trie import GramTrie

    trie = GramTrie(order, eos)
    last = [trie.add(text.ids, text.starts, text.ends, text.ended) for _, text in held_out]
    seen: list[np.ndarray] = []
    followed: list[np.ndarray] = []
    for i, text in enumerate(train):
        if progress is not None:
            progress("counting", i, len(train))
        for counts, kept in zip(
            trie.count(text.ids, text.starts, text.ends, text.ended), (seen, followed), strict=True
        ):
            there = np.flatnonzero(counts).astype(np.int32)
            kept.append(np.stack([there, counts[there]]))
    if progress is not None:
        progress("counting", len(train), len(train))
    tables = _Counts.of(seen, trie.size), _Counts.of(followed, trie.size)
    return [_set(*pair, nodes, trie, *tables) for pair, nodes in zip(held_out, last, strict=True)]


def _set(name: str, text: Taken, last: np.ndarray, trie: "GramTrie", seen: _Counts, followed: _Counts) -> HeldOutSet:
    from mixing.kernels.backoff import Grams

    unseen = followed.starts[1:] == followed.starts[:-1]
    for _ in range(trie.order):
        last = np.where(unseen[trie.parents[last]], trie.suffixes[last], last)
    levels = _levels(last, trie)
    contexts = [np.unique(trie.parents[grams]) for grams in levels]
    ordered = [grams[np.argsort(trie.parents[grams], kind="stable")] for grams in levels]
    grams = np.concatenate([[0], *ordered]).astype(np.int64)
    places = np.zeros(trie.size, np.int32)
    places[grams] = np.arange(len(grams))
    context = np.concatenate(contexts).astype(np.int64)
    context_places = np.zeros(trie.size, np.int32)
    context_places[context] = np.arange(len(context))
    document = np.repeat(np.arange(len(text.starts)), text.events(trie.eos))
    pair, times = np.unique(document * len(grams) + places[last], return_counts=True)
    return HeldOutSet(
        name,
        Grams(
            context_places[trie.parents[grams]],
            places[trie.suffixes[grams]],
            np.cumsum([1, *map(len, levels)]),
            np.cumsum([0, *map(len, contexts)]),
            *seen.rows(grams),
            *followed.rows(context),
        ),
        (pair // len(grams)).astype(np.int32),
        (pair % len(grams)).astype(np.int32),
        times,
        text.text_bytes,
    )


def _levels(last: np.ndarray, trie: "GramTrie") -> list[np.ndarray]:
    """Nodes needed for events' grams, those of 1, 2, ... tokens apart: the grams and all their suffixes."""
    needed = np.zeros(trie.size, bool)
    while len(last):
        needed[last] = True
        last = np.unique(trie.suffixes[last])
        last = last[last > 0]
    needed[0] = False
    nodes = np.flatnonzero(needed)
    lengths = np.zeros(len(nodes), np.int64)
    above = nodes
    while np.any(above > 0):
        lengths += above > 0
        above = trie.parents[above]
    return [nodes[lengths == n] for n in range(1, trie.order + 1)]
