"""Which words of a list occur in each document, and how often.

A hit is what a regular expression of all words, longest first, finds from left to right without overlap: at each
place the longest word wins, and the search goes on behind it. So the order of the list does not matter. HojiChar
and llm-jp use the alternation in the order of their file, which differs only where one word begins another;
Uzushio takes the longest, as here. Matching is exact: case and width count, so normalize text and list alike.

With ``whole_katakana`` a word of katakana alone counts only where it is a whole run of katakana: アス is not found
in アスパラガス. The class of a run is HojiChar's, ``[ァ-ヴー]``.

The fast path slides a window of 6 bytes over the text and asks a bitmap whether any word begins like this; words
shorter than 6 bytes are asked for by their first 3 bytes, 2 or 1, and only if the list has such words.

Legend: N documents, S bytes of UTF-8, W words, B bytes of all words.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numba as nb
import numpy as np
import pyarrow as pa

from jacorpus.kernels.buffers import text_buffers

KATAKANA = "ァ-ヴー"
_HASH_BITS = 17
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_PREFIX_BYTES = (6, 3, 2, 1)  # of the four kinds of words: 6 bytes and more, 3 to 5, 2, 1
_CLASS_SHIFT = 56


@dataclass(frozen=True)
class WordTable:
    """A word list made ready for the fast path; build it once with ``word_table``.

    words: sorted, without repeats. Arrays: bytes uint8 [B], starts int64 [W+1], chars int64 [W] (code points),
    whole bool [W] (must be a whole run of katakana), bitmap uint64 [2^17 / 64], heads int64 [2^17 + 1] and
    members int64 [W]: the words of each bucket, longest first. shortest: bytes of the shortest word.
    """

    words: tuple[str, ...]
    bytes: np.ndarray
    starts: np.ndarray
    chars: np.ndarray
    whole: np.ndarray
    bitmap: np.ndarray
    heads: np.ndarray
    members: np.ndarray
    shortest: int


def _bucket(encoded: bytes) -> int:
    """Bucket of a word: a hash of its first 6, 3, 2 or 1 bytes and of which of these it is."""
    kind = next(kind for kind, length in enumerate(_PREFIX_BYTES) if len(encoded) >= length)
    prefix = int.from_bytes(encoded[: _PREFIX_BYTES[kind]], "big") | kind << _CLASS_SHIFT
    return (prefix * int(_MULTIPLIER) % 2**64) >> (64 - _HASH_BITS)


def word_table(words: Iterable[str], whole_katakana: bool = True) -> WordTable:
    """Table over the words; white space around them, empty ones and repeats are dropped. Raises ValueError if none."""
    kept = tuple(sorted({word.strip() for word in words} - {""}))
    if not kept:
        raise ValueError("the word list is empty")
    encoded = [word.encode() for word in kept]
    buckets = np.array([_bucket(word) for word in encoded], np.int64)
    lengths = np.array([len(word) for word in encoded], np.int64)
    katakana = re.compile(f"[{KATAKANA}]+")
    bitmap = np.zeros(2**_HASH_BITS // 64, np.uint64)
    np.bitwise_or.at(bitmap, buckets >> 6, np.uint64(1) << (buckets & 63).astype(np.uint64))
    return WordTable(
        words=kept,
        bytes=np.frombuffer(b"".join(encoded), np.uint8),
        starts=np.concatenate([[0], np.cumsum(lengths)]),
        chars=np.array([len(word) for word in kept], np.int64),
        whole=np.array([whole_katakana and bool(katakana.fullmatch(word)) for word in kept]),
        bitmap=bitmap,
        heads=np.concatenate([[0], np.cumsum(np.bincount(buckets, minlength=2**_HASH_BITS))]),
        members=np.lexsort([np.arange(len(kept)), -lengths, buckets]),
        shortest=int(lengths.min()),
    )


def keyword_hits_naive(array: pa.Array, table: WordTable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(hits int32 [N], distinct words int32 [N], characters hit int64 [N]), by a regular expression."""
    words = sorted(zip(table.words, table.whole, strict=True), key=lambda pair: -len(pair[0].encode()))
    parts = [rf"(?<![{KATAKANA}]){re.escape(w)}(?![{KATAKANA}])" if whole else re.escape(w) for w, whole in words]
    pattern = re.compile("|".join(parts))
    found = [pattern.findall(text or "") for text in array.to_pylist()]
    return (
        np.array([len(hits) for hits in found], np.int32),
        np.array([len(set(hits)) for hits in found], np.int32),
        np.array([sum(map(len, hits)) for hits in found], np.int64),
    )


@nb.njit(cache=True, nogil=True)
def _is_katakana(data, at, stop):
    """Whether a character of ``[ァ-ヴー]`` starts at byte ``at`` and ends at or before ``stop``."""
    if at + 3 > stop or data[at] != 0xE3:
        return False
    if data[at + 1] == 0x82:
        return data[at + 2] >= 0xA1
    return data[at + 1] == 0x83 and (data[at + 2] <= 0xB4 or data[at + 2] == 0xBC)


@nb.njit(cache=True, nogil=True)
def _longest_word(data, start, at, stop, bucket, word_bytes, word_starts, whole, heads, members):
    """Number of the longest word of a bucket that lies at byte ``at`` of the document [start, stop), or -1."""
    for m in range(heads[bucket], heads[bucket + 1]):
        word = members[m]
        first = word_starts[word]
        length = word_starts[word + 1] - first
        if at + length > stop:
            continue
        equal = True
        for i in range(length):
            if data[at + i] != word_bytes[first + i]:
                equal = False
                break
        if not equal:
            continue
        if whole[word] and (
            _is_katakana(data, at + length, stop) or (at - 3 >= start and _is_katakana(data, at - 3, at))
        ):
            continue
        return word
    return -1


@nb.njit(cache=True, nogil=True)
def _bucket_of(window, kind):
    """``_bucket`` of the word that a window of 6 bytes begins with, if it is of this kind."""
    if kind == 0:
        prefix = window
    elif kind == 1:
        prefix = (window >> np.uint64(24)) | np.uint64(1 << 56)
    elif kind == 2:
        prefix = (window >> np.uint64(32)) | np.uint64(2 << 56)
    else:
        prefix = (window >> np.uint64(40)) | np.uint64(3 << 56)
    return (prefix * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - 17)


@nb.njit(cache=True, nogil=True)
def _bit(bitmap, window, kind):
    bucket = _bucket_of(window, kind)
    return (bitmap[bucket >> np.uint64(6)] >> (bucket & np.uint64(63))) & np.uint64(1)


@nb.njit(cache=True, nogil=True)
def _next_candidate(data, at, stop, bitmap, kinds):
    """(place, window there) of the first place at or after ``at`` where the bitmap allows a word; place stop if none.

    The window is the 6 bytes from a place on, the first one highest, zeros beyond the document.
    """
    window = np.uint64(0)
    for i in range(at, at + 5):
        window = (window << np.uint64(8)) | (np.uint64(data[i]) if i < stop else np.uint64(0))
    mask = np.uint64(0xFFFFFFFFFFFF)
    inner = max(at, stop - 5)  # windows from here on reach beyond the document
    if kinds == 1:
        for i in range(at, inner):
            window = ((window << np.uint64(8)) | np.uint64(data[i + 5])) & mask
            if _bit(bitmap, window, 0):
                return i, window
        return stop, window  # words of 6 bytes do not fit into what is left
    for i in range(at, inner):
        window = ((window << np.uint64(8)) | np.uint64(data[i + 5])) & mask
        found = _bit(bitmap, window, 0) | _bit(bitmap, window, 1)
        if kinds >= 3:
            found |= _bit(bitmap, window, 2)
        if kinds == 4:
            found |= _bit(bitmap, window, 3)
        if found:
            return i, window
    for i in range(inner, stop):
        window = (window << np.uint64(8)) & mask
        if i + 5 < stop:
            window |= np.uint64(data[i + 5])
        if _bit(bitmap, window, 1) | _bit(bitmap, window, 2) | _bit(bitmap, window, 3):
            return i, window
    return stop, window


@nb.njit(cache=True, nogil=True)
def _keyword_hits(offsets, data, word_bytes, word_starts, chars, whole, bitmap, heads, members, shortest):
    documents = len(offsets) - 1
    hits = np.zeros(documents, np.int32)
    types = np.zeros(documents, np.int32)
    hit_chars = np.zeros(documents, np.int64)
    last_document = np.full(len(chars), -1, np.int64)
    kinds = 1 if shortest >= 6 else 2 if shortest >= 3 else 5 - shortest
    for d in range(documents):
        start, stop = offsets[d], offsets[d + 1]
        at, window = _next_candidate(data, start, stop, bitmap, kinds)
        while at < stop:
            word = np.int64(-1)
            for kind in range(kinds):
                bucket = np.int64(_bucket_of(window, kind))
                word = _longest_word(data, start, at, stop, bucket, word_bytes, word_starts, whole, heads, members)
                if word >= 0:
                    break
            length = np.int64(1)
            if word >= 0:
                length = word_starts[word + 1] - word_starts[word]
                hits[d] += 1
                hit_chars[d] += chars[word]
                types[d] += last_document[word] != d
                last_document[word] = d
            at, window = _next_candidate(data, at + length, stop, bitmap, kinds)
    return hits, types, hit_chars


def keyword_hits(array: pa.Array, table: WordTable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(hits int32 [N], distinct words hit int32 [N], characters hit int64 [N]) of a string array."""
    offsets, data = text_buffers(array)
    return _keyword_hits(
        offsets,
        data,
        table.bytes,
        table.starts,
        table.chars,
        table.whole,
        table.bitmap,
        table.heads,
        table.members,
        table.shortest,
    )


def japanese_chars_naive(array: pa.Array) -> np.ndarray:
    """int64 [N]: hiragana, katakana, kanji and ``、，。．！？``, by a regular expression."""
    kana = "\u3041-\u3096\u30a1-\u30fa"
    kanji = "々〇〻\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
    pattern = re.compile(f"[{kana}{kanji}、，。．！？]")
    return np.array([len(pattern.findall(text or "")) for text in array.to_pylist()], np.int64)


@nb.njit(cache=True, nogil=True)
def _japanese_chars(offsets, data):
    counts = np.zeros(len(offsets) - 1, np.int64)
    for d in range(len(counts)):
        found = np.int64(0)
        for i in range(offsets[d], offsets[d + 1]):
            lead = np.int64(data[i])
            if lead == 0xF0:
                found += data[i + 1] >= 0xA0 and data[i + 1] <= 0xBF  # U+20000-3FFFF
            elif lead >= 0xE0 and lead < 0xF0:
                c = ((lead & 15) << 12) | ((np.int64(data[i + 1]) & 63) << 6) | (np.int64(data[i + 2]) & 63)
                kana = (c >= 0x3041 and c <= 0x3096) or (c >= 0x30A1 and c <= 0x30FA)
                kanji = (c >= 0x3400 and c <= 0x9FFF) or (c >= 0xF900 and c <= 0xFAFF)
                mark = c == 0x3001 or c == 0x3002 or c == 0xFF01 or c == 0xFF0C or c == 0xFF0E or c == 0xFF1F
                found += kana or kanji or mark or c == 0x3005 or c == 0x3007 or c == 0x303B
        counts[d] = found
    return counts


def japanese_chars(array: pa.Array) -> np.ndarray:
    """int64 [N]: hiragana, katakana, kanji and ``、，。．！？`` of each text, the divisor of a list's ratio."""
    return _japanese_chars(*text_buffers(array))
