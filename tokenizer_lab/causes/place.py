"""The first place where two tokenizers cut one text differently, and what each does there.

Legend: a and b are the two tokenizers; places are bytes of the raw text.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from tokenizer_lab.tokenizer import Kind, SpecialText, Tokenizer, Vocabulary

CONTEXT_BYTES = 48
SAME_SHARE = 0.9
"""Vocabularies of which at least this share has the same piece at the same id are numbered alike: ids compare."""


@dataclass(frozen=True)
class Token:
    """One token in its place: bytes [start, end) of the raw text."""

    id: int
    piece: bytes
    spelled: bytes  # as decoded; of an unknown token the raw text it stands for
    start: int
    end: int
    kind: Kind
    score: float | None

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "piece": shown(self.piece),
            "bytes": [self.start, self.end],
            "kind": self.kind.name.lower(),
            "score": self.score,
        }


@dataclass(frozen=True)
class Side:
    """What one tokenizer does at the place.

    score_before: sum of the scores of the pieces before it (0 without); unknown_before: characters before it that no
    piece holds.
    """

    tokenizer: Tokenizer
    tokens: tuple[Token, ...]
    first: int  # number of the first of them in the text
    score_before: float
    unknown_before: int

    @property
    def spelled(self) -> bytes:
        """The bytes that the tokens decode to."""
        return b"".join(token.spelled for token in self.tokens)

    def ends(self) -> set[int]:
        """Where its tokens end."""
        return {token.end for token in self.tokens}

    def has(self, kind: Kind) -> bool:
        return any(token.kind == kind for token in self.tokens)


@dataclass(frozen=True)
class Place:
    """The stretch [start, end) of the raw text between two cuts that both sides share."""

    text: bytes
    start: int
    end: int
    a: Side
    b: Side
    special_text: SpecialText = "text"

    @property
    def raw(self) -> bytes:
        return self.text[self.start : self.end]

    def around(self) -> tuple[str, str]:
        """A little text before and behind the place."""
        before = self.text[max(0, self.start - CONTEXT_BYTES) : self.start]
        return before.decode("utf-8", "ignore"), self.text[self.end : self.end + CONTEXT_BYTES].decode(
            "utf-8", "ignore"
        )


@dataclass(frozen=True)
class Cause:
    """name: one of explain.CAUSES. rule: one sentence. evidence: what was looked up to say so."""

    name: str
    rule: str
    evidence: list[str] = field(default_factory=list)


def shown(piece: bytes) -> str:
    """A piece for people: text where it is text, else hex bytes."""
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return "".join(f"\\x{byte:02x}" for byte in piece)


def quoted(pieces: Any) -> str:
    """Pieces in a row, each in quotation marks."""
    return " ".join(f"`{shown(piece)}`" for piece in pieces)


def numbered_alike(a: Tokenizer, b: Tokenizer) -> bool:
    """Whether an id means the same in both."""
    if a.fingerprint == b.fingerprint:
        return True
    size = min(a.vocab_size, b.vocab_size)
    if size < SAME_SHARE * max(a.vocab_size, b.vocab_size):
        return False
    same = sum(x == y for x, y in zip(a.vocabulary.pieces, b.vocabulary.pieces, strict=False))
    return same >= SAME_SHARE * size


def tokens_of(tokenizer: Tokenizer, text: bytes, special_text: SpecialText) -> list[Token]:
    """The tokens of a text in their places."""
    array = pa.array([text.decode()], pa.large_string())
    encoding = tokenizer.encode_with_offsets(array)
    ids = encoding.tokens[0].as_py()
    starts, ends = encoding.starts[0].as_py(), encoding.ends[0].as_py()
    if special_text == "ids":
        found = tokenizer.encode(array, "ids")[0].as_py()
        if found != ids:
            ids, (starts, ends) = found, _searched(tokenizer, text, found)
    table = tokenizer.vocabulary
    return [
        Token(
            id,
            table.pieces[id],
            text[start:end] if table.kinds[id] == Kind.UNKNOWN else _spelled(table, id),
            start,
            end,
            Kind(int(table.kinds[id])),
            None if table.scores is None else float(table.scores[id]),
        )
        for id, start, end in zip(ids, starts, ends, strict=True)
    ]


def _spelled(table: Vocabulary, id: int) -> bytes:
    """The bytes a token stands for; some files leave ``<0x41>`` as it is when they decode."""
    piece = table.pieces[id]
    if table.kinds[id] == Kind.BYTE and len(piece) == 6 and piece.startswith(b"<0x"):
        return bytes([int(piece[3:5], 16)])
    return table.token_bytes[id]


def _searched(tokenizer: Tokenizer, text: bytes, ids: list[int]) -> tuple[list[int], list[int]]:
    """Places of tokens by looking for each behind the one before, special tokens by their names.

    An unknown token reaches to the one that is found behind it.
    """
    table = tokenizer.vocabulary
    names = {id: name.encode() for name, id in table.specials.items()}
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for i, id in enumerate(ids):
        open_end = bool(i) and ids[i - 1] == table.unknown_id and ends[-1] == starts[-1]
        found, size = _found(text, at, (names.get(id) or table.token_bytes[id], table.pieces[id]), open_end)
        if open_end:
            ends[-1] = found
        starts.append(found)
        at = found + size
        ends.append(at)
    if ids and ids[-1] == table.unknown_id and ends[-1] == starts[-1]:
        ends[-1] = len(text)
    return starts, ends


def _found(text: bytes, at: int, forms: tuple[bytes, bytes], behind_unknown: bool) -> tuple[int, int]:
    """(place, bytes) of a token, as decoded or as the file has it; one that is not found, and a space that was put in,
    take no bytes."""
    for form in forms:
        if form and text.startswith(form, at):
            return at, len(form)
    decoded = forms[0]
    if decoded[:1] == b" " and not behind_unknown and text.startswith(decoded[1:], at):
        return at, len(decoded) - 1
    ahead = [(text.find(form, at, at + len(form) + CONTEXT_BYTES), len(form)) for form in forms if form]
    return min((each for each in ahead if each[0] >= 0), default=(at, 0))


def places(
    a: Tokenizer, b: Tokenizer, text: str, special_text: SpecialText = "text", alike: bool | None = None
) -> Iterator[Place]:
    """Where the two part, each place up to the next cut that both share; nothing where they do not.

    Ids are compared where both number alike, else the bytes that tokens stand for; spaces of two files also by where
    they end, for one side's prefix equals the other side's first space.
    """
    raw = text.encode()
    listed_a, listed_b = tokens_of(a, raw, special_text), tokens_of(b, raw, special_text)
    alike = numbered_alike(a, b) if alike is None else alike
    keys_a, keys_b = ([_key(t, alike) for t in listed] for listed in (listed_a, listed_b))
    bare_a, bare_b = (
        [key if t.kind != Kind.UNKNOWN else t.kind for key, t in zip(keys, listed, strict=True)]
        for keys, listed in ((keys_a, listed_a), (keys_b, listed_b))
    )
    if bare_a == bare_b:
        return
    if a.fingerprint != b.fingerprint:
        keys_a, keys_b = (
            [(key, token.end if token.spelled.isspace() else 0) for key, token in zip(keys, listed, strict=True)]
            for keys, listed in ((keys_a, listed_a), (keys_b, listed_b))
        )
    i, k = 0, 0
    while i < len(keys_a) or k < len(keys_b):
        if i < len(keys_a) and k < len(keys_b) and keys_a[i] == keys_b[k]:
            i, k = i + 1, k + 1
            continue
        i_end, k_end = _next_shared(listed_a, listed_b, i, k)
        if bare_a[i:i_end] == bare_b[k:k_end]:  # the same tokens, whose places the sides count otherwise
            i, k = i_end, k_end
            continue
        here = [*listed_a[i:i_end], *listed_b[k:k_end]]
        start, end = min(t.start for t in here), max(t.end for t in here)
        if not raw[start:end].strip() or i == i_end or k == k_end:  # show what was dropped before it
            start = min(start, listed_a[i - 1].end if i else 0)
        yield Place(raw, start, end, _side(a, listed_a, i, i_end), _side(b, listed_b, k, k_end), special_text)
        i, k = i_end, k_end


def _key(token: Token, alike: bool) -> Any:
    if token.kind == Kind.UNKNOWN:  # one id may stand for a character or for a run of them
        return token.kind, token.start, token.end
    return token.id if alike else token.spelled


def _next_shared(a: list[Token], b: list[Token], i: int, k: int) -> tuple[int, int]:
    """(i_end, k_end): tokens i..i_end of one and k..k_end of the other end at the same byte."""
    if i >= len(a) or k >= len(b):
        return len(a), len(b)
    i, k = i + 1, k + 1
    while a[i - 1].end != b[k - 1].end:
        if a[i - 1].end < b[k - 1].end:
            if i == len(a):
                return i, len(b)
            i += 1
        else:
            if k == len(b):
                return len(a), k
            k += 1
    return _behind(a, i), _behind(b, k)


def _behind(tokens: list[Token], i: int) -> int:
    """Past tokens that end where the one before does: bytes of one character whose places are not told apart."""
    while i < len(tokens) and tokens[i].end == tokens[i - 1].end:
        i += 1
    return i


def _side(tokenizer: Tokenizer, tokens: list[Token], first: int, last: int) -> Side:
    unknown = [t for t in tokens[:first] if t.kind in (Kind.BYTE, Kind.UNKNOWN)]
    number = sum(t.kind == Kind.UNKNOWN or t.spelled[0] & 0xC0 != 0x80 for t in unknown)
    score = sum(t.score or 0.0 for t in tokens[:first] if t.kind not in (Kind.BYTE, Kind.UNKNOWN))
    return Side(tokenizer, tuple(tokens[first:last]), first, float(score), number)
