"""What a character, a line, a sentence and an n-gram are: plain Python, the truth that kernels are tested against.

Characters are code points. Sets of characters are given as ranges of hexadecimal code points, so that
nothing depends on the Unicode version of the Python in use.
"""

import re
import string


def code_points(ranges: str) -> frozenset[int]:
    """The code points of a list like ``"3041-3096 30FC"``, ends included.

    >>> sorted(map(chr, code_points("3041-3043 3046")))
    ['ぁ', 'あ', 'ぃ', 'う']
    """
    points: set[int] = set()
    for part in ranges.split():
        first, _, last = part.partition("-")
        points.update(range(int(first, 16), int(last or first, 16) + 1))
    return frozenset(points)


def characters(text: str) -> frozenset[int]:
    """The code points of a string of characters."""
    return frozenset(map(ord, text))


# Swallow's classes (swallow-corpus 2d03507). The long mark U+30FC and half-width kana are in none of them.
# Deviation: ideographs of planes 2 and 3 count as kanji, as was meant there (its regex looks for surrogates,
# which a Python string does not hold).
HIRAGANA = code_points("3041-3096")
KATAKANA = code_points("30A1-30FA")
KANJI = code_points("3005 3007 303B 3400-9FFF F900-FAFF 20000-3FFFF")
JAPANESE_MARKS = characters("、，。．！？")
JAPANESE = HIRAGANA | KATAKANA | KANJI | JAPANESE_MARKS

HIRAGANA_BLOCK = code_points("3040-309F")
"""Uzushio's hiragana: the whole Unicode block."""

HEAD_KANA = code_points("3041-3093 30A1-30F3")
"""HojiChar's kana (ぁ-ん, ァ-ン), looked for in the first HEAD_CHARS characters."""
HEAD_CHARS = 50

SENTENCE_ENDS = characters("。．！？!?")
ELLIPSIS_ENDS = characters("・…")

WHITE_SPACE = code_points("9-D 1C-20 85 A0 1680 2000-200A 2028-2029 202F 205F 3000")
"""What ``str.strip`` takes away."""

LINE_ENDS = characters('.!?。．！？｡‼‽⁇⁈⁉﹒﹖﹗"”')
"""Marks that end a line of prose: Unicode's Sentence_Terminal and closing double quotes, as in datatrove's
list for FineWeb-2. Deviation: marks of scripts that don't occur beside Japanese are left out."""

STOP_CHARS = "のにをはたてがとで年し・月れさ"
"""The stop words of fineweb2-jpn (huggingface/fineweb-2 d0defb2); each is one character."""

SHORT_LINE_CHARS = 10
BULLETS = characters("•-")

# HojiChar's special characters (3ca1d27, DiscardTooManySpecialToken): ASCII punctuation and white space, its
# symbols, and each emoji that is one code point. The symbols go back to BigScience's filters and hold a few
# letters and a digit (士, １, π) that we keep because the published threshold was set with them. Emoji: those of
# Unicode 17; sequences are never matched there, since it looks at single characters.
_SYMBOLS = (
    "81-85 91-93 95-99 9C-9D A1-A8 AA-AB AD AF-B4 B7-BF D7 F7-F8 131 26A 2BA-2BC 2C8 2CC 2D0 2D8 2DA 2DC 3C0 "
    "413 60C 647 66A 66C 6E9 93E 940 947 94D 97D 9BE E51 2002-2003 2005 2008-200B 2010-2011 2013-2016 "
    "2018-201A 201C-2020 2022 2024 2026 202F-2030 2032-2033 2039-203A 203F 2043-2044 20A8 20AA 20AC 2103 21D3 "
    "2206 2208 2212 221A 221E-221F 2248 2256 2264-2265 2295 22C5 2550 25A0 25AC 25B2 25B4 25B7 25BA-25BC 25C6 "
    "25CF 25E6 2605-2606 261B 263B 2661 266B 2713 2726 2731 2756 27A4 27A9 2800 3000-3002 300A-300D 3010-3011 "
    "309C 58EB FD3E-FD3F FEFF FF01 FF08-FF09 FF0C FF0E FF11 FF1A-FF1B FF1F FF3E FF5E FFFC-FFFD"
)
_EMOJI = (
    "A9 AE 203C 2049 2122 2139 2194-2199 21A9-21AA 231A-231B 2328 23CF 23E9-23F3 23F8-23FA 24C2 25AA-25AB 25B6 "
    "25C0 25FB-25FE 2600-2604 260E 2611 2614-2615 2618 261D 2620 2622-2623 2626 262A 262E-262F 2638-263A 2640 "
    "2642 2648-2653 265F-2660 2663 2665-2666 2668 267B 267E-267F 2692-2697 2699 269B-269C 26A0-26A1 26A7 "
    "26AA-26AB 26B0-26B1 26BD-26BE 26C4-26C5 26C8 26CE-26CF 26D1 26D3-26D4 26E9-26EA 26F0-26F5 26F7-26FA 26FD "
    "2702 2705 2708-270D 270F 2712 2714 2716 271D 2721 2728 2733-2734 2744 2747 274C 274E 2753-2755 2757 "
    "2763-2764 2795-2797 27A1 27B0 27BF 2934-2935 2B05-2B07 2B1B-2B1C 2B50 2B55 3030 303D 3297 3299 1F004 "
    "1F0CF 1F170-1F171 1F17E-1F17F 1F18E 1F191-1F19A 1F201-1F202 1F21A 1F22F 1F232-1F23A 1F250-1F251 "
    "1F300-1F321 1F324-1F393 1F396-1F397 1F399-1F39B 1F39E-1F3F0 1F3F3-1F3F5 1F3F7-1F4FD 1F4FF-1F53D "
    "1F549-1F54E 1F550-1F567 1F56F-1F570 1F573-1F57A 1F587 1F58A-1F58D 1F590 1F595-1F596 1F5A4-1F5A5 1F5A8 "
    "1F5B1-1F5B2 1F5BC 1F5C2-1F5C4 1F5D1-1F5D3 1F5DC-1F5DE 1F5E1 1F5E3 1F5E8 1F5EF 1F5F3 1F5FA-1F64F "
    "1F680-1F6C5 1F6CB-1F6D2 1F6D5-1F6D9 1F6DC-1F6E5 1F6E9 1F6EB-1F6EC 1F6F0 1F6F3-1F6FC 1F7E0-1F7EB 1F7F0 "
    "1F90C-1F93A 1F93C-1F945 1F947-1F9FF 1FA70-1FA7C 1FA80-1FAC6 1FAC8 1FACC-1FADD 1FADF-1FAEB 1FAEF-1FAFA"
)
SPECIAL = characters(string.punctuation + string.whitespace) | code_points(_SYMBOLS) | code_points(_EMOJI)

_SENTENCE = re.compile("[^。．！？!?]+[。．！？!?]?")


def lines(text: str, split: str = "lf") -> list[str]:
    """Lines of a text: split at each LF (``lf``) or at each run of LF (``lf_run``, FineWeb-2).

    Blank lines count; an empty text has none.

    >>> lines("あ\\n\\nい\\n"), lines("あ\\n\\nい\\n", "lf_run")
    (['あ', '', 'い', ''], ['あ', 'い', ''])
    """
    if not text:
        return []
    return text.split("\n") if split == "lf" else re.split("\n+", text)


def sentences(text: str) -> list[str]:
    """Sentences of a text (Swallow): in each line, runs of other characters with at most one end mark.

    Marks with no character before them belong to no sentence.

    >>> sentences("行く！？\\nえっ。行かない")
    ['行く！', 'えっ。', '行かない']
    """
    return [sentence for line in text.split("\n") for sentence in _SENTENCE.findall(line)]


def ngrams(text: str, n: int) -> list[str]:
    """The n-grams of characters of a text, in order: ``len(text) - n + 1`` of them, none when it is shorter.

    >>> ngrams("いろは", 2)
    ['いろ', 'ろは']
    """
    return [text[i : i + n] for i in range(len(text) - n + 1)]
