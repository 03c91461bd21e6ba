"""Order without an index: a keyed permutation of 0 ... size - 1 of which any element is computed alone.

A Feistel network over pairs: x < A * B is written as (left, right), left < A and right < B, and the rounds add to each
half in turn a keyed hash of the other, modulo A or B. Each round can be undone, so the whole is a permutation of the
A * B pairs. A = ceil(sqrt(size)) and B = ceil(size / A) leave fewer than A pairs over; a value that lands there is put
through again until it lands below size (cycle-walking), which keeps it a permutation and is rarely needed.

The hash is the finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA
2014), a bijection of 64 bits. Keys are no secrets; they only make orders that differ.
"""

import hashlib
import math

import numpy as np

ROUNDS = 8
GOLDEN = 0x9E3779B97F4A7C15
MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
MASK = (1 << 64) - 1


def named_key(*parts: object) -> int:
    """A 64-bit key of anything that prints, such as a seed and a domain's name."""
    text = "\0".join(str(part) for part in parts).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def mixed(x: np.ndarray) -> np.ndarray:
    """uint64 of any shape but scalar: SplitMix64's finalizer."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(MULTIPLIERS[0])
    x = (x ^ (x >> np.uint64(27))) * np.uint64(MULTIPLIERS[1])
    return x ^ (x >> np.uint64(31))


def numbered_keys(key: int, numbers: np.ndarray) -> np.ndarray:
    """uint64: a key of its own for each number, here of each epoch."""
    return mixed(np.uint64(key) + (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(GOLDEN))


def permuted(index: np.ndarray, size: int, key: np.ndarray) -> np.ndarray:
    """int64: where each index goes, under its own key.

    index: int64 in [0, size). key: uint64 of the same shape, or of one element.
    """
    a = math.isqrt(size - 1) + 1 if size > 1 else 1
    b = -(-size // a)
    found = _once(index.astype(np.uint64), a, b, key)
    while len(outside := np.nonzero(found >= np.uint64(size))[0]):
        found[outside] = _once(found[outside], a, b, np.broadcast_to(key, found.shape)[outside])
    return found.astype(np.int64)


def _once(x: np.ndarray, a: int, b: int, key: np.ndarray) -> np.ndarray:
    left, right = np.divmod(x, np.uint64(b))
    for turn in range(ROUNDS):
        round_key = mixed(key ^ np.uint64(turn))
        if turn % 2 == 0:
            left = (left + mixed(right + round_key) % np.uint64(a)) % np.uint64(a)
        else:
            right = (right + mixed(left + round_key) % np.uint64(b)) % np.uint64(b)
    return left * np.uint64(b) + right


def mixed_naive(x: int) -> int:
    """Readable twin of ``mixed``."""
    x = (x ^ (x >> 30)) * MULTIPLIERS[0] & MASK
    x = (x ^ (x >> 27)) * MULTIPLIERS[1] & MASK
    return x ^ (x >> 31)


def permuted_naive(index: int, size: int, key: int) -> int:
    """Readable twin of ``permuted``, for one index."""
    a = math.isqrt(size - 1) + 1 if size > 1 else 1
    b = -(-size // a)
    while True:
        left, right = divmod(index, b)
        for turn in range(ROUNDS):
            round_key = mixed_naive(key ^ turn)
            if turn % 2 == 0:
                left = (left + mixed_naive((right + round_key) & MASK)) % a
            else:
                right = (right + mixed_naive((left + round_key) & MASK)) % b
        index = left * b + right
        if index < size:
            return index
