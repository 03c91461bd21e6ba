"""Causes in the choice of pieces, where both sides read the same text and are free to cut it anywhere.

Scores of both ways are summed exactly (as fractions) in both models: equal sums are a tie, sums that differ by less
than the rounding of a running total are a matter of precision, others of the scores themselves. BPE is replayed merge
by merge: the first one that the other side's cuts do not allow shows where the orders part.
"""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from tokenizer_lab.causes.place import Cause, Place, Side, Token, quoted, shown
from tokenizer_lab.tokenizer import Kind, Tokenizer

TICKS = 10_000
_FREE = (Kind.NORMAL, Kind.USER_DEFINED, Kind.UNUSED, Kind.CONTROL)
SAME_SCORE = 1e-5
"""Two scores that differ by a smaller part are one number in two precisions."""


class Known:
    """What a tokenizer's table says of pieces, found by the bytes they stand for."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        table = tokenizer.vocabulary
        self.by_piece = {piece: id for id, piece in reversed(list(enumerate(table.pieces))) if piece}
        self.by_bytes = {table.token_bytes[id]: id for id in reversed(range(len(table))) if table.kinds[id] in _FREE}

    def id_of(self, token: Token) -> int | None:
        """The id of another side's token here: the same piece, else one that stands for the same bytes."""
        table = self.tokenizer.vocabulary
        for id in (self.by_piece.get(token.piece), self.by_bytes.get(token.spelled)):
            if id is not None and table.kinds[id] in (Kind.NORMAL, Kind.USER_DEFINED):
                return id
        return None

    def score(self, id: int) -> Fraction:
        """The score as this form holds it."""
        assert self.tokenizer.vocabulary.scores is not None
        return self._as_held(float(self.tokenizer.vocabulary.scores[id]))

    def _as_held(self, score: float) -> Fraction:
        if self.tokenizer.format == "plamo2":
            return Fraction(round(score * TICKS), TICKS)
        return Fraction(score)

    def unknown_score(self) -> Fraction:
        """What a character costs that no piece holds."""
        table = self.tokenizer.vocabulary
        assert table.scores is not None
        if self.tokenizer.format == "plamo2":
            return Fraction(-1000)
        kinds = (Kind.NORMAL,) if self.tokenizer.format == "sentencepiece" else tuple(Kind)
        return Fraction(float(table.scores[np.isin(table.kinds, kinds)].min())) - 10

    def sum(self, tokens: tuple[Token, ...]) -> Fraction | None:
        """Score of a way to cut, None where a piece is missing here."""
        total = Fraction(0)
        for token in tokens:
            if token.kind == Kind.BYTE:
                total += self.unknown_score() if token.spelled[0] & 0xC0 != 0x80 else 0
                continue
            id = self.id_of(token)
            if id is None or token.kind == Kind.UNKNOWN:
                return None
            total += self.score(id)
        return total


_KNOWN: dict[str, Known] = {}


def known(tokenizer: Tokenizer) -> Known:
    """The table of a tokenizer, made once; of the last few."""
    if tokenizer.fingerprint not in _KNOWN:
        while len(_KNOWN) >= 4:
            _KNOWN.pop(next(iter(_KNOWN)))
        _KNOWN[tokenizer.fingerprint] = Known(tokenizer)
    return _KNOWN[tokenizer.fingerprint]


def vocabulary(place: Place) -> Cause | None:
    """A piece that one side takes is not in the other's table, may not be chosen there, or has another id."""
    missing = {}
    for name, side, other in (("a", place.a, place.b), ("b", place.b, place.a)):
        table = known(other.tokenizer)
        free = [token for token in side.tokens if token.kind not in (Kind.BYTE, Kind.UNKNOWN)]
        missing[name] = [token for token in free if table.id_of(token) is None]
    found = [(name, tokens) for name, tokens in missing.items() if tokens]
    if found:
        ways = [
            f"{quoted(t.piece for t in tokens)} of {name} {_why_not(place, name, tokens[0])}" for name, tokens in found
        ]
        return Cause("vocabulary", "; ".join(ways), _sizes(place))
    if [(t.spelled, t.start, t.end) for t in place.a.tokens] == [(t.spelled, t.start, t.end) for t in place.b.tokens]:
        ids = [
            (shown(x.piece), x.id, y.id) for x, y in zip(place.a.tokens, place.b.tokens, strict=True) if x.id != y.id
        ]
        rule = "the same pieces have other ids: " + ", ".join(f"`{p}` {x} in a, {y} in b" for p, x, y in ids)
        return Cause("vocabulary", rule, _sizes(place))
    return None


def _why_not(place: Place, name: str, token: Token) -> str:
    other = place.b if name == "a" else place.a
    id = known(other.tokenizer).by_piece.get(token.piece)
    there = "b" if name == "a" else "a"
    if id is None:
        return f"is not in the vocabulary of {there}"
    return f"is of kind {Kind(int(other.tokenizer.vocabulary.kinds[id])).name.lower()} in {there}, which no text gives"


def _sizes(place: Place) -> list[str]:
    return [f"{place.a.tokenizer.vocab_size:,} ids in a, {place.b.tokenizer.vocab_size:,} in b"]


def algorithm(place: Place) -> Cause | None:
    """Pieces chosen by the sum of their scores on one side, by merges on the other."""
    a, b = place.a.tokenizer.algorithm, place.b.tokenizer.algorithm
    if a == b:
        return None
    rule = f"both have all these pieces; a is {a}, b is {b}: scores of a whole way against merges of neighbors"
    if "unigram" not in (a, b):
        rule = f"both have all these pieces; a is {a}, b is {b}"
    return Cause("algorithm", rule)


def scores(place: Place) -> Cause | None:
    """Unigram against Unigram: a tie, the precision of the sums, or other scores."""
    if {place.a.tokenizer.algorithm, place.b.tokenizer.algorithm} != {"unigram"}:
        return None
    sums = [[known(model.tokenizer).sum(way.tokens) for way in (place.a, place.b)] for model in (place.a, place.b)]
    if any(total is None for row in sums for total in row):
        return None
    margin_a, margin_b = sums[0][0] - sums[0][1], sums[1][1] - sums[1][0]  # type: ignore[operator]
    evidence = [
        f"in {name}: {_way(place.a)} = {float(row[0]):.7g}, {_way(place.b)} = {float(row[1]):.7g}"  # type: ignore[arg-type]
        for name, row in zip("ab", sums, strict=True)
    ]
    evidence += [
        f"ties: a takes the {place.a.tokenizer.traits.get('ties', 'first found')}, b the "
        f"{place.b.tokenizer.traits.get('ties', 'first found')}"
    ]
    if margin_a == 0 and margin_b == 0:
        return Cause("tie", "both ways have exactly the same score in both; the rule for ties decides", evidence)
    slack = _slack(place)
    if abs(margin_a) <= slack and abs(margin_b) <= slack:
        evidence.append(
            f"sums differ by {float(margin_a):.3g} in a and {float(-margin_b):.3g} in b; at a running score "
            f"of {_running(place.a):.7g} a 32-bit sum has steps of {_step(place):.3g}"
        )
        how = " and ".join(
            f"{side.tokenizer.traits.get('scores', 'as the file has them')} ({name})"
            for name, side in zip("ab", (place.a, place.b), strict=True)
        )
        return Cause("float precision", f"both ways have nearly the same score; rounding decides: {how}", evidence)
    return _other_scores(place, margin_a, margin_b, evidence)


def _other_scores(place: Place, margin_a: Fraction, margin_b: Fraction, evidence: list[str]) -> Cause | None:
    changed = []
    for token in dict.fromkeys((t.piece, t) for t in (*place.a.tokens, *place.b.tokens) if t.kind != Kind.BYTE):
        x, y = (known(side.tokenizer).id_of(token[1]) for side in (place.a, place.b))
        if x is None or y is None:
            continue
        one, two = float(known(place.a.tokenizer).score(x)), float(known(place.b.tokenizer).score(y))
        if not math.isclose(one, two, rel_tol=SAME_SCORE, abs_tol=1e-4):
            changed.append(f"`{shown(token[0])}` {one:.6g} in a, {two:.6g} in b")
    unknown = [float(known(side.tokenizer).unknown_score()) for side in (place.a, place.b)]
    if unknown[0] != unknown[1] and (place.a.has(Kind.BYTE) or place.b.has(Kind.BYTE)):
        changed.append(f"an unknown character {unknown[0]:.6g} in a, {unknown[1]:.6g} in b")
    if not changed or margin_a < 0 or margin_b < 0:
        return None
    return Cause("scores", "each side takes what scores best with it: " + ", ".join(dict.fromkeys(changed)), evidence)


def _way(side: Side) -> str:
    return quoted(token.piece for token in side.tokens)


def _running(side: Side) -> float:
    """Score of all that lies before the place."""
    unknown = float(known(side.tokenizer).unknown_score()) * side.unknown_before if side.unknown_before else 0.0
    return side.score_before + unknown


def _step(place: Place) -> float:
    """The distance of 32-bit numbers at the running score."""
    return float(np.spacing(np.float32(max(1.0, abs(_running(place.a)), abs(_running(place.b))))))


def _slack(place: Place) -> Fraction:
    """How far rounding can move the difference of two sums here: half a step of a 32-bit total at each addition, or a
    tick for each score that PLaMo-2 rounds."""
    rounded = "plamo2" in (place.a.tokenizer.format, place.b.tokenizer.format)
    tokens = len(place.a.tokens) + len(place.b.tokens)
    return tokens * (Fraction(_step(place)) + (Fraction(1, TICKS) if rounded else 0))


Rank = Callable[[bytes, bytes], float | None]
"""(left, right) -> priority of joining them, lower first; None where they are never joined."""


def rank_of(tokenizer: Tokenizer) -> Rank:
    """The merge order of a BPE tokenizer: its list of merges, its scores (SentencePiece), or its ids (tiktoken)."""
    listed = getattr(tokenizer, "merge_ranks", None)
    if listed is not None:
        return lambda left, right: listed.get((left, right))
    table = tokenizer.vocabulary
    ids = known(tokenizer).by_bytes

    def rank(left: bytes, right: bytes) -> float | None:
        id = ids.get(left + right)
        if id is None or table.kinds[id] == Kind.CONTROL:
            return None
        return -float(table.scores[id]) if table.scores is not None else float(id)

    return rank


def merges(place: Place) -> Cause | None:
    """BPE against BPE: the first merge of each side that the other side's cuts do not allow."""
    tokenizers = (place.a.tokenizer, place.b.tokenizer)
    if any(t.algorithm not in ("bpe", "byte-bpe") for t in tokenizers) or place.a.spelled != place.b.spelled:
        return None
    ranks = [rank_of(tokenizer) for tokenizer in tokenizers]
    parts = [_units(place.a.spelled, tokenizer.algorithm == "byte-bpe") for tokenizer in tokenizers]
    whole = _whole_looked_up(place, ranks, parts)
    if whole:
        return whole
    told = []
    for name, rank, units, other in (("a", ranks[0], parts[0], place.b), ("b", ranks[1], parts[1], place.a)):
        join = _first_across(units, rank, _lengths(other))
        if join:
            there = ranks[1 if name == "a" else 0](*join[:2])
            of = "b" if name == "a" else "a"
            against = f"{of} has no such merge" if there is None else f"in {of} it comes {there:g}"
            told.append(f"{name} joins `{shown(join[0])}` + `{shown(join[1])}` (order {join[2]:g}; {against})")
    if not told:
        return None
    return Cause("merges", "the order of merges differs: " + "; ".join(told))


def _whole_looked_up(place: Place, ranks: list[Rank], parts: list[list[bytes]]) -> Cause | None:
    """A pre-token found whole in the vocabulary on one side only (``ignore_merges``)."""
    for name, side, rank, units in (("a", place.a, ranks[0], parts[0]), ("b", place.b, ranks[1], parts[1])):
        merged = [piece for piece, _, _ in _replay(units, rank)][-1:]
        if len(side.tokens) == 1 and merged != [side.spelled] and side.tokenizer.traits.get("ignore_merges"):
            rule = f"{name} looks a whole pre-token up before it merges: `{shown(side.spelled)}` is one"
            return Cause("merges", rule, [f"the merges of {name} do not lead to it"])
    return None


def _units(spelled: bytes, by_byte: bool) -> list[bytes]:
    if by_byte:
        return [bytes([byte]) for byte in spelled]
    return [character.encode() for character in spelled.decode("utf-8", "replace")]


def _lengths(side: Side) -> set[int]:
    """Where the tokens of a side end, in the bytes they spell."""
    return set(np.cumsum([len(token.spelled) for token in side.tokens]).tolist())


def _replay(units: list[bytes], rank: Rank) -> list[tuple[bytes, int, tuple[bytes, bytes, float]]]:
    """The merges in order: (result, where its two parts meet, (left, right, rank))."""
    units = list(units)
    done: list[tuple[bytes, int, tuple[bytes, bytes, float]]] = []
    while True:
        found = [(r, i) for i in range(len(units) - 1) if (r := rank(units[i], units[i + 1])) is not None]
        if not found:
            return done
        best, i = min(found)
        meet = sum(map(len, units[: i + 1]))
        done.append((units[i] + units[i + 1], meet, (units[i], units[i + 1], best)))
        units[i : i + 2] = [units[i] + units[i + 1]]


def _first_across(units: list[bytes], rank: Rank, ends: set[int]) -> tuple[bytes, bytes, float] | None:
    """The first merge over a place where the other side ends a token."""
    return next((join for _, meet, join in _replay(units, rank) if meet in ends), None)
