"""Does a model find what it read far back? Made-up documents of ids, a question at their end.

    filler ... KEY k VALUE v filler ... KEY k' VALUE v' ... filler QUERY k  ->  v

Each document holds the pair that is asked for at a chosen depth (0: at the beginning, 1: right before the question) and
some others with other keys, so that the answer can't be had by copying the only value. Ids are drawn, not learned from
text: the check is for models trained on such documents, and shows what a layout can carry over what distance (a window
alone can't beyond its reach; a state forgets; full attention can).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jacorpus.errors import RecipeError
from trainer.evaluate.scoring import BATCH_TOKENS, Span, Windows, score
from trainer.model import Model

KEY, VALUE, QUERY = 0, 1, 2
_MARKS = 3
_PAIR = 4  # ids of KEY k VALUE v


@dataclass(frozen=True)
class Alphabet:
    """Which ids mean what: the marks 0, 1, 2, then keys, values, and all else up to vocab_size as filler.

    pairs: pairs of key and value in a document, the one asked for among them.
    """

    vocab_size: int
    keys: int = 16
    values: int = 16
    pairs: int = 4

    def __post_init__(self) -> None:
        if self.vocab_size <= _MARKS + self.keys + self.values:
            raise RecipeError(f"{self.vocab_size} ids leave no filler beside {self.keys} keys, {self.values} values")
        if not 1 <= self.pairs <= self.keys:
            raise RecipeError(f"pairs must be between 1 and the number of keys {self.keys}, got {self.pairs}")

    @property
    def shortest(self) -> int:
        """Fewest ids of a document."""
        return _PAIR * self.pairs + 3


@dataclass(frozen=True)
class Found:
    """accuracy: share of documents whose value was the likeliest of all ids. chance: of guessing among the values."""

    length: int
    depth: float
    accuracy: float
    documents: int
    chance: float


def needle_documents(
    alphabet: Alphabet, length: int, count: int, depth: float | None = None, seed: int = 0
) -> np.ndarray:
    """int64 [count, length]; the last id is the answer. depth: None draws one for each document (to train on).

    Raises RecipeError where the pairs don't fit the length.
    """
    if length < alphabet.shortest:
        raise RecipeError(f"{alphabet.pairs} pairs and a question need {alphabet.shortest} tokens, got {length}")
    random = np.random.default_rng([seed, length, 0 if depth is None else 1 + round(depth * 1_000_000)])
    made = random.integers(_MARKS + alphabet.keys + alphabet.values, alphabet.vocab_size, (count, length))
    for row in made:
        keys = _MARKS + random.permutation(alphabet.keys)[: alphabet.pairs]
        values = _MARKS + alphabet.keys + random.integers(0, alphabet.values, alphabet.pairs)
        starts = _starts(length - 3, alphabet.pairs, random.random() if depth is None else depth, random)
        for start, key, value in zip(starts, keys, values, strict=True):
            row[start : start + _PAIR] = KEY, key, VALUE, value
        row[-3:] = QUERY, keys[0], values[0]
    return made


def _starts(room: int, pairs: int, depth: float, random: np.random.Generator) -> list[int]:
    """Where pairs begin in [0, room), none over another; the first of the list is the one at the depth."""
    spare = room - _PAIR * pairs  # ids that are filler; a pair's place is that among them plus the pairs before it
    asked = round(depth * spare)
    others = random.integers(0, spare + 1, pairs - 1)
    slots = np.concatenate([[asked], others])
    # The pair asked for comes first of those in its slot at depth 0 and last at depth 1: nothing is beyond it there.
    order = np.lexsort((np.where(np.arange(pairs) == 0, 1 if depth > 0.5 else -1, 0), slots))
    starts = np.empty(pairs, np.int64)
    starts[order] = slots[order] + _PAIR * np.arange(pairs)
    return starts.tolist()


def retrieval(
    model: Model,
    alphabet: Alphabet,
    lengths: Sequence[int],
    depths: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
    count: int = 64,
    seed: int = 1,
    batch_tokens: int = BATCH_TOKENS,
) -> list[Found]:
    """Accuracy at each length and depth. seed: another than that of training, or the same documents are asked."""
    found = []
    for length in lengths:
        for depth in depths:
            documents = needle_documents(alphabet, length, count, depth, seed)
            spans = [Span(ids, length - 1) for ids in documents]
            scores = score(model, spans, Windows(length), batch_tokens)
            hits = [bool(each.hits[0]) for each in scores if each.hits is not None]
            found.append(Found(length, depth, sum(hits) / count, count, 1 / alphabet.values))
    return found
