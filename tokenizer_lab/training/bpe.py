"""Train byte-pair encoding: over the bytes of UTF-8, or over characters with bytes for the rare ones.

Sennrich et al. 2016 (1508.07909) with the merges of tokenizer_lab.kernels.bpe_train. Text is cut first (pattern,
digits, MeCab's words), and equal words are counted once.

With ``whole_characters``, byte-level merges first make each character that ``coverage`` asks for, byte after byte (a
step shared by all characters with these first bytes), and then join whole characters only: a token is valid UTF-8 or
the beginning of one character. (SCRIPT-BPE, 2505.24689, has the same aim with ids for scripts and places in them.)

Legend: N documents, D distinct words, M merges.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from jacorpus.errors import InputError
from jacorpus.kernels.buffers import text_buffers
from tokenizer_lab.kernels.bpe_train import BARRIER, train_merges
from tokenizer_lab.kernels.words import CODE_POINTS, Words, lay_out
from tokenizer_lab.training.bpe_model import BYTES, BpeModel, assemble, names_cut, room
from tokenizer_lab.training.cuts import cuts
from tokenizer_lab.training.settings import Training
from tokenizer_lab.training.unigram_model import NEVER

BATCH_BYTES = 8 << 20
MIN_USES = 2
"""A pair seen once is not worth an id."""

Progress = Callable[[str, int, int], None]
"""Called with (what is done now, steps done, steps in all)."""


def train(texts: pa.Array, training: Training, progress: Progress | None = None) -> BpeModel:
    """A BPE model of documents, large_string [N]. Order and batches of the documents do not change it.

    Memory: 4 bytes a symbol of the distinct words (bytes; or characters with ``whole_characters``), as much again for
    lists, and the words themselves. Raises RecipeError where the settings leave no room, InputError where the text is
    too small for the vocabulary.
    """
    room(training)
    return learn(count_words(texts, training, progress), training, progress)


def count_words(texts: pa.Array, training: Training, progress: Progress | None = None) -> Words:
    """The distinct words of documents, cut as the settings say."""
    words = Words()
    sizes = np.diff(text_buffers(texts)[0])
    total, done, start = int(sizes.sum()), 0, 0
    edges = np.cumsum(sizes)
    while start < len(texts):
        stop = max(start + 1, int(np.searchsorted(edges, done + BATCH_BYTES, "right")))
        offsets, first_ends, ends, data = word_ends(texts[start:stop], training)
        words.add((offsets, data), first_ends, ends)
        start, done = stop, int(edges[stop - 1])
        if progress:
            progress("count words", done, total)
    return words


def word_ends(batch: pa.Array, training: Training) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(offsets int64 [N+1], first ends int64 [N+1], ends int64, data uint8): where words end, as ``pretokenize.split``
    has it for texts in data; the names of special tokens are cut behind their first byte, so that none is learned."""
    from tokenizer_lab.kernels.pretokenize import split

    offsets, data = text_buffers(batch)
    ends = cuts(batch, training)
    more = [split(batch, "none")[1]] if training.pattern == "none" else []
    raw = data[offsets[0] : offsets[-1]].tobytes()
    for name in names_cut(training):
        place = raw.find(name)
        while place >= 0:
            more.append(np.array([offsets[0] + place + 1]))
            place = raw.find(name, place + 1)
    if more:
        ends = np.unique(np.concatenate([ends, *more]))
    return offsets, np.searchsorted(ends, offsets, "right").astype(np.int64), ends, data


def learn(words: Words, training: Training, progress: Progress | None = None) -> BpeModel:
    """A BPE model of counted words. Raises as ``train``."""
    left = room(training)
    if not len(words):
        raise InputError("the training text is empty")
    base = _base(words, training, left)
    left -= len(base.lengths) - BYTES
    sequence, ends, weights = lay_out(words, base.symbols)
    made = 0

    def count(number: int) -> None:
        nonlocal made
        made += number
        if progress:
            progress("learn merges", made, left)

    merges = train_merges(sequence, ends, weights, base.lengths, left, training.max_piece_chars, MIN_USES, count)
    if len(merges.left) < left:
        raise InputError(too_small(len(merges.left), left, training))
    pairs = np.concatenate([base.pairs, np.column_stack([merges.left, merges.right])])
    return assemble(base.characters, pairs, training, "bpe" if training.algorithm == "bpe" else "byte-bpe")


@dataclass(frozen=True)
class _Base:
    """What merging starts from. symbols: int32 [0x110000], symbol of each character or a barrier; None: bytes.
    lengths: int32, characters of each symbol. characters: symbols behind the bytes that no merge makes. pairs: int64
    [M, 2], merges that make characters from bytes."""

    symbols: np.ndarray | None
    lengths: np.ndarray
    characters: list[bytes] = field(default_factory=list)
    pairs: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int64))


def _base(words: Words, training: Training, left: int) -> _Base:
    if training.algorithm == "byte-bpe" and not training.whole_characters:
        lengths = np.ones(BYTES, np.int32)
        lengths[0x80:0xC0] = 0  # a character is counted by its first byte
        return _Base(None, lengths)
    symbols = np.full(CODE_POINTS, BARRIER, np.int32)
    characters = covered(words, training, left)
    if training.algorithm == "bpe":
        symbols[list(map(ord, characters))] = np.arange(len(characters)) + BYTES
        return _Base(symbols, np.ones(BYTES + len(characters), np.int32), [c.encode() for c in characters])
    number, pairs = _built(characters)
    if len(pairs) > left:
        raise InputError(_no_room(len(pairs), training, left))
    for character in [*characters, *map(chr, range(0x80))]:
        symbols[ord(character)] = number[character.encode()]
    return _Base(symbols, np.ones(len(number), np.int32), pairs=pairs)


def covered(words: Words, training: Training, left: int) -> list[str]:
    """Characters that get an id: the most used that cover the share asked for, most used first."""
    counts = words.characters()
    total = int(counts.sum())
    if training.algorithm == "bpe":
        counts[[ord(character) for character in NEVER]] = 0
    order = np.argsort(-counts, kind="stable")[: int((counts > 0).sum())]
    enough = int(np.searchsorted(np.cumsum(counts[order]), training.coverage * total)) + 1
    found = [chr(point) for point in order[:enough].tolist()]
    new = len(found) if training.algorithm == "bpe" else sum(character > "\x7f" for character in found)
    if new > left:
        raise InputError(_no_room(new, training, left))
    return found


def _no_room(number: int, training: Training, left: int) -> str:
    return (
        f"{number:,} ids are needed for characters (coverage {training.coverage}), and vocab_size "
        f"{training.vocab_size:,} leaves room for {left:,}; raise vocab_size or lower coverage"
    )


def too_small(made: int, left: int, training: Training) -> str:
    """What to say when ``made`` of ``left`` wanted merges were found."""
    most = training.vocab_size - left + made
    pad = " (multiple pads the table with unused ids)" if training.multiple == 1 else ""
    return (
        f"the text is too small for vocab_size {training.vocab_size:,}: pairs that occur twice end after {made:,} "
        f"merges, which makes {most:,} ids; set vocab_size to at most {most:,}{pad}, or give more text"
    )


def _built(characters: list[str]) -> tuple[dict[bytes, int], np.ndarray]:
    """(symbol of each byte and token, pairs int64 [M, 2]): the merges that make characters, first byte by byte."""
    number = {bytes([value]): value for value in range(BYTES)}
    pairs: list[tuple[int, int]] = []
    for character in characters:
        encoded = character.encode()
        for size in range(2, len(encoded) + 1):
            if encoded[:size] not in number:
                number[encoded[:size]] = BYTES + len(pairs)
                pairs.append((number[encoded[: size - 1]], encoded[size - 1]))
    return number, np.array(pairs, np.int64).reshape(-1, 2)
