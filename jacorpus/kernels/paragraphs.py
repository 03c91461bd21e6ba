"""Hashes the paragraphs of texts, and cuts chosen ones out.

A paragraph is a line that holds more than white space. Its hash is that of its folded form (kernels/fold.py:
width, case, punctuation and spaces gone), so "目次" and "【目次】" count as one; a line of nothing but
punctuation has the hash of its own code points.

Legend: N documents, P paragraphs in all.
"""

import numpy as np
import pyarrow as pa
from numba import njit

from jacorpus.kernels.buffers import text_array, text_buffers
from jacorpus.kernels.fold import fold_into, fold_tables, fold_text_naive

_BASE, _SEED = 0x9E3779B97F4A7C15, 0x165667B19E3779F9
_BLANK = " \t\r\u3000"


def _hash_naive(codes: list[int]) -> int:
    h = _SEED
    for code in codes:
        h = (h * _BASE + code) % (1 << 64)
    h ^= h >> 32
    h = h * 0xD6E8FEB86659FD93 % (1 << 64)
    return h ^ (h >> 32)


def paragraph_hashes_naive(texts: list[str | None]) -> list[list[tuple[int, int]]]:
    """(hash, characters of the line) of each paragraph of each text."""
    rows = []
    for text in texts:
        lines = [line for line in (text or "").split("\n") if line.strip(_BLANK)]
        rows.append([(_hash_naive([ord(c) for c in fold_text_naive(line) or line]), len(line)) for line in lines])
    return rows


def cut_paragraphs_naive(texts: list[str | None], drop: list[list[bool]]) -> list[str]:
    """Texts without the paragraphs marked in drop. A paragraph goes with its line break and the blank lines

    after it; when the last one goes, the line breaks before it go too.
    """
    out = []
    for text, marks in zip(texts, drop, strict=True):
        kept, marked = [], iter(marks)
        gone = False
        for line in (text or "").split("\n"):
            if line.strip(_BLANK):
                gone = next(marked)
            if not gone:
                kept.append(line)
        while gone and kept and not kept[-1].strip(_BLANK):
            kept.pop()
        out.append("\n".join(kept))
    return out


@njit(cache=True, nogil=True, inline="always")
def _line(data, i, stop):  # type: ignore[no-untyped-def]
    """(end of the line at i, its characters, whether it is a paragraph)."""
    chars, solid = 0, False
    while i < stop and data[i] != 10:
        b = data[i]
        if b & 0xC0 != 0x80:
            chars += 1
            if b != 32 and b != 9 and b != 13 and not solid:
                solid = b != 0xE3 or data[i + 1] != 0x80 or data[i + 2] != 0x80
        i += 1
    return i, chars, solid


@njit(cache=True, nogil=True)
def _code(data, i, stop):  # type: ignore[no-untyped-def]
    """(code point at i, its bytes)."""
    b = np.int64(data[i])
    size = 1 if b < 0x80 else 2 if b < 0xE0 else 3 if b < 0xF0 else 4
    code = b if size == 1 else b & (0x7F >> size)
    for k in range(1, size):
        code = (code << 6) | (np.int64(data[i + k]) & 0x3F)
    return code, size


@njit(cache=True, nogil=True)
def _mix(h):  # type: ignore[no-untyped-def]
    h ^= h >> np.uint64(32)
    h *= np.uint64(0xD6E8FEB86659FD93)
    return h ^ (h >> np.uint64(32))


@njit(cache=True, nogil=True)
def _hash_raw(data, i, stop, base, seed):  # type: ignore[no-untyped-def]
    """Hash of a line's own code points."""
    h = seed
    while i < stop:
        code, size = _code(data, i, stop)
        h = h * base + np.uint64(code)
        i += size
    return _mix(h)


@njit(cache=True, nogil=True)
def _hash_document(data, i, stop, codes, folded, base, seed, hashes, chars, count):  # type: ignore[no-untyped-def]
    """Adds one document's paragraphs; codes[:folded]: its folded code points, line breaks kept."""
    at = 0
    while i < stop:
        end, length, solid = _line(data, i, stop)
        h, before = seed, at
        while at < folded and codes[at] != 10:
            h = h * base + np.uint64(codes[at])
            at += 1
        if solid:
            hashes[count] = _mix(h) if at > before else _hash_raw(data, i, end, base, seed)
            chars[count] = length
            count += 1
        at += 1
        i = end + 1
    return count


@njit(cache=True, nogil=True)
def _hash_all(offsets, data, table, joined, codes, base, seed, firsts, hashes, chars):  # type: ignore[no-untyped-def]
    count = 0
    for document in range(offsets.size - 1):
        firsts[document] = count
        start, stop = offsets[document], offsets[document + 1]
        folded = fold_into(data, start, stop, table, joined, codes)
        count = _hash_document(data, start, stop, codes, folded, base, seed, hashes, chars, count)
    firsts[offsets.size - 1] = count
    return count


@njit(cache=True, nogil=True)
def _cut_one(data, start, stop, drop, paragraph, out, begin):  # type: ignore[no-untyped-def]
    """Writes one document to out[begin:]; (its end, the next document's first paragraph)."""
    i, at, solid_end, gone = start, begin, begin, False
    while i <= stop:
        end, _, solid = _line(data, i, stop)
        if solid:
            gone = drop[paragraph]
            paragraph += 1
        if not gone:
            out[at : at + end - i] = data[i:end]
            at += end - i
            out[at] = 10
            at += 1
            solid_end = at if solid else solid_end
        i = end + 1
    at = solid_end if gone else at
    return at - (at > begin), paragraph  # the break after the last line is one too many


@njit(cache=True, nogil=True)
def _cut_all(offsets, data, drop, out_offsets, out):  # type: ignore[no-untyped-def]
    at, paragraph = np.int64(0), 0
    for document in range(offsets.size - 1):
        out_offsets[document] = at
        at, paragraph = _cut_one(data, offsets[document], offsets[document + 1], drop, paragraph, out, at)
    out_offsets[offsets.size - 1] = at
    return at


def frequent_runs_naive(frequent: list[list[bool]], run: int) -> list[list[bool]]:
    """See frequent_runs; one list a document."""
    out = []
    for marks in frequent:
        drop = [False] * len(marks)
        for first in range(1 - run, len(marks)):
            window = range(max(0, first), min(len(marks), first + run))
            if all(marks[i] for i in window):
                for i in window:
                    drop[i] = True
        out.append(drop)
    return out


@njit(cache=True, nogil=True)
def _runs(firsts, frequent, run, drop):  # type: ignore[no-untyped-def]
    for document in range(firsts.size - 1):
        i, stop = firsts[document], firsts[document + 1]
        while i < stop:
            end = i
            while end < stop and frequent[end]:
                end += 1
            if end > i and (end - i >= run or i == firsts[document] or end == stop):
                drop[i:end] = True
            i = max(end, i + 1)


def frequent_runs(firsts: np.ndarray, frequent: np.ndarray, run: int) -> np.ndarray:
    """bool [P]: paragraphs in a window of ``run`` neighbors that are all frequent; windows clip at document ends,

    so a run of frequent paragraphs that touches an end is dropped whatever its length. firsts: int64 [N+1].
    """
    drop = np.zeros(len(frequent), bool)
    _runs(firsts, frequent, run, drop)
    return drop


def paragraph_hashes(texts: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(firsts int64 [N+1], hash uint64 [P], characters of the line int32 [P]) of a string array."""
    offsets, data = text_buffers(texts)
    lines = int(np.count_nonzero(data[offsets[0] : offsets[-1]] == 10)) + len(offsets)
    firsts, hashes, chars = np.empty(len(offsets), np.int64), np.empty(lines, np.uint64), np.empty(lines, np.int32)
    codes = np.empty(int(np.diff(offsets).max(initial=0)), np.uint32)
    table, joined = fold_tables()
    table = table.copy()
    table[10] = 10  # documents are folded whole, their lines told apart afterwards
    constants = (table, joined, codes, np.uint64(_BASE), np.uint64(_SEED))
    count = _hash_all(offsets, data, *constants, firsts, hashes, chars)
    return firsts, hashes[:count], chars[:count]


def cut_paragraphs(texts: pa.Array, drop: np.ndarray) -> pa.Array:
    """large_string array without the paragraphs marked in drop (bool [P], the order of paragraph_hashes)."""
    offsets, data = text_buffers(texts)
    out, out_offsets = np.empty(int(offsets[-1] - offsets[0]) + 1, np.uint8), np.empty(len(offsets), np.int64)
    size = _cut_all(offsets, data, drop, out_offsets, out)
    return text_array(out_offsets, out[:size])
