"""What a vocabulary is extended with, and what comes out."""

from dataclasses import dataclass, field

import numpy as np

from jacorpus.errors import RecipeError
from tokenizer_lab.extension.scripts import JAPANESE, target_ranges


@dataclass(frozen=True)
class Extending:
    """Options of extending.

    vocab_size: ids in all afterwards, old ones included. scripts: a new token holds a character of one of these
    (tokenizer_lab.extension.scripts.RANGES), so that text of other scripts keeps its ids; empty allows any.
    join_marks: let a new token hold punctuation beside letters (fewer tokens, less clean ones). max_chars: longest
    new token. min_count: least times two neighbors occur to be joined. budget_bytes: UTF-8 bytes of new-language
    text learned from; more is drawn by hash (tokenizer_lab.corpus.draw) with ``seed``, by the shares of ``weights``
    (domain -> share; empty takes the natural ones). allow_unreachable: keep new tokens that no text gives; by default
    they are left out and listed.
    """

    vocab_size: int
    scripts: tuple[str, ...] = JAPANESE
    join_marks: bool = False
    max_chars: int = 16
    min_count: int = 2
    budget_bytes: int = 50_000_000
    seed: int = 0
    weights: dict[str, float] = field(default_factory=dict)
    allow_unreachable: bool = False

    def __post_init__(self) -> None:
        self.ranges()
        if self.max_chars < 1 or self.min_count < 1 or self.budget_bytes < 1:
            raise RecipeError("max_chars, min_count and budget_bytes must be at least 1")

    def ranges(self) -> np.ndarray:
        """int64 [R, 2]: the code points of ``scripts``; see target_ranges."""
        return target_ranges(self.scripts)


@dataclass(frozen=True)
class NewTokens:
    """K new tokens in the order of their ids. candidates: how many there were before pruning.

    tokens: their bytes. scores: float32 values (Unigram), empty for BPE. merges: of byte BPE the two parts of each.
    unreachable: those that no text gives; left out of ``tokens`` unless they were allowed.
    """

    tokens: list[bytes]
    candidates: int
    scores: list[float] = field(default_factory=list)
    merges: list[tuple[bytes, bytes]] = field(default_factory=list)
    unreachable: list[bytes] = field(default_factory=list)
