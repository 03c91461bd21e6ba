"""Train a Unigram tokenizer: many frequent substrings first, then expectation-maximization and pruning to size.

As in Kudo 2018 (1804.10959, section 3.2) and sentencepiece's trainer: seeds scored by uses x length, rounds of EM
steps with the digamma of the expected uses, pruning by the loss in likelihood. Where ours deviates: seeds are all
substrings over a bar of uses, not the million best; the loss takes expected uses, not those of the best segmentation;
a round is one EM step (there two); the loss prunes to 1.3 x the size, and of what
is left the most used stay (there 1.1 x), which holds on to fewer rare long pieces: held-out text takes fewer bits and
fewer tokens; more EM follows; scores are rounded to 1e-4 (tokenizer_lab.training.unigram_model).

Memory: the texts, about 8 bytes for each of their characters (fewer where segments repeat), and 200 MB for the runtime:
656 MB at most for 124 MB of novels.

Legend: N documents, P pieces.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from jacorpus.errors import InputError
from tokenizer_lab.kernels.unigram_seeds import Seeds, frequent_substrings
from tokenizer_lab.kernels.unigram_segments import MOST_CODES, POINTS, Segments, character_counts, segments
from tokenizer_lab.kernels.unigram_train import ONE_USE, Pieces, expected_uses, laid_out, losses, places, thinned
from tokenizer_lab.training.cuts import cuts
from tokenizer_lab.training.settings import Training
from tokenizer_lab.training.unigram_model import NEVER, UnigramModel, assemble, forbidden, needed_characters, room

EM_STEPS = 1
LAST_STEPS = 2
KEPT = 0.7
BY_LOSS = 1.3
"""The loss decides down to this x the size, the uses below."""

_LEAST_USES = 0.5  # a piece expected less often is dropped after a step, as in sentencepiece
MOST_SEEDS = 20
_SEEDS_A_PIECE = 50  # the bar for seeds: characters of text / (this x vocabulary)

Progress = Callable[[str, int, int], None]
"""Called with (what is done now, passes over the text done, passes in all)."""


def train(texts: pa.Array, training: Training, progress: Progress | None = None) -> UnigramModel:
    """A Unigram model of documents.

    texts: large_string [N].
    Order and batches of the documents do not change the result.
    Raises RecipeError where the settings leave no room, InputError where the text is too small for the vocabulary.
    """
    wanted = room(training)
    if progress:
        progress("count substrings", 0, 0)
    characters = covered_characters(texts, training, wanted)
    code_of = np.zeros(POINTS, np.uint16)
    code_of[characters] = np.arange(1, len(characters) + 1)
    cut = segments(texts, cuts(texts, training), code_of)
    pieces, score = _seeded(cut, characters, training, wanted)
    pieces, score = _shrunk(cut, pieces, score, wanted, progress)
    scored = dict(zip(strings(pieces, cut.codes, characters), score[1:].tolist(), strict=True))
    return assemble(with_all_space_runs(scored).items(), training)


def covered_characters(texts: pa.Array, training: Training, wanted: int) -> np.ndarray:
    """int64 code points that become pieces: the most used that cover the share asked for, and those always needed."""
    counts = character_counts(texts)
    counts[[ord(character) for character in NEVER]] = 0
    order = np.argsort(-counts, kind="stable")[: int((counts > 0).sum())]
    share = np.cumsum(counts[order])
    enough = int(np.searchsorted(share, training.coverage * share[-1])) + 1 if len(order) else 0
    found = list(dict.fromkeys([*order[:enough].tolist(), *map(ord, needed_characters(training))]))
    if len(found) > min(wanted, MOST_CODES):
        raise InputError(
            f"{len(found):,} characters have to be pieces of their own (coverage {training.coverage}), and vocab_size "
            f"{training.vocab_size:,} leaves room for {wanted:,} pieces; raise vocab_size or lower coverage"
        )
    return np.array(found, np.int64)


def _seeded(cut: Segments, characters: np.ndarray, training: Training, wanted: int) -> tuple[Pieces, np.ndarray]:
    """(seeds laid over the text, their first scores)."""
    least = max(2, cut.characters // (_SEEDS_A_PIECE * training.vocab_size))
    seeds = frequent_substrings(
        cut.codes, cut.starts, cut.weights, len(characters), least, max(1, training.max_piece_chars)
    )
    keep = _worth_keeping(seeds, characters, training)
    if keep.sum() < wanted:
        raise InputError(
            f"the text has {int(keep.sum()):,} substrings that could be pieces, and vocab_size = "
            f"{training.vocab_size:,} asks for {wanted:,}; train on more text or with vocab_size at most "
            f"{training.vocab_size - wanted + int(keep.sum()):,}"
        )
    uses = (seeds.count * seeds.length).astype(np.float64)
    pieces = laid_out(seeds, keep)
    return pieces, _scores(uses[pieces.node])


def _worth_keeping(seeds: Seeds, characters: np.ndarray, training: Training) -> np.ndarray:
    """bool [nodes]: not always followed by the same character, not the name of a special token, among the best."""
    keep = np.ones(len(seeds.parent), np.bool_)
    keep[0] = False
    alone = seeds.count == seeds.count[seeds.parent]
    keep[seeds.parent[alone]] = False
    keep[_named(seeds, characters, training)] = False
    worth = seeds.count * seeds.length
    spare = int(keep.sum()) - MOST_SEEDS * training.vocab_size
    if spare > 0:
        bar = np.partition(worth[keep], spare - 1)[spare - 1]
        keep &= worth > bar
    keep[1 : len(characters) + 1] = True
    return keep


def _named(seeds: Seeds, characters: np.ndarray, training: Training) -> np.ndarray:
    """bool [nodes]: names that no piece may have, and all that begins with ``<0x``."""
    code_of = {chr(point): code for code, point in enumerate(characters.tolist(), 1)}
    keys = seeds.parent.astype(np.int64) << 16 | seeds.last
    order = np.argsort(keys)

    def node(name: str) -> int:
        found = 0
        for character in name:
            key = found << 16 | code_of[character]
            at = int(np.searchsorted(keys, key, sorter=order))
            if at == len(order) or keys[order[at]] != key:
                return 0
            found = int(order[at])
        return found

    named = np.zeros(len(keys), np.bool_)
    named[node("<0x")] = True
    for length in range(4, int(seeds.length.max()) + 1):
        level = seeds.length == length
        named[level] = named[seeds.parent[level]]
    named[[node(name) for name in forbidden(training)]] = True
    named[0] = False
    return named


def _scores(uses: np.ndarray) -> np.ndarray:
    """Log probabilities of uses; entry 0 is none."""
    held = np.maximum(uses, _LEAST_USES)
    held[0] = 0.0
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(held / held.sum()))


def _digamma(x: np.ndarray) -> np.ndarray:
    """Derivative of log gamma for x > 0: recurrence up to 7, then the asymptotic series."""
    x, below = x.copy(), np.zeros(len(x))
    for _ in range(7):
        low = x < 7
        below[low] -= 1 / x[low]
        x[low] += 1
    y = 1 / (x * x)
    return below + np.log(x) - 0.5 / x - y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y / 132))))


def _step(cut: Segments, pieces: Pieces, score: np.ndarray, wanted: int) -> tuple[Pieces, np.ndarray, np.ndarray]:
    """One EM step: (pieces that are still used, their scores, their expected uses)."""
    steps, _ = expected_uses(pieces, cut.starts, cut.weights, np.exp(score))
    uses = steps / ONE_USE
    spare = len(pieces) - 1 - wanted
    keep = (uses >= _LEAST_USES) | (pieces.length == 1)
    if (~keep).sum() - 1 > spare:  # entry 0 is none
        keep = _best(np.where(pieces.length == 1, np.inf, uses), wanted)
    keep[0] = True
    pieces, uses = thinned(pieces, keep), np.maximum(uses[keep], _LEAST_USES)
    uses[0] = _LEAST_USES
    score = _digamma(uses) - _digamma(np.array([uses[1:].sum()]))
    score[0] = -np.inf
    return pieces, score, uses


def _best(value: np.ndarray, count: int) -> np.ndarray:
    """bool [P]: the ``count`` entries of highest value, the first of equal ones; entry 0 too."""
    keep = np.zeros(len(value), np.bool_)
    keep[np.argsort(-value[1:], kind="stable")[:count] + 1] = True
    keep[0] = True
    return keep


def _pruned(pieces: Pieces, score: np.ndarray, uses: np.ndarray, left: int, by_loss: bool) -> tuple[Pieces, np.ndarray]:
    """The characters, and of the other pieces those that would be missed most, ``left`` in all."""
    uses[0] = 0.0
    worth = losses(pieces, score, uses) if by_loss else uses
    keep = _best(np.where(pieces.length == 1, np.inf, worth), left)
    return thinned(pieces, keep), score[keep]


def _sizes(size: int, wanted: int) -> list[int]:
    """Pieces left after each round of pruning."""
    found = []
    while size > wanted:
        middle = int(BY_LOSS * wanted)
        size = max(middle, int(KEPT * size)) if size > middle else wanted
        found.append(size)
    return found


def _shrunk(
    cut: Segments, pieces: Pieces, score: np.ndarray, wanted: int, progress: Progress | None
) -> tuple[Pieces, np.ndarray]:
    """(the wanted number of pieces, their scores)."""
    sizes = _sizes(len(pieces) - 1, wanted)
    steps, done = EM_STEPS * len(sizes) + LAST_STEPS, 0
    for left in [*sizes, 0]:
        for _ in range(EM_STEPS if left else LAST_STEPS):
            pieces, score, uses = _step(cut, pieces, score, wanted)
            done += 1
            if progress:
                progress("expectation and pruning", done, steps)
        if left and left < len(pieces) - 1:
            pieces, score = _pruned(pieces, score, uses, left, by_loss=left > wanted)
    return pieces, score


def strings(pieces: Pieces, codes: np.ndarray, characters: np.ndarray) -> list[str]:
    """P - 1 strings, entry 0 left out, read where they stand in the text; a character is told by its code."""
    names = ["", *map(chr, characters.tolist())]
    spans = zip(places(pieces)[1:].tolist(), pieces.length[1:].tolist(), pieces.last[1:].tolist(), strict=True)
    return [
        names[last] if length == 1 else "".join(names[code] for code in codes[start : start + length].tolist())
        for start, length, last in spans
    ]


def with_all_space_runs(scored: dict[str, float]) -> dict[str, float]:
    """Pieces with runs of spaces of every length up to the longest one learned, in place of the least likely words.

    Where words take the last space of a run (a pre-token's rule), a run of an even length may lack a piece, and 3 + 1
    and 1 + 3 are worth the same: on indented text nineteen of twenty differences between the forms came from that.
    Such a run gets a score one nat over that of its best split.
    """
    runs = {len(piece): score for piece, score in scored.items() if not piece.strip(" ")}
    words = [piece for piece in scored if len(piece) > 1 and piece.strip(" ")]
    longest = min(max(runs, default=0), len(words))  # of tiny vocabularies some
    for n in range(2, longest + 1):
        split = max(runs[a] + runs[n - a] for a in range(1, n))
        runs[n] = runs[n] if runs.get(n, -np.inf) > split else split + 1
    missing = sum(" " * n not in scored for n in runs)
    dropped = set(sorted(words, key=lambda piece: (scored[piece], piece.encode()))[:missing])
    kept = {piece: score for piece, score in scored.items() if piece not in dropped}
    return kept | {" " * n: score for n, score in runs.items()}
