"""Character n-grams of UTF-8 text as 64-bit hashes, at memory speed.

Two steps a document: decode UTF-8 to code points, folding what is only layout or typing, then hash every window
of n code points. The hash is a plain pass over a buffer that stays in cache, which LLVM turns into vector code;
a rolling hash would be half as fast, since each step waits for the one before.

Folding (on unless asked otherwise) makes equal what a reader sees as equal: white space, controls and
zero-width characters go, full-width ASCII becomes ASCII, half-width kana becomes full-width, a voicing
mark joins the kana before it (か + U+3099 = が, ｶﾞ = ガ). The voicing mark itself is never dropped: か and
が stay different letters. Case and punctuation stay.

Legend: N documents, S bytes of UTF-8, P code points, G n-grams; A weights of the n places in a window.
"""

import unicodedata
from functools import cache

import numpy as np
import pyarrow as pa
from numba import njit

from jacorpus.kernels.buffers import text_buffers
from jacorpus.kernels.vectors import READ, eight_points, trailing_zeros

MASK = (1 << 64) - 1
VOICED, SEMI_VOICED = 0x3099, 0x309A
KANA_FIRST, KANA_LAST = 0x3041, 0x30FF
HALF_FIRST, HALF_LAST = 0xFF61, 0xFF9F


def _composed(mark: str) -> np.ndarray:
    """uint32 [kana]: code point of kana + mark, 0 where Unicode has none."""
    pairs = (unicodedata.normalize("NFC", chr(kana) + mark) for kana in range(KANA_FIRST, KANA_LAST + 1))
    return np.array([ord(pair) if len(pair) == 1 else 0 for pair in pairs], np.uint32)


_COMPOSED = np.stack([_composed(chr(VOICED)), _composed(chr(SEMI_VOICED))])
_FULL_WIDTH = np.array(
    [ord(unicodedata.normalize("NFKC", chr(c))) for c in range(HALF_FIRST, HALF_LAST + 1)], np.uint32
)
_INVISIBLE = [
    *range(0x21),
    *range(0x7F, 0xA1),
    0xAD,
    0x1680,
    *range(0x2000, 0x2010),
    *range(0x2028, 0x2030),
    *range(0x205F, 0x2065),
    0x3000,
    0xFEFF,
]
_KEEP_LOW = np.ones(0x3001, np.bool_)
_KEEP_LOW[[point for point in _INVISIBLE if point <= 0x3000]] = False
_0, _1, _2, _3, _4, _8, _24, _READ = np.array([0, 1, 2, 3, 4, 8, 24, READ], np.uint64)


def splitmix(seed: int, stream: int, count: int) -> np.ndarray:
    """uint64 [count]: SplitMix64 (Steele, Lea and Flood 2014) numbers of a seed and stream. Stable for good."""
    state = (seed * 0x9E3779B97F4A7C15 + stream * 0xD1342543DE82EF95) & MASK
    values = []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        values.append(z ^ (z >> 31))
    return np.array(values, np.uint64)


@cache
def ngram_constants(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(A uint32 [n] odd weights, uint64 [2] odd multipliers of the finalizer)."""
    weights = (splitmix(seed, 1, n) >> np.uint64(32)).astype(np.uint32) | np.uint32(1)
    return weights, splitmix(seed, 2, 2) | np.uint64(1)


def fold_naive(text: str) -> str:
    """The canonical form that n-grams are cut from: the readable twin of the folding pass."""
    out: list[str] = []
    for char in text:
        point = ord(char)
        if point in _INVISIBLE:
            continue
        if 0xFF01 <= point <= 0xFF5E:
            point -= 0xFEE0
        elif HALF_FIRST <= point <= HALF_LAST:
            point = ord(unicodedata.normalize("NFKC", char))
        if point in (VOICED, SEMI_VOICED) and out and KANA_FIRST <= ord(out[-1]) <= KANA_LAST:
            joined = unicodedata.normalize("NFC", out[-1] + chr(point))
            if len(joined) == 1:
                out[-1] = joined
                continue
        out.append(chr(point))
    return "".join(out)


def ngram_hashes_naive(text: str, n: int, seed: int, fold: bool = True) -> list[int]:
    """Hash of each window of n characters; of the whole text when it is shorter; of nothing when empty."""
    weights, (first, second) = ngram_constants(n, seed)
    points = [ord(char) for char in (fold_naive(text) if fold else text)]
    windows = [points[i : i + n] for i in range(max(len(points) - n + 1, min(len(points), 1)))]
    hashes = []
    for window in windows:
        x = sum(point * int(weight) for point, weight in zip(window, weights, strict=False))
        x = (x * int(first)) & MASK
        hashes.append(((x ^ (x >> 32)) * int(second)) & MASK)
    return hashes


@njit(cache=True, nogil=True)
def _low(byte):
    return np.uint32(byte) & np.uint32(0x3F)


@njit(cache=True, nogil=True)
def _three(lead, second, third):
    return ((np.uint32(lead) & np.uint32(0x0F)) << np.uint32(12)) | (_low(second) << np.uint32(6)) | _low(third)


@njit(cache=True, nogil=True)
def _word(data, i):
    """The eight bytes from i as one little-endian number; LLVM makes one load of it."""
    word = np.uint64(0)
    for j in range(8):
        word |= np.uint64(data[i + np.uint64(j)]) << np.uint64(8 * j)
    return word


@njit(cache=True, nogil=True)
def _fold_one(points, w, c):
    """Write folded c after points[:w]; returns the new w."""
    if c <= 0x3000:
        points[w] = c
        return w + np.uint64(_KEEP_LOW[c])  # no branch: spaces come at random
    if c >= 0xFF01 and c <= 0xFF5E:
        points[w] = c - np.uint32(0xFEE0)
        return w + _1
    if c == 0xFEFF:
        return w
    if c >= HALF_FIRST and c <= HALF_LAST:
        c = _FULL_WIDTH[c - np.uint32(HALF_FIRST)]
    if c in (VOICED, SEMI_VOICED) and w > _0:
        before = points[w - _1]
        if before >= KANA_FIRST and before <= KANA_LAST:
            joined = _COMPOSED[c - np.uint32(VOICED), before - np.uint32(KANA_FIRST)]
            if joined != 0:
                points[w - _1] = joined
                return w
    points[w] = c
    return w + _1


@njit(cache=True, nogil=True)
def _store(points, w, c, fold):
    """Write c, folded where asked, after points[:w]; returns the new w."""
    if fold:
        return _fold_one(points, w, c)
    points[w] = c
    return w + _1


@njit(cache=True, nogil=True)
def _decode(data, start, stop, fold, out):
    """UTF-8 data[start:stop] -> code points in out, folded where asked; returns how many.

    Cut-off sequences pass byte by byte. Indices are unsigned: numba guards each signed one against being
    negative, which costs half the speed.
    """
    i = np.uint64(start)
    stop = np.uint64(stop)
    w = np.uint64(0)
    while i < stop:
        if (data[i] & 0xF0) == 0xE0:
            # Japanese: eight characters of three bytes at a time, up to one that needs a look.
            while i + _READ <= stop:
                bits = eight_points(data, i, out, w, fold)
                if bits != _0:  # a branch, so that the next eight need not wait for this answer
                    run = trailing_zeros(bits)
                    i += _3 * run
                    w += run
                    break
                i += _24
                w += _8
            if i + _3 <= stop and (data[i] & 0xF0) == 0xE0:
                w = _store(out, w, _three(data[i], data[i + _1], data[i + _2]), fold)
                i += _3
                continue
            if i >= stop:
                break
        while i + _8 <= stop and (_word(data, i) & np.uint64(0x8080808080808080)) == _0:
            for j in range(8):
                w = _store(out, w, np.uint32(data[i + np.uint64(j)]), fold)
            i += _8
        while i < stop and data[i] < 0x80:
            w = _store(out, w, np.uint32(data[i]), fold)
            i += _1
        if i >= stop:
            break
        lead = np.uint32(data[i])
        if lead >= 0xE0 and lead < 0xF0 and i + _3 <= stop:
            continue
        if lead >= 0xC0 and lead < 0xE0 and i + _2 <= stop:
            point = ((lead & np.uint32(0x1F)) << np.uint32(6)) | _low(data[i + _1])
            i += _2
        elif lead >= 0xF0 and i + _4 <= stop:
            point = ((lead & np.uint32(0x07)) << np.uint32(18)) | (_low(data[i + _1]) << np.uint32(12))
            point |= (_low(data[i + _2]) << np.uint32(6)) | _low(data[i + _3])
            i += _4
        else:
            point = lead
            i += _1
        w = _store(out, w, point, fold)
    return w


@njit(cache=True, nogil=True)
def _hash(points, count, weights, finalizer, out):
    """Hashes of the windows of points[:count] into out; returns how many windows there are."""
    n = len(weights)
    first = finalizer[0]
    second = finalizer[1]
    if count < n:
        if count == 0:
            return 0
        x = np.uint64(0)
        for j in range(count):
            x += np.uint64(points[j]) * np.uint64(weights[j])
        x *= first
        out[0] = (x ^ (x >> np.uint64(32))) * second
        return 1
    windows = count - n + 1
    if n == 5:
        # One pass with the sum in registers; 32-bit factors, so that one vector multiply does it.
        a, b, c, d, e = weights[0], weights[1], weights[2], weights[3], weights[4]
        for i in range(windows):
            x = np.uint64(points[i]) * np.uint64(a)
            x += np.uint64(points[i + 1]) * np.uint64(b)
            x += np.uint64(points[i + 2]) * np.uint64(c)
            x += np.uint64(points[i + 3]) * np.uint64(d)
            x += np.uint64(points[i + 4]) * np.uint64(e)
            x *= first
            out[i] = (x ^ (x >> np.uint64(32))) * second
        return windows
    for i in range(windows):
        out[i] = 0
    for j in range(n):
        weight = np.uint64(weights[j])
        for i in range(windows):
            out[i] += np.uint64(points[i + j]) * weight
    for i in range(windows):
        x = out[i] * first
        out[i] = (x ^ (x >> np.uint64(32))) * second
    return windows


@njit(cache=True, nogil=True)
def _code_points(offsets, data, fold, out, out_offsets):
    for row in range(len(offsets) - 1):
        points = out[out_offsets[row] :]
        count = _decode(data, offsets[row], offsets[row + 1], fold, points)
        out_offsets[row + 1] = out_offsets[row] + count


@njit(cache=True, nogil=True)
def _ngram_hashes(offsets, data, fold, weights, finalizer, out, out_offsets):
    longest = 0
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    points = np.empty(longest, np.uint32)
    for row in range(len(offsets) - 1):
        count = _decode(data, offsets[row], offsets[row + 1], fold, points)
        windows = _hash(points, count, weights, finalizer, out[out_offsets[row] :])
        out_offsets[row + 1] = out_offsets[row] + windows


def code_points(array: pa.Array, fold: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """(offsets int64 [N+1], code points uint32 [P]) of a string array, folded unless told not to."""
    offsets, data = text_buffers(array)
    out = np.empty(int(offsets[-1] - offsets[0]), np.uint32)
    out_offsets = np.zeros(len(offsets), np.int64)
    _code_points(offsets, data, fold, out, out_offsets)
    return out_offsets, out[: out_offsets[-1]]


def ngram_hashes(array: pa.Array, n: int = 5, seed: int = 1, fold: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """(offsets int64 [N+1], hashes uint64 [G]): one hash for each window of n code points, in text order.

    A text shorter than n gives one hash, an empty or null one none. The hash is a multilinear sum with odd
    32-bit weights, then multiply, xor-shift, multiply.
    """
    offsets, data = text_buffers(array)
    weights, finalizer = ngram_constants(n, seed)
    out = np.empty(int(offsets[-1] - offsets[0]), np.uint64)
    out_offsets = np.zeros(len(offsets), np.int64)
    _ngram_hashes(offsets, data, fold, weights, finalizer, out, out_offsets)
    return out_offsets, out[: out_offsets[-1]]
