"""New pieces for a SentencePiece Unigram model: the old scores are held, the new ones are learned.

Candidates are frequent strings of the new language's text (byte-pair merges from single characters). Then, again and
again: the text is segmented with old and new pieces, each new piece gets the logarithm of its share of the tokens, and
the candidates whose loss costs the least likelihood go, a quarter at a time, until the size is met.

The share is scaled by kappa, the probability that the old model gives to all old pieces that the text uses over
their share of its tokens: the old scores come from a mixture of languages, in which the new one is but a part, and
without it every new piece would be too likely beside them. No new score lies under the old minimum, for the score
of the unknown token hangs on it and would move; none lies over the old maximum.

The expectation step counts the best segmentation of each line (the library's own), not all of them weighted: with
pieces as long as these the two nearly agree, and it runs at the speed of encoding.

Legend: V old pieces, K candidates, T tokens.
"""

import math
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from jacorpus.errors import InputError
from tokenizer_lab.extension.bpe import lines_of, missing_characters, parse_model, plain_copy, processor
from tokenizer_lab.extension.growth import barriers_between, classes, grow
from tokenizer_lab.extension.options import Extending, NewTokens
from tokenizer_lab.extension.scripts import holds_target
from tokenizer_lab.kernels.bpe_continue import BARRIER
from tokenizer_lab.tokenizer import Kind

Progress = Callable[[int], None]
TIMES = 3
"""Candidates for each piece that is to stay."""
KEPT_A_ROUND = 0.75
EM_STEPS = 2


def _character_symbols(base: bytes, texts: pa.LargeStringArray, join_marks: bool) -> tuple[np.ndarray, list[bytes]]:
    """The normalized text as characters with barriers at line ends and changes of class."""
    normalizer = processor(plain_copy(base, []))
    points = []
    for lines in lines_of(texts):
        text = "\n".join(normalizer.normalize(line) for line in lines) + "\n"
        points.append(np.frombuffer(text.encode("utf-32-le"), np.uint32))
    used, symbols = np.unique(np.concatenate(points), return_inverse=True)
    table = [chr(point).encode() for point in used]
    symbols = symbols.astype(np.int32)
    symbols[np.concatenate(points) == ord("\n")] = BARRIER
    return barriers_between(symbols, *classes(table, join_marks)), table


def _candidates(base: bytes, texts: pa.LargeStringArray, options: Extending, wanted: int) -> dict[str, int]:
    """Strings that may become pieces and how often they come in the segmentation by merges alone."""
    old = {p.piece for p in parse_model(base).pieces}
    ranges = options.ranges()
    symbols, table = _character_symbols(base, texts, options.join_marks)
    there = sum(holds_target(piece, ranges) for piece in old)
    made = grow(symbols, table, ranges, options.max_chars, TIMES * wanted + there, options.min_count)
    missing = {c for c in missing_characters(base, texts) if holds_target(c, ranges)}
    counts = np.bincount(symbols[symbols >= 0], minlength=len(table))
    found = {piece.decode(): max(int(n), 1) for piece, n in zip(made.pieces, made.usage, strict=True)}
    found |= {c: int(n) for c, n in zip((t.decode() for t in table), counts, strict=True) if c in missing and n}
    return {piece: n for piece, n in found.items() if piece not in old}


class _Model:
    """The base with candidates behind its pieces; segments and counts."""

    def __init__(self, base: bytes, texts: pa.LargeStringArray, progress: Progress | None) -> None:
        self.base, self.texts, self.progress = base, texts, progress
        self.pieces = list(parse_model(base).pieces)
        normal = [p.score for p in self.pieces if p.type == Kind.NORMAL]
        self.lowest, self.highest = min(normal), max(normal)
        self.normal = np.array([p.type == Kind.NORMAL for p in self.pieces])
        self.mass = np.exp(np.where(self.normal, [p.score for p in self.pieces], -np.inf))

    def bounded(self, value: float) -> float:
        """A score as float32, not under the lowest nor over the highest old one."""
        return float(np.float32(min(max(value, self.lowest), self.highest)))

    def counts(self, scores: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
        """(uses int64 [V] of old pieces, [K] of new ones) in the best segmentation of all lines."""
        model = processor(with_pieces(plain_copy(self.base, []), scores))
        total = np.zeros(len(self.pieces) + len(scores), np.int64)
        for lines in lines_of(self.texts):
            ids = np.fromiter(chain.from_iterable(model.encode(lines, out_type=int, num_threads=1)), np.int64)
            total += np.bincount(ids, minlength=len(total))
            if self.progress:
                self.progress(sum(len(line.encode()) for line in lines))
        return total[: len(self.pieces)], total[len(self.pieces) :]

    def learned(self, scores: dict[str, float]) -> tuple[dict[str, float], dict[str, int]]:
        """Scores of the pieces that were used, and their uses, after one step."""
        old, new = self.counts(scores)
        tokens = max(int(old.sum() + new.sum()), 1)
        used = self.normal & (old > 0)
        kappa = float(self.mass[used].sum()) / max(float(old[used].sum()) / tokens, 1e-9) if used.any() else 1.0
        uses = {piece: int(n) for piece, n in zip(scores, new, strict=True) if n}
        return {piece: self.bounded(math.log(min(kappa, 1.0) * n / tokens)) for piece, n in uses.items()}, uses


def with_pieces(data: bytes, scores: dict[str, float]) -> bytes:
    """The model with further normal pieces behind the old ones."""
    model = parse_model(data)
    for piece, score in scores.items():
        model.pieces.add(piece=piece, score=score, type=Kind.NORMAL)
    model.trainer_spec.vocab_size = len(model.pieces)
    made: bytes = model.SerializeToString()
    return made


def best_split(piece: str, scores: dict[str, float], unknown: float) -> float:
    """The best sum of scores of pieces that make up the string, itself not among them; characters that are no piece
    cost ``unknown``."""
    best = [0.0] + [-math.inf] * len(piece)
    for end in range(1, len(piece) + 1):
        for start in range(end):
            if end - start == len(piece):
                continue
            score = scores.get(piece[start:end], unknown if end - start == 1 else -math.inf)
            best[end] = max(best[end], best[start] + score)
    return best[-1] if len(piece) > 1 else unknown


def new_pieces(
    base: bytes, texts: pa.LargeStringArray, options: Extending, progress: Progress | None = None
) -> NewTokens:
    """The new pieces with their scores, best first.

    Raises InputError where the text holds nothing to learn.
    """
    model = _Model(base, texts, progress)
    wanted = options.vocab_size - len(model.pieces)
    uses = _candidates(base, texts, options, wanted)
    if not uses:
        raise InputError("the new text holds nothing to learn: no string of the scripts asked for comes twice")
    number = len(uses)
    total = sum(uses.values())
    scores = {piece: model.bounded(math.log(n / total)) for piece, n in uses.items()}
    while True:
        for _ in range(EM_STEPS):
            scores, uses = model.learned(scores)
        lost = _lost(model, scores)
        if len(scores) <= wanted:
            break
        keep = max(wanted, int(len(scores) * KEPT_A_ROUND))
        scores = _pruned(model, scores, uses, keep)
    kept = scores if options.allow_unreachable else {p: s for p, s in scores.items() if p not in lost}
    ordered = sorted(kept, key=lambda piece: (-kept[piece], piece))
    return NewTokens(
        [piece.encode() for piece in ordered],
        number,
        scores=[kept[piece] for piece in ordered],
        unreachable=sorted(piece.encode() for piece in lost),
    )


def _table(model: _Model, scores: dict[str, float]) -> dict[str, float]:
    return {p.piece: p.score for p in model.pieces if p.type == Kind.NORMAL} | scores


def _pruned(model: _Model, scores: dict[str, float], uses: dict[str, int], keep: int) -> dict[str, float]:
    """The ``keep`` pieces whose loss would cost the most likelihood: uses x (score - best split)."""
    table, unknown = _table(model, scores), model.lowest - 10
    loss = {piece: uses[piece] * (score - best_split(piece, table, unknown)) for piece, score in scores.items()}
    ordered = sorted(scores, key=lambda piece: (-loss[piece], piece))[:keep]
    return {piece: scores[piece] for piece in sorted(ordered)}


def _lost(model: _Model, scores: dict[str, float]) -> set[str]:
    """Pieces whose own text gives other ids, by the library."""
    data = with_pieces(plain_copy(model.base, [], normalize=False), scores)
    first = len(model.pieces)
    lists = processor(data).encode(list(scores), out_type=int, num_threads=1)
    return {piece for k, (piece, ids) in enumerate(zip(scores, lists, strict=True)) if ids != [first + k]}


def write(base: bytes, new: NewTokens, out: Path) -> Path:
    """tokenizer.model in ``out``: the base's message with the new pieces behind the old."""
    path = out / "tokenizer.model"
    path.write_bytes(with_pieces(base, {t.decode(): s for t, s in zip(new.tokens, new.scores, strict=True)}))
    return path
