"""Causes before any cut: the two sides do not see the same text.

Each function looks at one place and names a cause with its evidence, or gives None.
"""

import unicodedata
from collections.abc import Callable
from functools import partial

from tokenizer_lab.causes.place import Cause, Place, Side, Token, shown, tokens_of
from tokenizer_lab.tokenizer import Kind, Tokenizer

_BLANKS = b" \t\r\n"

FORMS: dict[str, Callable[[str], str]] = {
    "the text as it is": lambda text: text,
    "NFC": partial(unicodedata.normalize, "NFC"),
    "NFKC": partial(unicodedata.normalize, "NFKC"),
    "NFD": partial(unicodedata.normalize, "NFD"),
    "NFKD": partial(unicodedata.normalize, "NFKD"),
    "U+2581 as a space": lambda text: text.replace("\u2581", " "),
    "lower case": str.lower,
    "NFKC in lower case": lambda text: unicodedata.normalize("NFKC", text).lower(),
    "NFD without marks": lambda text: "".join(
        c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn"
    ),
}
"""What a normalizer may do, tried on the place to name it."""

OLD = "ｱ Ａ ① ㈱ ㍻ ﬁ ² ℃ Ⅳ ｶﾞ か\u3099 É ½"
"""Characters that every version of Unicode normalizes alike: who agrees on these has the same normalizer."""


def specials(place: Place) -> Cause | None:
    """A string in the text is one special or added token, or the name of a byte token, for one side only."""
    for side, other in ((place.a, place.b), (place.b, place.a)):
        for token in side.tokens:
            if (
                token.kind == Kind.BYTE
                and place.text[token.start : token.end] == token.piece
                and token not in other.tokens
            ):
                rule = f"{_name(place, side)} takes the string `{shown(token.piece)}` in the text for its byte token "
                return Cause("specials", f"{rule}{token.id}, {_name(place, other)} for plain text", _spellings(place))
            named = token.kind == Kind.UNKNOWN and place.text[token.start : token.end] == token.piece
            if not named and token.kind not in (Kind.CONTROL, Kind.USER_DEFINED):
                continue
            same = [t for t in other.tokens if t.kind == token.kind and t.piece == token.piece]
            if any(not named or t.end == token.end for t in same):
                continue
            what = "added (user-defined)" if token.kind == Kind.USER_DEFINED else "special"
            rule = f"`{shown(token.piece)}` in the text is the {what} token {token.id} for {_name(place, side)}, "
            return Cause(
                "specials", rule + f"and plain text for {_name(place, other)}", [_in_table(place, other, token)]
            )
    return None


def _in_table(place: Place, side: Side, token: Token) -> str:
    table = side.tokenizer.vocabulary
    if token.piece not in table.pieces:
        return f"{_name(place, side)} has no entry `{shown(token.piece)}`"
    id = table.pieces.index(token.piece)
    kind = Kind(int(table.kinds[id])).name.lower()
    return f"{_name(place, side)} has `{shown(token.piece)}` as id {id} of kind {kind}"


def unknown(place: Place) -> Cause | None:
    """What no piece holds: bytes, the unknown id, or one unknown id for a whole run."""
    for side, other in ((place.a, place.b), (place.b, place.a)):
        if not side.has(Kind.UNKNOWN):
            continue
        lost = f"{_name(place, side)} can't write `{shown(place.raw)}` and gives its unknown id {_unknown_id(side)}"
        if other.has(Kind.BYTE):
            return Cause("byte fallback", f"{lost}; {_name(place, other)} writes the bytes")
        if not other.has(Kind.UNKNOWN):
            return Cause("vocabulary", f"{lost}; {_name(place, other)} has pieces for it")
    if place.a.has(Kind.UNKNOWN) and _unknowns(place.a) != _unknowns(place.b):
        numbers = f"{_unknowns(place.a)} in a and {_unknowns(place.b)} in b"
        rule = "one side gives a run of unknown characters a single id, the other an id each"
        return Cause("unknown run", rule, [f"unknown ids here: {numbers}"])
    return None


def _unknown_id(side: Side) -> int:
    return next(token.id for token in side.tokens if token.kind == Kind.UNKNOWN)


def _unknowns(side: Side) -> int:
    return sum(token.kind == Kind.UNKNOWN for token in side.tokens)


def prefix(place: Place) -> Cause | None:
    """A space that the text does not have, put before it by one side only."""
    for side, other in ((place.a, place.b), (place.b, place.a)):
        if side.spelled == b" " + other.spelled and not place.raw.startswith(b" " + other.spelled):
            rule = f"{_name(place, side)} puts a space before the text, {_name(place, other)} does not"
            if place.raw.startswith(b" "):
                rule = f"{_name(place, side)} puts a space before the text even where it begins with one"
            if place.start:
                rule = f"{_name(place, side)} puts a space here too, behind `{shown(_before(place))}`"
            return Cause("dummy prefix", rule, _spellings(place))
    return None


def _before(place: Place) -> bytes:
    return place.text[: place.start].decode("utf-8", "ignore")[-12:].encode()


def white_space(place: Place) -> Cause | None:
    """Both sides read the same characters but for spaces, tabs and line ends."""
    a, b = place.a.spelled, place.b.spelled
    if a == b or a.translate(None, _BLANKS) != b.translate(None, _BLANKS):
        return None
    as_it_is = (place.raw, b" " + place.raw if not place.start else place.raw)
    kept = [_name(place, side) for side in (place.a, place.b) if side.spelled in as_it_is]
    rule = f"{kept[0]} keeps white space that the other changes" if len(kept) == 1 else "both change white space"
    return Cause("white space", rule, _spellings(place))


def normalizer(place: Place) -> Cause | None:
    """The sides read other characters: the text was normalized in two ways, or by two versions of one way."""
    if place.a.spelled == place.b.spelled:
        return None
    young = [c for c in place.raw.decode("utf-8", "ignore") if unicodedata.ucd_3_2_0.category(c) == "Cn"]
    agreed = _agreement(place.a.tokenizer, place.b.tokenizer) if young else ""
    if agreed:
        rule = f"both normalize alike, from other versions of Unicode: they part at {_points(young)}, newer than 3.2"
        return Cause("unicode version", rule, [agreed, *_spellings(place)])
    ways = [f"{_name(place, side)} reads {_way(place.raw, side.spelled)}" for side in (place.a, place.b)]
    return Cause("normalizer", "; ".join(ways), _spellings(place))


def _way(raw: bytes, spelled: bytes) -> str:
    """Which of FORMS makes ``spelled`` of ``raw``."""
    text = raw.decode("utf-8", "replace")
    for name, form in FORMS.items():
        if form(text).encode() in (spelled, spelled.removeprefix(b" ")):
            return name if name.startswith(("the", "U")) else f"the text in {name}"
    return f"`{shown(spelled)}` (a form of its own)"


def _agreement(a: Tokenizer, b: Tokenizer) -> str:
    """Says so if both normalize the characters of OLD, and alike; else empty."""
    read_a, read_b = ([_read(tokenizer, word) for word in OLD.split()] for tokenizer in (a, b))
    changed = sum(read != word.encode() for read, word in zip(read_a, OLD.split(), strict=True))
    if read_a != read_b or not changed:
        return ""
    return f"they agree on {len(read_a)} characters of Unicode 3.2, {changed} of which both normalize"


def _read(tokenizer: Tokenizer, word: str) -> bytes:
    spelled = b"".join(token.spelled for token in tokens_of(tokenizer, word.encode(), "text"))
    return spelled.removeprefix(b" ")


def _points(characters: list[str]) -> str:
    return ", ".join(f"U+{ord(c):04X}" for c in dict.fromkeys(characters))


def _spellings(place: Place) -> list[str]:
    read = [f"{_name(place, side)} reads {shown(side.spelled)!r}" for side in (place.a, place.b)]
    return [f"the text has {shown(place.raw)!r}", *read]


def _name(place: Place, side: Side) -> str:
    return "a" if side is place.a else "b"
