"""How numbers are cut: tokens per number of 1 to 12 digits, in ASCII, full-width and kanji.

DRAWN numbers of each length (fixed seed, no leading zero) stand in a Japanese clause; a token counts where it covers a
byte of the number, so one that joins the number with its neighbor counts too. aligned: share of the numbers of four
and more digits that are cut at each multiple of three from the right and nowhere else (1|234|567), which makes place
value visible; single: share that are cut into single digits.
"""

import random
from functools import cache

import numpy as np
import pyarrow as pa

from tokenizer_lab.comparison.metric import Figure, Single
from tokenizer_lab.tokenizer import Tokenizer, list_buffers

TITLE = "Numbers"
FORMULA = "tokens per number, mean over 100 drawn numbers of each length"
TRAP = "An average hides breaks: two numbers of one length may be cut in different places."
MATERIAL = "tokenizer"

DRAWN, LONGEST, SHORT = 100, 12, 4
BEFORE, AFTER = "合計は", "円だった。"
FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")
_KANJI, _SMALL, _LARGE = "〇一二三四五六七八九", ("", "十", "百", "千"), ("", "万", "億")


@cache
def numbers(length: int) -> tuple[str, ...]:
    """DRAWN numbers of a length, the same in every run."""
    draw = random.Random(f"digits {length}")
    return tuple(str(draw.randrange(10 ** (length - 1), 10**length)) for _ in range(DRAWN))


def measure(tokenizer: Tokenizer) -> list[Figure]:
    figures: list[Figure] = []
    aligned, single = [], []
    for length in range(1, LONGEST + 1):
        cuts = number_cuts(tokenizer, numbers(length))
        figures.append(Single(str(length), float(np.mean([len(own) + 1 for own in cuts]))))
        if length >= SHORT:
            wanted = set(range(length % 3 or 3, length, 3))
            aligned += [own == wanted for own in cuts]
            single += [own == set(range(1, length)) for own in cuts]
    wide = number_cuts(tokenizer, tuple(number.translate(FULL_WIDTH) for number in numbers(SHORT)))
    kanji = number_cuts(tokenizer, tuple(in_kanji(int(number)) for number in numbers(SHORT)))
    return [
        *figures,
        Single("aligned to thousands", float(np.mean(aligned)), "share"),
        Single("single digits", float(np.mean(single)), "share"),
        Single("4 full-width", float(np.mean([len(own) + 1 for own in wide]))),
        Single("4 in kanji", float(np.mean([len(own) + 1 for own in kanji]))),
    ]


def number_cuts(tokenizer: Tokenizer, written: tuple[str, ...]) -> list[set[int]]:
    """Where tokens cut each number, in bytes from its beginning, inside it."""
    placed = tokenizer.encode_with_offsets(pa.array([BEFORE + n + AFTER for n in written], pa.large_string()))
    offsets, starts = list_buffers(placed.starts)
    _, ends = list_buffers(placed.ends)
    first, found = len(BEFORE.encode()), []
    for i, number in enumerate(written):
        own = slice(offsets[i], offsets[i + 1])
        edges = {int(e) - first for s, e in zip(starts[own], ends[own], strict=True) for e in (s, e)}
        found.append({edge for edge in edges if 0 < edge < len(number.encode())})
    return found


def in_kanji(number: int) -> str:
    """A number below 10^12 as it is written in kanji: 1234 -> 千二百三十四."""
    if number == 0:
        return _KANJI[0]
    groups = [(number // 10**shift % 10000, unit) for shift, unit in zip((8, 4, 0), reversed(_LARGE), strict=True)]
    return "".join(_thousands(value) + unit for value, unit in groups if value)


def _thousands(value: int) -> str:
    digits = [(value // 10**place % 10, unit) for place, unit in zip((3, 2, 1, 0), reversed(_SMALL), strict=True)]
    return "".join(("" if digit == 1 and unit else _KANJI[digit]) + unit for digit, unit in digits if digit)
