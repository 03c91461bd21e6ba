"""A trained BPE model: its table of ids and its merges, before it is written in any form.

Legend: V ids, M merges. Order of the ids, as in a Unigram model: special tokens, reserved slots, 256 bytes, then
characters (of a model over characters, or those that byte-level merges make first), merged tokens in the order they
were learned, padding.

A token is told by its bytes, so no two are equal: the two parts of a token are always the same (merges apply in order
and from the left, so a string is cut alike wherever it becomes one token), and the names of special tokens are cut in
the training text, so that none is learned.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from jacorpus.errors import RecipeError
from tokenizer_lab.tokenizer import Kind
from tokenizer_lab.training.settings import Training
from tokenizer_lab.training.unigram_model import NEVER, padding_names, reserved_names

BYTES = 256


@dataclass(frozen=True)
class BpeModel:
    """tokens: V byte strings; the names of what never comes out of text. kinds: uint8 [V], see Kind. merges: int32
    [M, 2], ids of the parts, best first; merge m makes id ``first_merged + m``.

    algorithm: byte-bpe, where merges start from the 256 bytes, or bpe, where they start from characters and the bytes
    only write other characters. pattern: how text is cut before merging, as a name or an expression.
    """

    algorithm: Literal["byte-bpe", "bpe"]
    tokens: tuple[bytes, ...]
    kinds: np.ndarray
    merges: np.ndarray
    pattern: str

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def first_merged(self) -> int:
        """Id of the first merge's token."""
        return int(np.flatnonzero(self.kinds != Kind.UNUSED)[-1]) + 1 - len(self.merges)

    @property
    def byte_ids(self) -> range:
        """Ids of the 256 bytes."""
        first = int(np.flatnonzero(self.kinds == Kind.CONTROL)[-1]) + 1 if (self.kinds == Kind.CONTROL).any() else 0
        return range(first, first + BYTES)

    def specials(self) -> dict[str, int]:
        """Name -> id of each special token and reserved slot, then of the padding."""
        named = np.flatnonzero((self.kinds == Kind.CONTROL) | (self.kinds == Kind.UNUSED))
        return {self.tokens[id].decode(): int(id) for id in named}


def room(training: Training) -> int:
    """How many ids are left for characters and merges. Raises RecipeError where special tokens or size do not fit."""
    pattern_of(training)
    for name in training.specials:
        if len(name) < 2 or name.startswith("<0x") or any(character in name for character in NEVER):
            raise RecipeError(
                f"[tokenizer]: specials holds {name!r}; a name has at least two characters, none of them NUL or "
                "U+2581, and does not begin with <0x"
            )
    names = {*training.specials, *reserved_names(training), *padding_names(training)}
    if len(names) < len(training.specials) + training.reserved + len(padding_names(training)):
        raise RecipeError("[tokenizer]: a special token has the name of a reserved or unused slot; call it otherwise")
    left = training.vocab_size - len(training.specials) - training.reserved - BYTES
    if left < 0:
        raise RecipeError(
            f"[tokenizer]: vocab_size = {training.vocab_size:,} is too small: {len(training.specials)} special tokens, "
            f"{training.reserved} reserved slots and 256 bytes need {training.vocab_size - left:,}"
        )
    return left


def pattern_of(training: Training) -> str:
    """Name of the pattern with its way with digits, or the expression. Raises InputError where there is none."""
    from tokenizer_lab.kernels.patterns import PATTERNS, with_digits

    named = training.pattern in PATTERNS
    return with_digits(training.pattern, training.digits) if named else training.pattern


def names_cut(training: Training) -> list[bytes]:
    """Strings that a learned token may not be, or beginnings of such; the training text is cut inside them."""
    return [*(name.encode() for name in training.specials), b"<|reserved_", b"<|unused_", b"<0x"]


def assemble(
    characters: Sequence[bytes], pairs: np.ndarray, training: Training, algorithm: Literal["byte-bpe", "bpe"]
) -> BpeModel:
    """The table of ids. characters: tokens between bytes and merges. pairs: int [M, 2], numbered from the first byte
    on."""
    control = [name.encode() for name in (*training.specials, *reserved_names(training))]
    padding = [name.encode() for name in padding_names(training)]
    learned = [bytes([value]) for value in range(BYTES)] + list(characters)
    for left, right in pairs.tolist():
        learned.append(learned[left] + learned[right])
    kinds = [Kind.CONTROL] * len(control) + [Kind.BYTE if algorithm == "bpe" else Kind.NORMAL] * BYTES
    kinds += [Kind.NORMAL] * (len(learned) - BYTES) + [Kind.UNUSED] * len(padding)
    return BpeModel(
        algorithm,
        (*control, *learned, *padding),
        np.array(kinds, np.uint8),
        (pairs + len(control)).astype(np.int32).reshape(-1, 2),
        pattern_of(training),
    )
