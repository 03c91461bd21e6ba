"""A trained Unigram model: its table of ids, before it is written in any form.

Legend: V ids; a tick is 1e-4 of a natural-log probability. Scores are whole ticks, so that every form holds the same
number: PLaMo-2 sums ticks, the others read them as floats.

Order of the ids: special tokens, reserved slots, 256 bytes, pieces by falling score, padding. What must never come
out of text has the score LOW. Hugging Face and PLaMo-2 match such entries as if they were text; the characters of
their names (``needed_characters``) are pieces of their own, so the spelled-out path always wins over LOW.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from jacorpus.errors import InputError, RecipeError
from tokenizer_lab.tokenizer import Kind
from tokenizer_lab.training.settings import Training

TICKS = 10_000
LOW = -999 * TICKS
LONGEST_NAME = 64
"""Characters of a special token. No piece scores under LOW / (characters of the longest name + 1)."""

NEVER = ("\x00", "\u2581")
"""Characters no piece holds: SentencePiece's table ends at NUL, and it decodes U+2581 as a space. Both are written as
bytes, which come back as they were."""

SPECIALS_NEEDED = 5
_BYTE_NAMES = tuple(f"<0x{value:02X}>" for value in range(256))


@dataclass(frozen=True)
class UnigramModel:
    """pieces: V strings. kinds: uint8 [V], see Kind. ticks: int64 [V], see the legend; none is over 0."""

    pieces: tuple[str, ...]
    kinds: np.ndarray
    ticks: np.ndarray

    def __post_init__(self) -> None:
        if len(set(self.pieces)) != len(self.pieces):
            raise InputError("two entries of the vocabulary are the same; a special token repeats a reserved name")

    def __len__(self) -> int:
        return len(self.pieces)

    @property
    def scores(self) -> np.ndarray:
        """float64 [V], natural-log probabilities: multiples of 1e-4 in (-1000, 0]."""
        return self.ticks / TICKS

    def normal(self) -> dict[str, int]:
        """Piece -> ticks of all that text is written with, bytes left out."""
        ids = np.flatnonzero(self.kinds == Kind.NORMAL)
        return {self.pieces[i]: int(self.ticks[i]) for i in ids}


def least_ticks(training: Training) -> int:
    """The lowest score of a piece: any name spelled out in pieces still beats LOW."""
    names = [*training.specials, *reserved_names(training), *padding_names(training), *_BYTE_NAMES]
    return -(-LOW // (max(map(len, names)) + 1))


def reserved_names(training: Training) -> list[str]:
    """Names of the reserved slots."""
    return [f"<|reserved_{n}|>" for n in range(training.reserved)]


def padding_names(training: Training) -> list[str]:
    """Names of the unused ids that fill the table up to a multiple."""
    return [f"<|unused_{n}|>" for n in range(-training.vocab_size % training.multiple)]


def needed_characters(training: Training) -> list[str]:
    """Characters that are pieces whatever the text: those of every entry that must lose against its spelling."""
    names = [*training.specials, *reserved_names(training), *padding_names(training), *_BYTE_NAMES]
    return sorted(set("".join(names)))


def room(training: Training) -> int:
    """How many pieces the vocabulary has room for. Raises RecipeError where special tokens or size do not fit."""
    specials = training.specials
    if len(specials) < SPECIALS_NEEDED:
        raise RecipeError(
            f"[tokenizer]: a Unigram tokenizer needs {SPECIALS_NEEDED} special tokens, the first for the unknown, the "
            f"fifth for the end of a turn (PLaMo-2's converter takes id 4 for it); specials has {len(specials)}"
        )
    for name in specials:
        if name.startswith("<0x") or any(character in name for character in NEVER) or len(name) > LONGEST_NAME:
            raise RecipeError(
                f"[tokenizer]: specials holds {name!r}; a name has at most {LONGEST_NAME} characters, none of them NUL "
                "or U+2581, and does not begin with <0x"
            )
    left = training.vocab_size - len(specials) - training.reserved - len(_BYTE_NAMES)
    needed = len(needed_characters(training))
    if left < needed:
        raise RecipeError(
            f"[tokenizer]: vocab_size = {training.vocab_size} is too small: {len(specials)} special tokens, "
            f"{training.reserved} reserved, 256 bytes and {needed} characters need "
            f"{training.vocab_size - left + needed}"
        )
    return left


def forbidden(training: Training) -> frozenset[str]:
    """Strings no piece may be; nor may it begin with ``<0x`` or hold a character of NEVER."""
    return frozenset([*training.specials, *reserved_names(training), *padding_names(training)])


def assemble(pieces: Iterable[tuple[str, float]], training: Training) -> UnigramModel:
    """The table of ``(piece, log probability)`` in any order: rounded to ticks, sorted, all other ids around it.

    A score under ``least_ticks`` is raised to it, one over 0 lowered to 0. Equal scores are in order of
    their UTF-8 bytes.
    Raises InputError where a piece holds a character that is no piece, or an entry is twice there.
    """
    least = least_ticks(training)
    rounded = {piece: min(0, max(least, round(score * TICKS))) for piece, score in pieces}
    _check_characters(rounded)
    ranked = sorted(rounded.items(), key=lambda item: (-item[1], item[0].encode()))
    control = [*training.specials[1:], *reserved_names(training)]
    padding = padding_names(training)
    names = [training.specials[0], *control, *_BYTE_NAMES, *(piece for piece, _ in ranked), *padding]
    kinds = [Kind.UNKNOWN, *[Kind.CONTROL] * len(control), *[Kind.BYTE] * 256]
    kinds += [Kind.NORMAL] * len(ranked) + [Kind.UNUSED] * len(padding)
    head = 1 + len(control) + 256
    ticks = [*[LOW] * head, *(tick for _, tick in ranked), *[LOW] * len(padding)]
    return UnigramModel(tuple(names), np.array(kinds, np.uint8), np.array(ticks, np.int64))


def _check_characters(pieces: dict[str, int]) -> None:
    for piece in pieces:
        for character in piece:
            if character not in pieces:
                raise InputError(f"piece {piece!r} holds {character!r}, which is no piece of its own")
