"""First four bytes of the SHA-1 of short texts, without a Python object for each (RFC 3174).

Only the ``datasketch`` schemes of MinHash need it: their values rest on SHA-1 of each n-gram.
"""

import hashlib

import numpy as np
from numba import njit


def sha1_hash32_naive(text: str) -> int:
    """Little-endian integer of the first four digest bytes: datasketch's ``sha1_hash32`` of the UTF-8."""
    return int.from_bytes(hashlib.sha1(text.encode()).digest()[:4], "little")


@njit(cache=True, nogil=True)
def _rotate(x, bits):
    return np.uint32(np.uint32(x << np.uint32(bits)) | np.uint32(x >> np.uint32(32 - bits)))


@njit(cache=True, nogil=True)
def _encode(points, start, stop, out):
    """UTF-8 of points[start:stop] into out; returns its length."""
    w = 0
    for i in range(start, stop):
        c = points[i]
        if c < 0x80:
            out[w] = c
            w += 1
        elif c < 0x800:
            out[w] = 0xC0 | (c >> np.uint32(6))
            out[w + 1] = 0x80 | (c & np.uint32(0x3F))
            w += 2
        elif c < 0x10000:
            out[w] = 0xE0 | (c >> np.uint32(12))
            out[w + 1] = 0x80 | ((c >> np.uint32(6)) & np.uint32(0x3F))
            out[w + 2] = 0x80 | (c & np.uint32(0x3F))
            w += 3
        else:
            out[w] = 0xF0 | (c >> np.uint32(18))
            out[w + 1] = 0x80 | ((c >> np.uint32(12)) & np.uint32(0x3F))
            out[w + 2] = 0x80 | ((c >> np.uint32(6)) & np.uint32(0x3F))
            out[w + 3] = 0x80 | (c & np.uint32(0x3F))
            w += 4
    return w


@njit(cache=True, nogil=True)
def _compress(block, start, w, state):
    """One 64-byte block of SHA-1 (RFC 3174, method 1). w: uint32 [80] scratch; state: the five words."""
    for t in range(16):
        i = start + 4 * t
        w[t] = (
            (np.uint32(block[i]) << np.uint32(24))
            | (np.uint32(block[i + 1]) << np.uint32(16))
            | (np.uint32(block[i + 2]) << np.uint32(8))
            | np.uint32(block[i + 3])
        )
    for t in range(16, 80):
        w[t] = _rotate(np.uint32(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16]), 1)
    a, b, c, d, e = state
    for t in range(80):
        if t < 20:
            f = np.uint32(d ^ (b & (c ^ d)))
            constant = np.uint32(0x5A827999)
        elif t < 40:
            f = np.uint32(b ^ c ^ d)
            constant = np.uint32(0x6ED9EBA1)
        elif t < 60:
            f = np.uint32((b & c) | (d & (b | c)))
            constant = np.uint32(0x8F1BBCDC)
        else:
            f = np.uint32(b ^ c ^ d)
            constant = np.uint32(0xCA62C1D6)
        new = np.uint32(_rotate(a, 5) + f + e + constant + w[t])
        e = d
        d = c
        c = _rotate(b, 30)
        b = a
        a = new
    return (
        np.uint32(state[0] + a),
        np.uint32(state[1] + b),
        np.uint32(state[2] + c),
        np.uint32(state[3] + d),
        np.uint32(state[4] + e),
    )


@njit(cache=True, nogil=True)
def sha1_hash32(points, start, stop, block, schedule):
    """uint32 of the UTF-8 of code points points[start:stop] (see the naive twin).

    block: uint8 scratch, at least 4 bytes a code point and 72 more, a multiple of 64. schedule: uint32 [80] scratch.
    """
    size = _encode(points, start, stop, block)
    padded = (size + 8) // 64 * 64 + 64
    block[size] = 0x80
    for i in range(size + 1, padded):
        block[i] = 0
    bits = np.uint64(size) << np.uint64(3)
    for i in range(8):
        block[padded - 1 - i] = (bits >> np.uint64(8 * i)) & np.uint64(0xFF)
    state = (
        np.uint32(0x67452301),
        np.uint32(0xEFCDAB89),
        np.uint32(0x98BADCFE),
        np.uint32(0x10325476),
        np.uint32(0xC3D2E1F0),
    )
    for at in range(0, padded, 64):
        state = _compress(block, at, schedule, state)
    first = state[0]
    return np.uint32(
        (first >> np.uint32(24))
        | ((first >> np.uint32(8)) & np.uint32(0xFF00))
        | ((first << np.uint32(8)) & np.uint32(0xFF0000))
        | (first << np.uint32(24))
    )
