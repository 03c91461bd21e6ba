"""Regular expressions that cut text before byte-level BPE, by name.

``gpt2`` and ``cl100k`` and ``o200k`` are those of openai/tiktoken 0.14 (tiktoken_ext/openai_public.py), ``llama3`` is
the one in the ``tokenizer.json`` of Llama 3, which older versions of tiktoken had for cl100k: it differs where a text
ends in white space with a line end in it. ``none`` cuts behind line feeds alone.

``ja`` is ours: kanji, hiragana, katakana, other letters (with the one space before them), numbers, the rest and white
space never share a piece; ー 々 ゛ ゜ and combining marks stay with the letters they follow. It spells out the ranges
of the scripts, for engines have other names and other versions of them, and uses no possessive ``{1,3}+``, which is a
repeat in Oniguruma. So tiktoken, tokenizers (``Split``, behavior ``isolated``) and Python's ``regex`` read it alike, as
long as they share a Unicode version. ``ja-okurigana`` keeps hiragana with the kanji before it.

Each name but gpt2 and none has three ways with digits: ``NAME`` at most three in a piece, ``NAME-single`` one each,
``NAME-uncut`` all.
"""

import re
from functools import cache
from itertools import product
from typing import Any

from jacorpus.errors import InputError, nearest

DIGITS = {"three": "", "single": "-single", "uncut": "-uncut"}
"""Setting ``digits`` of training -> end of a pattern's name."""

KANJI = "々-〇〻㐀-䶿一-鿿豈-\ufaff\U00020000-\U0003fffd"
HIRAGANA = "ぁ-ゖゝ-ゟ"
KATAKANA = "ァ-ヺー-ヿㇰ-ㇿｦ-ﾟ"
TAIL = r"ー々゛゜\p{M}"
"""What stays with the letters before it, whatever their script."""

_JAPANESE = KANJI + HIRAGANA + KATAKANA
_NOT_OTHER = _JAPANESE.replace("々-〇", "〆-〇").replace("ー-ヿ", "ヽ-ヿ")
_END = r"\s*[\r\n]+|\s+(?!\S)|\s+"


def _cl100k(numbers: str) -> str:
    return (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|"
        + numbers
        + r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
    )


def _llama3(numbers: str) -> str:
    return r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|" + numbers + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|" + _END


def _o200k(numbers: str) -> str:
    upper, lower = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
    before, behind = r"[^\r\n\p{L}\p{N}]?", r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    words = f"{before}{upper}*{lower}+{behind}|{before}{upper}+{lower}*{behind}"
    return words + "|" + numbers + r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + _END


def _ja(numbers: str, okurigana: str = "") -> str:
    return "|".join(
        [
            "'(?:[sdmtSDMT]|[lL][lL]|[vV][eE]|[rR][eE])",
            f"[{KANJI}][{KANJI}{TAIL}]*{okurigana}",
            f"[{HIRAGANA}][{HIRAGANA}{TAIL}]*",
            f"[{KATAKANA}][{KATAKANA}{TAIL}]*",
            rf" ?[^\P{{L}}{_JAPANESE}](?:[^\P{{L}}{_NOT_OTHER}]|[゛゜\p{{M}}])*",
            numbers,
            r" ?[^\s\p{L}\p{N}]+[\r\n]*",
            # Only letters of other scripts and the rest want the last space of a run.
            rf"\s*[\r\n]+|\s++(?![^\p{{N}}{_JAPANESE}])|\s+(?!\S)|\s+",
        ]
    )


def _patterns() -> dict[str, str]:
    made = {
        "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
        "none": r"[^\n]*\n|[^\n]+",
    }
    plain = {"three": r"\p{N}{1,3}", "single": r"\p{N}", "uncut": r"\p{N}+"}
    for (digits, end), name in product(DIGITS.items(), ("cl100k", "llama3", "o200k", "ja", "ja-okurigana")):
        numbers = plain[digits]
        if name == "cl100k":
            made[name + end] = _cl100k(numbers + "+" * (digits != "single"))
        elif name == "llama3":
            made[name + end] = _llama3(numbers)
        elif name == "o200k":
            made[name + end] = _o200k(numbers)
        else:
            made[name + end] = _ja(numbers, f"[{HIRAGANA}{TAIL}]*" if name == "ja-okurigana" else "")
    return made


PATTERNS: dict[str, str] = _patterns()
"""Name -> regular expression as tiktoken takes it."""

_SAME = {
    r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""": "gpt2",
    r"""'s|'t|'re|'ve|'m|'ll|'d| ?[\p{L}]+| ?[\p{N}]+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""": "gpt2",
}
"""Other published spellings (openai/gpt-2 encoder.py) that cut alike."""


_PARTS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)
"""An escaped character, a class in brackets, or any character."""


def pattern_name(pattern: str) -> str | None:
    """The name of a pattern given by name or as a regular expression that is spelled as here; None for others."""
    if pattern in PATTERNS:
        return pattern
    names = {expression: name for name, expression in PATTERNS.items()} | _SAME
    return names.get(pattern)


def with_digits(name: str, digits: str) -> str:
    """Name of the pattern that cuts numbers in this way (a key of DIGITS). Raises InputError where there is none.

    >>> with_digits("ja", "single")
    'ja-single'
    """
    if name not in PATTERNS:
        raise InputError(f"pattern `{name}` is unknown{nearest(name, PATTERNS)}")
    wanted = name + DIGITS[digits]
    if wanted in PATTERNS:
        return wanted
    if digits == "uncut":
        return name
    raise InputError(f"pattern `{name}` leaves numbers uncut; choose digits = uncut or another pattern")


def for_python(pattern: str) -> str:
    """The pattern (name or expression) for Python's ``regex``, to which ``$`` may also stand before a last line end."""
    pattern = PATTERNS.get(pattern, pattern)
    return "".join(r"\Z" if part == "$" else part for part in _PARTS.findall(pattern))


@cache
def compiled(pattern: str) -> Any:
    """The pattern (name or expression) compiled by Python's ``regex``. Raises InputError where it is no expression."""
    import regex

    if pattern not in PATTERNS and re.fullmatch(r"[\w-]+", pattern):
        raise InputError(f"pattern `{pattern}` is unknown{nearest(pattern, PATTERNS)}")
    try:
        return regex.compile(for_python(pattern))
    except (regex.error, ValueError) as error:
        raise InputError(f"pattern `{pattern}` is no name and no regular expression ({error})") from error
