"""Causes in the pre-tokens: one side's piece lies across a place where the other side always cuts."""

from itertools import pairwise
from typing import Any

from tokenizer_lab.causes.place import Cause, Place, quoted
from tokenizer_lab.kernels.patterns import PATTERNS, pattern_name
from tokenizer_lab.tokenizer import Tokenizer

_SHOWN_CHARS = 120


def pre_token_ends(tokenizer: Tokenizer, text: bytes) -> set[int] | None:
    """Where the pre-tokens of a text end (bytes of the raw text), None where the tokenizer can't tell."""
    method = getattr(tokenizer, "pre_token_ends", None)
    if method is not None:
        return method(text)
    expressions = patterns_of(tokenizer)
    if len(expressions) != 1:
        return None
    import pyarrow as pa

    from tokenizer_lab.kernels.pretokenize import split

    _, ends = split(pa.array([text.decode()], pa.large_string()), expressions[0])
    return {int(end) for end in ends}


def patterns_of(tokenizer: Tokenizer) -> list[str]:
    """The regular expressions that cut text, from the traits."""
    found: Any = tokenizer.traits.get("pattern") or []
    found = [found] if isinstance(found, str | dict) else found
    words = [next(iter(each.values())) if isinstance(each, dict) else each for each in found]
    if tokenizer.algorithm != "byte-bpe":
        words = [word for word in words if word != "none"]
    return [PATTERNS.get(word, word) for word in words]


def pattern(place: Place) -> Cause | None:
    """The pre-tokens end at other places, and a piece shows it."""
    ends_a, ends_b = (pre_token_ends(side.tokenizer, place.text) for side in (place.a, place.b))
    inside = range(place.start + 1, place.end)
    crossed_a = {end for end in (ends_b or set()) - (ends_a or set()) if end in inside} - place.a.ends()
    crossed_b = {end for end in (ends_a or set()) - (ends_b or set()) if end in inside} - place.b.ends()
    if not crossed_a and not crossed_b:
        return None
    evidence = [
        f"pre-tokens of {name}: {_pieces(place, ends)}"
        for name, ends in (("a", ends_a), ("b", ends_b))
        if ends is not None
    ]
    across = f"a piece of {'a' if crossed_a else 'b'} lies across a cut of {'b' if crossed_a else 'a'}"
    return _named(place, across, evidence)


def _named(place: Place, across: str, evidence: list[str]) -> Cause:
    a, b = (patterns_of(side.tokenizer) for side in (place.a, place.b))
    engines = [side.tokenizer.traits.get("regex", "unnamed") for side in (place.a, place.b)]
    evidence = [*evidence, f"a: {_described(place.a.tokenizer, a)}", f"b: {_described(place.b.tokenizer, b)}"]
    if a and a == b and engines[0] != engines[1]:
        rule = f"{across}: the same regular expression in two dialects, {engines[0]} and {engines[1]}"
        if "}+" in a[0]:
            rule += "; `{1,3}+` takes what it can and gives nothing back in one, and is a repeat in the other"
        return Cause("regex dialect", rule, evidence)
    if a and a == b:
        classes = [place.a.tokenizer.traits.get("unicode"), place.b.tokenizer.traits.get("unicode")]
        rule = (
            f"{across}: the same regular expression with the character classes of Unicode {classes[0]} and {classes[1]}"
        )
        return Cause("unicode version", rule, evidence)
    return Cause("pattern", f"{across}: text is cut by other rules", evidence)


def _pieces(place: Place, ends: set[int]) -> str:
    """The pre-tokens that the place lies in, whole."""
    first = max((end for end in ends if end <= place.start), default=0)
    last = min((end for end in ends if end >= place.end), default=len(place.text))
    cuts = sorted({first, last} | {end for end in ends if first < end < last})
    return quoted(place.text[x:y] for x, y in pairwise(cuts))


def _described(tokenizer: Tokenizer, patterns: list[str]) -> str:
    if not patterns:
        steps = tokenizer.traits.get("pre_tokenizer", "none")
        return "no pre-tokenizer" if steps == "none" else f"pre-tokenizer {steps}"
    name = pattern_name(patterns[0])
    text = patterns[0] if len(patterns[0]) <= _SHOWN_CHARS else patterns[0][:_SHOWN_CHARS] + "…"
    return f"pattern {name}" if name else f"pattern {text}"
