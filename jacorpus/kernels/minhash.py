"""MinHash signatures of texts, band keys and similarity estimates.

Three schemes:

``oph`` (ours, the fast one): one permutation over all bins. Each n-gram hash names a bin by its high half and
bids its low half; a bin keeps the smallest bid. Bins left empty, as short texts leave them, are filled by
ROUNDS - 1 more rounds with other bins and bids, then by a plain MinHash of the bin's own. That is fast
similarity sketching (Dahlgaard, Knudsen and Thorup, arXiv:1704.04370) with fewer rounds, since a text of
hundreds of n-grams fills nearly every bin in the first. Optimal densification (arXiv:1703.04664) would
copy other bins' values instead: cheaper for short texts, but the copies count twice in the estimate.

``datasketch``: the values of datasketch 2's default (``affine32``): SHA-1 of an n-gram's UTF-8, the
MurmurHash3 finalizer, then one affine map modulo 2^32 for each of the k values.
``datasketch-1``: the values of datasketch before version 2 (``legacy``): affine modulo 2^61 - 1.

Legend: N documents, k values a signature, b bands of r rows (values), G n-grams of one document.
"""

import hashlib
from functools import cache

import numpy as np
import pyarrow as pa
from numba import njit

from jacorpus.kernels.buffers import text_buffers
from jacorpus.kernels.ngrams import (
    MASK,
    _decode,
    _hash,
    fold_naive,
    ngram_constants,
    ngram_hashes_naive,
    splitmix,
)
from jacorpus.kernels.sha1 import sha1_hash32

SCHEMES = ("oph", "datasketch", "datasketch-1")
ROUNDS = 8
FEW = 3
"""So many empty bins are filled one by one."""
PIECE = 4 << 20
"""Bytes of a text that are hashed at once: at most 48 MB of code points and hashes."""
EMPTY = 0xFFFFFFFF
MERSENNE = (1 << 61) - 1


@cache
def oph_constants(k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(salts, odd multipliers), both uint64 [ROUNDS + k]: one for each round, then one for each bin."""
    return splitmix(seed, 3, ROUNDS + k), splitmix(seed, 4, ROUNDS + k) | np.uint64(1)


@cache
def permutations(scheme: str, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(a, b) of datasketch's k affine maps, in the order its generator draws them; uint64 [k] each."""
    generator = np.random.RandomState(seed)
    if scheme == "datasketch-1":
        pairs = [
            (generator.randint(1, MERSENNE, dtype=np.uint64), generator.randint(0, MERSENNE, dtype=np.uint64))
            for _ in range(k)
        ]
        return np.array([a for a, _ in pairs], np.uint64), np.array([b for _, b in pairs], np.uint64)
    a = generator.randint(0, 1 << 31, k, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    b = generator.randint(0, 1 << 32, k, dtype=np.uint32)
    return a.astype(np.uint64), b.astype(np.uint64)


def oph_naive(text: str, k: int, n: int, seed: int, fold: bool = True) -> list[int]:
    """Signature of one text, scheme ``oph``."""
    salts, multipliers = (values.tolist() for values in oph_constants(k, seed))
    hashes = ngram_hashes_naive(text, n, seed, fold)
    signature = [EMPTY] * k
    for turn in range(ROUNDS):
        bids = [EMPTY] * k
        for h in hashes:
            q = h if turn == 0 else ((h ^ salts[turn]) * multipliers[turn]) & MASK
            place = ((q >> 32) * k) >> 32
            bids[place] = min(bids[place], (q ^ (q >> 32)) & EMPTY)
        signature = [bid if old == EMPTY else old for old, bid in zip(signature, bids, strict=True)]
    for place in range(k):
        if signature[place] == EMPTY and hashes:
            salt, multiplier = salts[ROUNDS + place], multipliers[ROUNDS + place]
            signature[place] = min((((h ^ salt) * multiplier) & MASK) >> 32 for h in hashes)
    return signature


def datasketch_naive(text: str, k: int, n: int, seed: int, fold: bool = True, scheme: str = "datasketch") -> list[int]:
    """Signature of one text, schemes ``datasketch`` and ``datasketch-1``."""
    a, b = permutations(scheme, k, seed)
    text = fold_naive(text) if fold else text
    grams = {text[i : i + n] for i in range(max(len(text) - n + 1, min(len(text), 1)))}
    signature = [EMPTY] * k
    for gram in grams:
        h = int.from_bytes(hashlib.sha1(gram.encode()).digest()[:4], "little")
        if scheme == "datasketch":
            h = ((h ^ (h >> 16)) * 0x85EBCA6B) & EMPTY
            h = ((h ^ (h >> 13)) * 0xC2B2AE35) & EMPTY
            h ^= h >> 16
        for i in range(k):
            value = (int(a[i]) * h + int(b[i])) & MASK  # datasketch's own arithmetic wraps at 2^64 too
            if scheme == "datasketch-1":
                value %= MERSENNE
            signature[i] = min(signature[i], value & EMPTY)
    return signature


@cache
def band_constants(k: int, bands: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(salts uint64 [b], odd weights uint64 [k]) of the band keys."""
    return splitmix(seed, 5, bands), splitmix(seed, 6, k) | np.uint64(1)


@njit(cache=True, nogil=True)
def _round(hashes, count, salt, multiplier, first, bids):
    """Smallest bid of each bin over hashes[:count]. The min has no branch: one would cost half the speed."""
    k = np.uint64(len(bids))
    half = np.uint64(32)
    if first:
        for i in range(count):
            q = hashes[i]
            high = q >> half
            place = (high * k) >> half
            bids[place] = min(bids[place], np.uint32(q ^ high))
        return
    for i in range(count):
        q = (hashes[i] ^ salt) * multiplier
        high = q >> half
        place = (high * k) >> half
        bids[place] = min(bids[place], np.uint32(q ^ high))


@njit(cache=True, nogil=True)
def _smallest_of(hashes, count, salt, multiplier, place, k):
    """Smallest bid of one bin. No table to look up, hence vector code: a fraction of a round."""
    half = np.uint64(32)
    low = ((np.uint64(place) << half) + np.uint64(k - 1)) // np.uint64(k)
    width = ((np.uint64(place + 1) << half) + np.uint64(k - 1)) // np.uint64(k) - low
    smallest = np.uint32(EMPTY)
    for i in range(count):
        q = (hashes[i] ^ salt) * multiplier
        high = q >> half
        bid = np.uint32(q ^ high) if high - low < width else np.uint32(EMPTY)
        smallest = min(smallest, bid)
    return smallest


@njit(cache=True, nogil=True)
def _oph(hashes, count, salts, multipliers, bids, signature):
    """Signature of hashes[:count] (reordered when the text repeats itself)."""
    k = len(signature)
    _round(hashes, count, np.uint64(0), np.uint64(1), True, signature)
    empty = 0
    for place in range(k):
        empty += signature[place] == np.uint32(EMPTY)
    if empty == 0 or count == 0:
        return
    if count > 16 * k:
        # So many n-grams leave a bin empty only when they repeat: go on with the distinct ones.
        distinct = np.unique(hashes[:count])
        count = len(distinct)
        hashes = distinct
    for turn in range(1, ROUNDS):
        bids[:] = np.uint32(EMPTY)
        if empty <= FEW:
            for place in range(k):
                if signature[place] == np.uint32(EMPTY):
                    bids[place] = _smallest_of(hashes, count, salts[turn], multipliers[turn], place, k)
        else:
            _round(hashes, count, salts[turn], multipliers[turn], False, bids)
        empty = 0
        for place in range(k):
            if signature[place] == np.uint32(EMPTY):
                signature[place] = bids[place]
                empty += bids[place] == np.uint32(EMPTY)
        if empty == 0:
            return
    for place in range(k):
        if signature[place] == np.uint32(EMPTY):
            salt = salts[ROUNDS + place]
            multiplier = multipliers[ROUNDS + place]
            for i in range(count):
                q = (hashes[i] ^ salt) * multiplier
                signature[place] = min(signature[place], np.uint32(q >> np.uint64(32)))


@njit(cache=True, nogil=True)
def _cut(data, at, stop):
    """The first place from ``at`` where a character begins that folding neither drops nor joins to the one before."""
    while at < stop:
        lead = data[at]
        if (lead > 0x20 and lead < 0x7F) or (lead >= 0xE4 and lead <= 0xED) or lead == 0xE0:
            return at
        if lead == 0xE3 and at + 1 < stop and (data[at + 1] == 0x81 or data[at + 1] == 0x83):
            return at
        at += 1
    return stop


@njit(cache=True, nogil=True)
def _walk(data, start, stop, fold, piece, weights, finalizer, room, signature, collect):
    """Go through a text piece by piece: (n-grams, distinct hashes if ``collect``); else bid for signature's bins."""
    points, hashes = room
    n = len(weights)
    distinct = np.empty(0, np.uint64)
    kept, grams = np.int64(0), 0
    while start < stop:
        end = _cut(data, min(start + piece, stop), stop)
        count = kept + np.int64(_decode(data, start, end, fold, points[kept:]))
        start = end
        if count >= n or (start == stop and grams == 0):
            found = _hash(points, count, weights, finalizer, hashes)
            grams += found
            if collect:
                distinct = np.unique(np.concatenate((distinct, hashes[:found])))
            else:
                _round(hashes, found, np.uint64(0), np.uint64(1), True, signature)
        kept = np.int64(count if count < n else n - 1)
        for j in range(kept):
            points[j] = points[count - kept + j]
    return grams, distinct


@njit(cache=True, nogil=True)
def _oph_long(data, start, stop, fold, piece, weights, finalizer, salts, multipliers, room, bids, signature):
    """`_oph` without all hashes in memory at once; n-grams. So many leave a bin empty only when they repeat."""
    grams, _ = _walk(data, start, stop, fold, piece, weights, finalizer, room, signature, False)
    if grams and (signature == np.uint32(EMPTY)).any():
        _, distinct = _walk(data, start, stop, fold, piece, weights, finalizer, room, signature, True)
        _oph(distinct, len(distinct), salts, multipliers, bids, signature)
    return grams


@njit(cache=True, nogil=True)
def _oph_all(offsets, data, fold, piece, weights, finalizer, salts, multipliers, signatures, grams):
    longest = 0
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    points = np.empty(longest + len(weights), np.uint32)  # pages never written to take no memory
    hashes = np.empty(longest + len(weights), np.uint64)
    bids = np.empty(signatures.shape[1], np.uint32)
    for row in range(len(offsets) - 1):
        signatures[row, :] = np.uint32(EMPTY)
        start, stop, signature = offsets[row], offsets[row + 1], signatures[row]
        if stop - start > piece:
            room = points, hashes
            grams[row] = _oph_long(
                data, start, stop, fold, piece, weights, finalizer, salts, multipliers, room, bids, signature
            )
            continue
        if fold:  # said as constants: the tests of it inside go away, an eighth of the time with them
            count = _decode(data, offsets[row], offsets[row + 1], True, points)
        else:
            count = _decode(data, offsets[row], offsets[row + 1], False, points)
        count = _hash(points, count, weights, finalizer, hashes)
        grams[row] = count
        _oph(hashes, count, salts, multipliers, bids, signatures[row])


@njit(cache=True, nogil=True)
def _permute(h, a, b, legacy, signature):
    """Fold one n-gram hash into a datasketch signature."""
    if not legacy:
        h = np.uint32(np.uint32(h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B))
        h = np.uint32(np.uint32(h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35))
        h = np.uint32(h ^ (h >> np.uint32(16)))
        for i in range(len(signature)):
            value = np.uint32(np.uint32(a[i]) * h + np.uint32(b[i]))
            signature[i] = min(signature[i], value)
        return
    prime = np.uint64(MERSENNE)
    for i in range(len(signature)):
        x = a[i] * np.uint64(h) + b[i]
        x = (x & prime) + (x >> np.uint64(61))  # below 2^61 + 8: one subtraction finishes the remainder
        if x >= prime:
            x -= prime
        signature[i] = min(signature[i], np.uint32(x))


@njit(cache=True, nogil=True)
def _datasketch_all(offsets, data, n, fold, a, b, legacy, signatures, grams):
    longest = 0
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    points = np.empty(longest, np.uint32)
    block = np.empty((4 * n) // 64 * 64 + 192, np.uint8)
    schedule = np.empty(80, np.uint32)
    for row in range(len(offsets) - 1):
        signatures[row, :] = np.uint32(EMPTY)
        count = _decode(data, offsets[row], offsets[row + 1], fold, points)
        windows = max(count - n + 1, min(count, 1))
        grams[row] = windows
        for i in range(windows):
            h = sha1_hash32(points, i, min(i + n, count), block, schedule)
            _permute(h, a, b, legacy, signatures[row])


@njit(cache=True, nogil=True)
def _band_keys(signatures, grams, bands, rows, salts, weights, keys):
    half = np.uint64(32)
    for row in range(len(signatures)):
        for band in range(bands):
            # Multilinear: the products wait for nothing, as a chain of multiplications would.
            key = salts[band]
            for i in range(band * rows, (band + 1) * rows):
                key += np.uint64(signatures[row, i]) * weights[i]
            key = (key ^ (key >> half)) * weights[0]
            key ^= key >> half
            keys[band, row] = max(key, np.uint64(1)) if grams[row] > 0 else np.uint64(0)


@njit(cache=True, nogil=True)
def _agreements(left, right, out):
    for row in range(len(left)):
        same = 0
        for i in range(left.shape[1]):
            same += left[row, i] == right[row, i]
        out[row] = same


def band_keys(signatures: np.ndarray, grams: np.ndarray, bands: int, rows: int, seed: int = 1) -> np.ndarray:
    """uint64 [b, N]: hash of each band's rows. 0 marks a document without n-grams, which shares no bucket.

    signatures: uint32 [N, k], k >= bands * rows. grams: int64 [N], n-grams of each document.
    """
    if bands * rows > signatures.shape[1]:
        raise ValueError(
            f"{bands} bands of {rows} rows need {bands * rows} values, signatures hold {signatures.shape[1]}"
        )
    keys = np.empty((bands, len(signatures)), np.uint64)
    salts, weights = band_constants(signatures.shape[1], bands, seed)
    _band_keys(signatures, grams, bands, rows, salts, weights, keys)
    return keys


def agreements(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """int64 [M]: equal values of each pair of signatures (both [M, k]); divided by k, the estimated Jaccard."""
    same = np.empty(len(left), np.int64)
    _agreements(left, right, same)
    return same


def minhash(
    array: pa.Array, k: int = 128, n: int = 5, seed: int = 1, fold: bool = True, scheme: str = "oph"
) -> tuple[np.ndarray, np.ndarray]:
    """(signatures uint32 [N, k], n-grams a document int64 [N]) of a string array.

    n: code points in an n-gram; a shorter text is one n-gram; an empty or null text has none and a signature of
    EMPTY. fold: cut n-grams from the canonical form of ``kernels.ngrams``. Raises ValueError for an unknown
    scheme. Root mean square error of an estimate over J in .05-1 at k = 128: see benchmarks/results.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"unknown scheme {scheme!r}; one of {', '.join(SCHEMES)}")
    offsets, data = text_buffers(array)
    signatures = np.empty((len(array), k), np.uint32)
    grams = np.empty(len(array), np.int64)
    if scheme == "oph":
        weights, finalizer = ngram_constants(n, seed)
        salts, multipliers = oph_constants(k, seed)
        _oph_all(offsets, data, fold, PIECE, weights, finalizer, salts, multipliers, signatures, grams)
    else:
        a, b = permutations(scheme, k, seed)
        _datasketch_all(offsets, data, n, fold, a, b, scheme == "datasketch-1", signatures, grams)
    return signatures, grams
