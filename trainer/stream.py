"""The documents of a domain and split as one long row of tokens, read anywhere in place.

    stream    tokens of document 0, eos, tokens of document 1, eos, ...   through all shards, in their order

Stored are the tokens of a shard end to end and the offsets of its documents; the eos is put in on reading. Document d
of a shard so begins at offsets[d] + d of the shard's part of the stream, and position p that lies in document d is
token p - d of what is stored. The shard comes from counts in the manifest, the document from a binary search in the
memory-mapped offsets; nothing is read before it is asked for.

The stream has no end: after the last token the first comes again. Each document ends with eos, so no document runs
into another there.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jacorpus.errors import InputError
from tokenizer_lab.tokens import Tokens, TokenShard

FEW = 96
"""Tokens a document, from which on copying one document at a time is faster than copying around a mask."""


@dataclass(frozen=True)
class Piece:
    """Consecutive tokens of one document, its eos counted as the last.

    document: row of the shard. offset: of the first token in the document.
    """

    shard: TokenShard
    document: int
    offset: int
    length: int


@dataclass(frozen=True)
class _Opened:
    """A shard's arrays; ``marks`` are the offsets again, faster to read one by one."""

    ids: np.ndarray
    offsets: np.ndarray
    marks: memoryview

    def document_at(self, place: int, low: int = 0, high: int | None = None) -> int:
        """The document in [low, high) that holds a place of the shard's part of the stream.

        Where the place is after all of them: high - 1.
        """
        marks = self.marks
        if high is None:
            high = len(marks) - 1
        return bisect_right(range(low, high), place, key=lambda d: marks[d] + d) + low - 1


class Stream:
    """All documents of some shards. length: their tokens and one eos each."""

    def __init__(self, shards: Sequence[TokenShard], eos_id: int) -> None:
        self.shards = [shard for shard in shards if shard.documents]
        self.eos_id = eos_id
        self.tokens = sum(shard.tokens for shard in self.shards)
        self.starts = [0]
        for shard in self.shards:
            self.starts.append(self.starts[-1] + shard.tokens + shard.documents)
        self.length = self.starts[-1]
        self._opened: dict[int, _Opened] = {}

    def read(self, start: int, ids: np.ndarray, ends: np.ndarray) -> None:
        """Fill ``ids`` with what begins at ``start`` and set ``ends`` (all False before) where there is an eos.

        Raises InputError for a shard that is missing or damaged.
        """
        done, size = 0, len(ids)
        while done < size:
            number, place, count = self._span(start + done, size - done)
            self._fill(number, place, ids[done : done + count], ends[done : done + count])
            done += count

    def pieces(self, start: int, size: int) -> Iterator[Piece]:
        """The documents of ``size`` tokens that begin at ``start``."""
        done = 0
        while done < size:
            number, place, count = self._span(start + done, size - done)
            shard, opened = self.shards[number], self._open(number)
            document, stop = opened.document_at(place), place + count
            while place < stop:
                until = min(opened.marks[document + 1] + document + 1, stop)
                yield Piece(shard, document, place - opened.marks[document] - document, until - place)
                place, document = until, document + 1
            done += count

    def _span(self, start: int, size: int) -> tuple[int, int, int]:
        """(shard, place in its part, how many of ``size`` tokens lie in it)."""
        start %= self.length
        number = bisect_right(self.starts, start) - 1
        return number, start - self.starts[number], min(size, self.starts[number + 1] - start)

    def _open(self, number: int) -> _Opened:
        opened = self._opened.get(number)
        if opened is None:
            shard = self.shards[number]
            offsets = shard.offsets
            if len(offsets) != shard.documents + 1 or offsets[0] != 0 or offsets[-1] != shard.tokens:
                raise InputError(f"{shard.path} is damaged (offsets of documents); encode the corpus again")
            opened = self._opened[number] = _Opened(shard.ids, offsets, offsets.data)
        return opened

    def _fill(self, number: int, place: int, ids: np.ndarray, ends: np.ndarray) -> None:
        opened, size = self._open(number), len(ids)
        first = opened.document_at(place)
        after = opened.document_at(place + size, first, min(first + size, len(opened.marks) - 1) + 1)
        # documents first ... after - 1 end here; eos of document d is at offsets[d + 1] + d
        count, source = after - first, place - first
        if count * FEW < size:
            at = 0
            for document in range(first, after):
                end = opened.marks[document + 1] + document - place
                ids[at:end] = opened.ids[source + at : source + end]
                ids[end], ends[end] = self.eos_id, True
                at, source = end + 1, source - 1
            ids[at:] = opened.ids[source + at : source + size]
            return
        where = opened.offsets[first + 1 : after + 1] + np.arange(first - place, after - place)
        ends[where] = True
        ids[~ends] = opened.ids[source : source + size - count]
        ids[where] = self.eos_id


def grouped(tokens: Tokens) -> dict[tuple[str, str], list[TokenShard]]:
    """Shards by (domain, split), in their order."""
    found: dict[tuple[str, str], list[TokenShard]] = {}
    for shard in tokens.shards:
        found.setdefault((shard.domain, shard.split), []).append(shard)
    return found


def eos_for(tokens: Tokens, eos_id: int | None) -> int:
    """The id put after each document: the given one, else the tokenizer's. Raises InputError where there is none."""
    chosen = tokens.eos_id if eos_id is None else eos_id
    if chosen is None:
        raise InputError(
            f"the tokenizer of {tokens.folder} names no token that ends a text; name one when encoding "
            f"(jacorpus tokenizer encode --eos TOKEN) or give eos_id in [train]"
        )
    if not 0 <= chosen < tokens.vocab_size:
        raise InputError(f"eos_id = {chosen} is no id of {tokens.folder}, whose ids are below {tokens.vocab_size:,}")
    return chosen
