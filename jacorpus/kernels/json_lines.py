"""JSON Lines: the text of each line straight into one UTF-8 buffer, without a Python string per line.

A line is *decided* when it is an object with exactly one member named ``key`` whose value is a string. Its
text is unescaped; its other members are handed back as they stand, as a small JSON object for a full parser,
which also finds what is wrong inside of them. All other lines (damaged, blank, an escaped or doubled name,
another type) are left to the caller.

Grammar: RFC 8259. Legend: S bytes in all, N lines, p a place in ``data``.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numba import njit

from jacorpus.kernels.buffers import text_array

_QUOTE, _BACKSLASH, _OPEN, _CLOSE, _COMMA, _COLON, _LF = 34, 92, 123, 125, 44, 58, 10
_WORD = 8  # bytes looked at together
_ONES, _HIGH = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_QUOTES, _BACKSLASHES, _SPACES = (np.uint64(0x0101010101010101 * c) for c in (_QUOTE, _BACKSLASH, 32))
_B8, _B16, _B24, _B32, _B40, _B48, _B56 = (np.uint64(8 * i) for i in range(1, _WORD))
_1, _2, _3, _4, _5, _6, _7 = (np.uint64(i) for i in range(1, _WORD))
_HEX = np.full(256, -1, np.int64)  # digit -> value; -1 for no digit
for _digits in (b"0123456789abcdef", b"0123456789ABCDEF"):
    _HEX[list(_digits)] = np.arange(16)


@dataclass(frozen=True)
class TextLines:
    """starts, ends: int64 [N], of each line without its line feed. decided: bool [N].

    texts: large_string [N], "" where not decided. rest, rest_offsets: the other members of each line as a
    JSON object, nothing where there are none.
    """

    starts: np.ndarray
    ends: np.ndarray
    decided: np.ndarray
    texts: pa.Array
    rest: bytes
    rest_offsets: np.ndarray


def text_lines_naive(data: bytes, key: str) -> list[tuple[str, dict] | None]:
    """(text, other members) of each line; None where the line is not decided. Reads every line as a whole."""
    import orjson

    found: list[tuple[str, dict] | None] = []
    for line in data.removesuffix(b"\n").split(b"\n") if data else []:
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            value = None
        if not isinstance(value, dict) or not isinstance(value.get(key), str):
            found.append(None)
        else:
            found.append((value.pop(key), value))
    return found


@njit(cache=True, nogil=True)
def _blank(data, p, stop):
    while p < stop and (data[p] == 32 or data[p] == 9 or data[p] == 13):
        p += 1
    return p


@njit(cache=True, nogil=True)
def _word(data, p):
    """Eight bytes at p as one number. Places are unsigned, so that all compiles to one load."""
    low = np.uint64(data[p]) | np.uint64(data[p + _1]) << _B8 | np.uint64(data[p + _2]) << _B16
    middle = np.uint64(data[p + _3]) << _B24 | np.uint64(data[p + _4]) << _B32 | np.uint64(data[p + _5]) << _B40
    return low | middle | np.uint64(data[p + _6]) << _B48 | np.uint64(data[p + _7]) << _B56


@njit(cache=True, nogil=True)
def _plain_bytes(word):
    """How many of the eight bytes stand before the first quote, backslash or control character; 8: all.

    Mycroft's test for a zero byte flags the highest bit of such a byte; what it flags wrongly stands after one.
    """
    quote, backslash = word ^ _QUOTES, word ^ _BACKSLASHES
    found = ((quote - _ONES) & ~quote) | ((backslash - _ONES) & ~backslash) | ((word - _SPACES) & ~word)
    found &= _HIGH
    if found == np.uint64(0):
        return _WORD
    below = ((found & (~found + _1)) - _1) & _ONES  # a one in each byte up to the first flagged
    return np.int64((below * _ONES) >> _B56) - 1


@njit(cache=True, nogil=True)
def _put_word(out, o, data, p):
    """Copy eight bytes; places are unsigned."""
    out[o], out[o + _1], out[o + _2], out[o + _3] = data[p], data[p + _1], data[p + _2], data[p + _3]
    out[o + _4], out[o + _5], out[o + _6], out[o + _7] = data[p + _4], data[p + _5], data[p + _6], data[p + _7]


@njit(cache=True, nogil=True)
def _skip_string(data, p, stop):
    """The place after the closing quote of the string whose content begins at p; -1 where it is none."""
    while p < stop:
        while p + _WORD <= stop:
            plain = _plain_bytes(_word(data, np.uint64(p)))
            p += plain
            if plain < _WORD:
                break
        if p >= stop:
            return -1
        c = data[p]
        if c == _QUOTE:
            return p + 1
        if c < 32:
            return -1
        p += 2 if c == _BACKSLASH else 1
    return -1


@njit(cache=True, nogil=True)
def _skip_value(data, p, stop):
    """The place of the comma or brace that ends the value at p; -1 where the line ends before."""
    depth = 0
    while p < stop:
        c = data[p]
        if c == _QUOTE:
            p = _skip_string(data, p + 1, stop)
            if p < 0:
                return -1
            continue
        if c == _LF:
            return -1
        if c == _OPEN or c == 91:
            depth += 1
        elif c == _CLOSE or c == 93:
            if depth == 0:
                return p if c == _CLOSE else -1
            depth -= 1
        elif c == _COMMA and depth == 0:
            return p
        p += 1
    return -1


@njit(cache=True, nogil=True)
def _hex4(data, p, stop):
    """The number of four hexadecimal digits at p; -1 where they are none."""
    if p + 4 > stop:
        return -1
    u = np.uint64(p)
    return _HEX[data[u]] << 12 | _HEX[data[u + _1]] << 8 | _HEX[data[u + _2]] << 4 | _HEX[data[u + _3]]


@njit(cache=True, nogil=True)
def _put_code(out, o, code):
    """UTF-8 of a code point at out[o]; the place after it."""
    u = np.uint64(o)
    if code < 0x80:
        out[u] = code
        return o + 1
    if code < 0x800:
        out[u], out[u + _1] = 0xC0 | (code >> 6), 0x80 | (code & 63)
        return o + 2
    if code < 0x10000:
        out[u], out[u + _1], out[u + _2] = 0xE0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63)
        return o + 3
    out[u], out[u + _1] = 0xF0 | (code >> 18), 0x80 | ((code >> 12) & 63)
    out[u + _2], out[u + _3] = 0x80 | ((code >> 6) & 63), 0x80 | (code & 63)
    return o + 4


@njit(cache=True, nogil=True)
def _put_escape(data, p, stop, out, o):
    """(place after the escape whose backslash is at p, place after what it stands for); (-1, o) for a bad one."""
    if p + 1 >= stop:
        return -1, o
    c = data[p + 1]
    if c == 117:
        code = _hex4(data, p + 2, stop)
        if code < 0 or 0xDC00 <= code <= 0xDFFF:
            return -1, o
        p += 6
        if 0xD800 <= code <= 0xDBFF:
            if p + 6 > stop or data[p] != _BACKSLASH or data[p + 1] != 117:
                return -1, o
            low = _hex4(data, p + 2, stop)
            if low < 0xDC00 or low > 0xDFFF:
                return -1, o
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
            p += 6
        return p, _put_code(out, o, code)
    plain = 0
    if c in (_QUOTE, _BACKSLASH, 47):
        plain = c
    elif c == 110:
        plain = 10
    elif c == 116:
        plain = 9
    elif c == 114:
        plain = 13
    elif c == 98:
        plain = 8
    elif c == 102:
        plain = 12
    if plain == 0:
        return -1, o
    out[o] = plain
    return p + 2, o + 1


@njit(cache=True, nogil=True)
def _put_string(data, p, stop, out, o):
    """Unescape the string whose content begins at p into out; (place after its closing quote or -1, end in out)."""
    while True:
        plain = _WORD
        while plain == _WORD and p + _WORD <= stop:
            # All eight are copied, what is no text is written over: out never gets ahead of data.
            plain = _plain_bytes(_word(data, np.uint64(p)))
            _put_word(out, np.uint64(o), data, np.uint64(p))
            p += plain
            o += plain
        while p < stop:
            c = data[p]
            if c == _QUOTE:
                return p + 1, o
            if c == _BACKSLASH or c < 32:
                break
            out[o] = c
            p += 1
            o += 1
        while p + 6 <= stop and data[np.uint64(p)] == _BACKSLASH and data[np.uint64(p) + _1] == 117:  # runs of \\u3042
            code = _hex4(data, p + 2, stop)
            if code < 0x800 or 0xD800 <= code <= 0xDFFF:
                break
            u = np.uint64(o)
            out[u], out[u + _1], out[u + _2] = 0xE0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63)
            p += 6
            o += 3
        if p < stop and data[p] == _BACKSLASH:
            p, o = _put_escape(data, p, stop, out, o)
        if p < 0 or p >= stop or data[p] < 32:
            return -1, o


@njit(cache=True, nogil=True)
def _same(data, p, key):
    same = True
    for i in range(len(key)):
        same &= data[p + i] == key[i]
    return same


@njit(cache=True, nogil=True)
def _line(data, p, stop, key, text, t, rest, r):
    """One object at p: (place after it or -1, end in text, end in rest). -1: not decided."""
    found, first = False, r
    p = _blank(data, p, stop)
    if p >= stop or data[p] != _OPEN:
        return -1, t, r
    while True:
        p = _blank(data, p + 1, stop)
        if p >= stop or data[p] != _QUOTE:
            return -1, t, r
        name = p
        p = _skip_string(data, p + 1, stop)
        if p < 0:
            return -1, t, r
        length = p - name - 2
        for i in range(name + 1, p - 1):
            if data[i] == _BACKSLASH:
                return -1, t, r
        is_text = length == len(key) and _same(data, name + 1, key)
        p = _blank(data, p, stop)
        if p >= stop or data[p] != _COLON:
            return -1, t, r
        p = _blank(data, p + 1, stop)
        if is_text:
            if found or p >= stop or data[p] != _QUOTE:
                return -1, t, r
            found = True
            p, t = _put_string(data, p + 1, stop, text, t)
            if p < 0:
                return -1, t, r
            p = _blank(data, p, stop)
        else:
            p = _skip_value(data, p, stop)
            if p < 0:
                return -1, t, r
            rest[r] = _OPEN if r == first else _COMMA
            r += 1
            rest[r : r + p - name] = data[name:p]
            r += p - name
        if p >= stop or (data[p] != _COMMA and data[p] != _CLOSE):
            return -1, t, r
        if data[p] == _CLOSE:
            break
    if not found:
        return -1, t, r
    if r > first:
        rest[r] = _CLOSE
        r += 1
    p = _blank(data, p + 1, stop)
    return (p if p == stop or data[p] == _LF else -1), t, r


@njit(cache=True, nogil=True)
def _lines(data, key, starts, ends, decided, text, text_offsets, rest, rest_offsets):
    """Fill the arrays; returns the number of lines."""
    stop, p, n, t, r = len(data), 0, 0, 0, 0
    while p < stop:
        starts[n] = p
        end, t_end, r_end = _line(data, p, stop, key, text, t, rest, r)
        decided[n] = end >= 0
        if end >= 0:
            t, r = t_end, r_end
        else:
            end = p
            while end < stop and data[end] != _LF:
                end += 1
        ends[n] = end
        n += 1
        text_offsets[n] = t
        rest_offsets[n] = r
        p = end + 1
    return n


def text_lines(data: bytes, key: str) -> TextLines:
    """Each line's text under ``key`` and its other members. The bytes of texts are not checked to be UTF-8."""
    source = np.frombuffer(data, np.uint8)
    most = data.count(b"\n") + 1
    starts, ends, decided = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.bool_)
    text_offsets, rest_offsets = np.zeros(most + 1, np.int64), np.zeros(most + 1, np.int64)
    # Unescaping only shortens; a line's rest gains at most a brace over what it takes from the line.
    text, rest = np.empty(len(data), np.uint8), np.empty(len(data) + most, np.uint8)
    name = np.frombuffer(key.encode(), np.uint8)
    n = _lines(source, name, starts, ends, decided, text, text_offsets, rest, rest_offsets)
    texts = text_array(text_offsets[: n + 1], text[: text_offsets[n]])
    small = rest[: rest_offsets[n]].tobytes()
    return TextLines(starts[:n], ends[:n], decided[:n], texts, small, rest_offsets[: n + 1])
