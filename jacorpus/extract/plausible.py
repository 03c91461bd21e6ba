"""How much a text looks like language, to tell charsets apart that decode the same bytes without error.

EUC-JP read as cp932 is rows of half-width kana; EUC-KR read as EUC-JP is kanji without one kana; KOI8-R read
as windows-1251 has its capitals and small letters swapped. Each character over ASCII gets a weight between
0 (fine) and 1 (impossible); ``damage`` is their mean.
"""

from functools import cache

import numpy as np

_JAPANESE = ("cp932", "euc-jp", "iso-2022-jp")


def damage(text: str, charset: str) -> float:
    """Mean implausibility, 0 to 1, of the characters over ASCII; 0 for a text that has none."""
    points = np.frombuffer(text.encode("utf-16-le", "surrogatepass"), np.uint16)
    high = points > 0x7F
    count = int(high.sum())
    if not count:
        return 0.0
    weight = _weights(charset)[points]
    letters = _letters()[points]
    return float((weight[high].sum() + 0.5 * _mixed(letters)) / count)


def _mixed(letters: np.ndarray) -> int:
    """Neighbors that no word has: Cyrillic or Greek beside Latin, or two accented Latin letters in a row."""
    left, right = letters[:-1], letters[1:]
    ascii_beside_other = ((left == 1) & (right == 3)) | ((left == 3) & (right == 1))
    accents = (left == 2) & (right == 2)
    return int(ascii_beside_other.sum() + accents.sum())


@cache
def _letters() -> np.ndarray:
    """uint8 [65536]: 1 ASCII letter, 2 Latin letter over ASCII, 3 letter of Cyrillic, Greek, Hebrew, Arabic, Thai."""
    table = np.zeros(65536, np.uint8)
    for first, last in ((0x41, 0x5A), (0x61, 0x7A)):
        table[first : last + 1] = 1
    table[0xC0:0x250] = 2
    table[[0xD7, 0xF7]] = 0
    table[0x370:0x700] = 3
    table[0xE00:0xE80] = 3
    return table


@cache
def _weights(charset: str) -> np.ndarray:
    """float32 [65536]: weight of each UTF-16 unit."""
    table = np.full(65536, 0.3, np.float32)
    table[:0x80] = 0.0
    table[0x80:0xA0] = 1.0
    table[0xA0:0xC0] = 0.35
    table[[0xA0, 0xA9, 0xAB, 0xBB, 0xB7, 0xB0]] = 0.1
    _set_cased(table, 0xC0, 0x250)
    _set_cased(table, 0x370, 0x530)
    table[0x590:0x700] = 0.0
    table[0xE00:0xE80] = 0.05
    table[0x2010:0x2040] = 0.05
    table[0x20AC] = 0.1
    table[0x2500:0x25A0] = 0.4
    table[0x3000:0x3003] = 0.0
    table[0x3003:0x3040] = 0.05
    table[0x3041:0x3100] = 0.0
    table[0x30FB:0x30FD] = 0.0
    table[0x3130:0x3190] = 0.5
    table[0x4E00:0xA000] = 0.35
    table[0xAC00:0xD7A4] = 0.3
    table[_decode_rows("euc-kr", 0x30, 0x49)] = 0.0
    if charset in _JAPANESE or charset in ("utf-8", "gb18030", "big5hkscs"):
        table[_decode_rows("euc-jp", 0x30, 0x50)] = 0.08
    if charset == "gb18030":
        table[_decode_rows("gb2312", 0x30, 0x58)] = 0.08
    if charset == "big5hkscs":
        table[_decode_big5()] = 0.08
    if charset not in _JAPANESE and charset != "utf-8":
        table[0x3041:0x3100] = 0.3
    table[0xD800:0xE000] = 0.3
    table[0xE000:0xF900] = 1.0
    table[0xFF01:0xFF61] = 0.05
    table[0xFF61:0xFFA0] = 0.35
    table[0xFFFD] = 3.0
    return table


def _set_cased(table: np.ndarray, first: int, last: int) -> None:
    """Small letters are common, capitals less so, anything else in the block is odd."""
    for point in range(first, last):
        char = chr(point)
        table[point] = 0.02 if char.islower() else 0.2 if char.isupper() else 0.3


def _decode_rows(codec: str, first: int, last: int) -> list[int]:
    """Code points of the rows first..last-1 (JIS numbering, 0x21 = row 1) of a 94 x 94 set."""
    pairs = (bytes((row | 0x80, cell)) for row in range(first, last) for cell in range(0xA1, 0xFF))
    return [ord(char) for pair in pairs if len(char := pair.decode(codec, "ignore")) == 1]


def _decode_big5() -> list[int]:
    """Code points of Big5's 5,401 frequent characters (lead bytes A4 to C6)."""
    cells = [*range(0x40, 0x7F), *range(0xA1, 0xFF)]
    pairs = (bytes((lead, cell)) for lead in range(0xA4, 0xC7) for cell in cells)
    return [ord(char) for pair in pairs if len(char := pair.decode("big5", "ignore")) == 1]
