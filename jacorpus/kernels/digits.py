"""Finds the places of a text that may hold a phone number, a card number, an address: the sites.

Most text holds none, so redaction first scans bytes for sites and looks closer (patterns, check digits)
only there. A site never decides anything: it may be wrong, it must not miss.

A number site is a run of digits, ASCII or full-width, joined by at most two joiners (hyphens of every
kind, ``ー``, spaces, parentheses, dots) that holds at least MIN_DIGITS digits, or four numbers joined by
three dots. An at site is ``@`` or ``＠`` between characters that can stand in a mail address. A prefecture
site is the name of a prefecture.

Legend: N documents, K sites, S bytes of UTF-8 in all.
"""

import re

import numpy as np
import pyarrow as pa
from numba import njit

from jacorpus.kernels.buffers import text_buffers

MIN_DIGITS = 7
NUMBER, AT, PREFECTURE = 0, 1, 2
"""Kinds of site."""

HYPHENS = "-‐‑‒–—―−－─ーｰ"
JOINERS = HYPHENS + " \u3000()（）.．+＋"
_PREFECTURES = """
北海道 青森県 岩手県 宮城県 秋田県 山形県 福島県 茨城県 栃木県 群馬県 埼玉県 千葉県 東京都 神奈川県 新潟県 富山県
石川県 福井県 山梨県 長野県 岐阜県 静岡県 愛知県 三重県 滋賀県 京都府 大阪府 兵庫県 奈良県 和歌山県 鳥取県 島根県
岡山県 広島県 山口県 徳島県 香川県 愛媛県 高知県 福岡県 佐賀県 長崎県 熊本県 大分県 宮崎県 鹿児島県 沖縄県
"""
PREFECTURES = _PREFECTURES.split()

_DIGITS = "0123456789０１２３４５６７８９"
_RUN = re.compile(f"[{_DIGITS}](?:[{re.escape(JOINERS)}]{{0,2}}[{_DIGITS}])*")
_DOTS = re.compile(f"[.．][{_DIGITS}]")
_SITE = re.compile("(?<=[0-9A-Za-z._+%-]|[^\\x00-\\x7f])[@＠](?=[0-9A-Za-z\uf000-\uffff])|" + "|".join(PREFECTURES))


def find_sites_naive(texts: list[str | None]) -> list[tuple[int, int, int, int]]:
    """(document, first byte, end byte, kind) in order; bytes count from the start of the document."""
    sites = []
    for document, text in enumerate(texts):
        text = text or ""
        found = [(m.start(), m.end(), AT if len(m[0]) == 1 else PREFECTURE) for m in _SITE.finditer(text)]
        for match in _RUN.finditer(text):
            digits = sum(c in _DIGITS for c in match[0])
            if digits >= MIN_DIGITS or len(_DOTS.findall(match[0])) >= 3:
                found.append((*match.span(), NUMBER))
        for start, end, kind in sorted(found):
            first = len(text[:start].encode())
            sites.append((document, first, first + len(text[start:end].encode()), kind))
    return sites


_DIGIT, _JOINER, _AT_SIGN, _PREFECTURE, _DOT = 1, 2, 4, 8, 16


def _classes() -> np.ndarray:
    """uint8 [65536]: bits of each code point of the basic plane."""
    table = np.zeros(1 << 16, np.uint8)
    starts = "".join(name[0] for name in PREFECTURES)
    for characters, bit in (
        (_DIGITS, _DIGIT),
        (JOINERS, _JOINER),
        ("@＠", _AT_SIGN),
        (".．", _DOT),
        (starts, _PREFECTURE),
    ):
        for character in characters:
            table[ord(character)] |= bit
    return table


def _prefecture_tables() -> tuple[np.ndarray, np.ndarray]:
    """(uint8 [47, 12] UTF-8 of each name, int64 [47] its bytes)."""
    names = [name.encode() for name in PREFECTURES]
    table = np.array([list(name.ljust(12, b"\0")) for name in names], np.uint8)
    return table, np.array([len(name) for name in names], np.int64)


_CLASSES = _classes()
_NAMES, _NAME_BYTES = _prefecture_tables()


@njit(cache=True, nogil=True, inline="always")
def _character(data, i, stop):  # type: ignore[no-untyped-def]
    """(code point, bytes) at i; only characters of one and three bytes are told, others are 0."""
    b = np.int64(data[i])
    if b < 0x80:
        return b, 1
    if (b & 0xF0) == 0xE0 and i + 2 < stop:
        return ((b & 0xF) << 12) | ((np.int64(data[i + 1]) & 0x3F) << 6) | (np.int64(data[i + 2]) & 0x3F), 3
    return np.int64(0), 1


@njit(cache=True, nogil=True)
def _run(data, i, stop, classes):  # type: ignore[no-untyped-def]
    """(end, digits, dots) of the number run that starts at i; dots: those with a digit after them."""
    digits, dots, end, joined, dot = 0, 0, i, 0, 0
    while i < stop:
        code, size = _character(data, i, stop)
        bits = classes[code]
        if bits & 1:
            digits += 1
            dots += dot
            joined, dot, end = 0, 0, i + size
        elif bits & 2 and joined < 2:
            joined += 1
            dot = 1 if bits & 16 else 0
        else:
            break
        i += size
    return end, digits, dots


@njit(cache=True, nogil=True)
def _prefecture_bytes(data, i, stop, names, name_bytes):  # type: ignore[no-untyped-def]
    """Bytes of the prefecture's name at i, 0 where there is none."""
    # most characters here begin no prefecture: the third or fourth has to end in a byte of 都, 道, 府 or 県
    if i + 9 > stop:
        return 0
    third = data[i + 8]
    fourth = data[i + 11] if i + 12 <= stop else third
    if third != 0xBD and third != 0x93 and third != 0x9C and third != 0x8C and fourth != 0x8C:
        return 0
    for which in range(names.shape[0]):
        size = name_bytes[which]
        if i + size > stop:
            continue
        same = True
        for k in range(size):
            if data[i + k] != names[which, k]:
                same = False
                break
        if same:
            return size
    return 0


@njit(cache=True, nogil=True)
def _address_around(data, base, i, end, stop):  # type: ignore[no-untyped-def]
    """True when the @ at [i, end) can stand in a mail address: a letter, digit or wide character on each side."""
    if i == base or end >= stop:
        return False
    before, after = data[i - 1], data[end]
    left = before >= 0x80 or 48 <= before <= 57 or 65 <= before <= 90 or 97 <= before <= 122
    left = left or before == 0x2E or before == 0x5F or before == 0x2D or before == 0x2B or before == 0x25
    return left and (after == 0xEF or 48 <= after <= 57 or 65 <= after <= 90 or 97 <= after <= 122)


@njit(cache=True, nogil=True)
def _site(data, base, i, stop, classes, names, name_bytes, min_digits):  # type: ignore[no-untyped-def]
    """(end, kind of site or -1) for the character at i."""
    code, size = _character(data, i, stop)
    bits = classes[code]
    if bits & 1:
        end, digits, dots = _run(data, i, stop, classes)
        return end, (0 if digits >= min_digits or dots >= 3 else -1)
    if bits & 4:
        return i + size, (1 if _address_around(data, base, i, i + size, stop) else -1)
    name = _prefecture_bytes(data, i, stop, names, name_bytes)
    return (i + name, 2) if name else (i + size, -1)


@njit(cache=True, nogil=True)
def _next(data, i, stop, classes):  # type: ignore[no-untyped-def]
    """Place of the next character that can begin a site, or stop.

    A loop of its own: written inside _scan it was ten times slower (110 against 1,100 MB/s).
    """
    while i < stop:
        code, size = _character(data, i, stop)
        if classes[code] & 13:
            return i
        i += size
    return i


@njit(cache=True, nogil=True)
def _scan(offsets, data, classes, names, name_bytes, min_digits):  # type: ignore[no-untyped-def]
    sites = np.empty((256, 4), np.int64)
    count = 0
    for document in range(offsets.size - 1):
        base, stop = offsets[document], offsets[document + 1]
        i = _next(data, base, stop, classes)
        while i < stop:
            end, kind = _site(data, base, i, stop, classes, names, name_bytes, min_digits)
            if kind >= 0:
                if count == sites.shape[0]:
                    grown = np.empty((2 * count, 4), np.int64)
                    grown[:count] = sites
                    sites = grown
                sites[count, 0], sites[count, 1] = document, i - base
                sites[count, 2], sites[count, 3] = end - base, kind
                count += 1
            i = _next(data, end, stop, classes)
    return sites[:count]


def find_sites(texts: pa.Array) -> np.ndarray:
    """int64 [K, 4] of a string array: document, first byte, end byte (within the document), kind of site."""
    offsets, data = text_buffers(texts)
    return _scan(offsets, data, _CLASSES, _NAMES, _NAME_BYTES, MIN_DIGITS)
