"""Replace characters by a table, over Arrow buffers: the machinery behind NFKC, NFC and width folding.

Most characters stay, some always become the same string, and a few (combining marks, half-width dakuten,
vowel and final jamo) change together with what stands before them. The last kind is *joining*: such
characters form a cluster with the one before the first of them, and a cluster is rewritten as a whole by
an ordinary Python function, remembered per distinct cluster. All else is table look-ups on UTF-8 bytes.

Legend: N documents, S bytes of UTF-8, C code points that have a table entry, K clusters.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numba import njit

from jacorpus.kernels.buffers import text_array, text_buffers

KEEP, REPLACE, JOIN = 0, 1, 2
"""What the table says of a code point: it stays, it becomes a string, it joins the cluster before it."""

_CODE_POINTS = 0x110000


@dataclass(frozen=True, eq=False)
class CharMap:
    """A table of replacements and the function for clusters. Build it with ``char_map``."""

    action: np.ndarray  # uint8 [0x110000]: KEEP, REPLACE or JOIN
    entry: np.ndarray  # int32 [0x110000]: which pool string replaces it
    pool_offsets: np.ndarray  # int64 [C+1]
    pool: np.ndarray  # uint8: the replacements in UTF-8, one after the other
    cluster: Callable[[str], str]  # rewrites a character and the joining characters after it


def char_map(replacements: dict[str, str], joining: Iterable[str], cluster: Callable[[str], str]) -> CharMap:
    """A table out of single characters and their replacements, joining characters, and the cluster function.

    Raises ValueError for an ASCII character in either: the fast path skips ASCII unseen.
    """
    action = np.zeros(_CODE_POINTS, np.uint8)
    entry = np.zeros(_CODE_POINTS, np.int32)
    encoded = [text.encode() for text in replacements.values()]
    points = np.array([ord(char) for char in replacements], np.int64)
    joins = np.array([ord(char) for char in joining], np.int64)
    if (points < 0x80).any() or (joins < 0x80).any():
        raise ValueError("an ASCII character can't be replaced by a character table")
    action[points] = REPLACE
    entry[points] = np.arange(len(points))
    action[joins] = JOIN
    pool_offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(text) for text in encoded], out=pool_offsets[1:])
    return CharMap(action, entry, pool_offsets, np.frombuffer(b"".join(encoded) or b"\0", np.uint8), cluster)


def map_chars_naive(text: str, table: CharMap) -> str:
    """The same for one text, character by character."""
    pool = table.pool.tobytes()
    out, at = [], 0
    while at < len(text):
        stop = at + 1
        while stop < len(text) and table.action[ord(text[stop])] == JOIN:
            stop += 1
        point = ord(text[at])
        if stop > at + 1 or table.action[point] == JOIN:
            out.append(table.cluster(text[at:stop]))
        elif table.action[point] == REPLACE:
            entry = table.entry[point]
            out.append(pool[table.pool_offsets[entry] : table.pool_offsets[entry + 1]].decode())
        else:
            out.append(text[at])
        at = stop
    return "".join(out)


@njit(cache=True, nogil=True, inline="always")
def _point(data, at, lead):
    """(code point, bytes) of the character at ``at``, whose first byte is ``lead`` >= 0x80."""
    if lead >= 0xF0:
        tail = ((data[at + 1] & 63) << 12) | ((data[at + 2] & 63) << 6) | (data[at + 3] & 63)
        return ((lead & 7) << 18) | tail, 4
    if lead >= 0xE0:
        return ((lead & 15) << 12) | ((data[at + 1] & 63) << 6) | (data[at + 2] & 63), 3
    return ((lead & 31) << 6) | (data[at + 1] & 63), 2


@njit(cache=True, nogil=True)
def _scan(offsets, data, action, entry, pool_offsets, growth, clusters):
    """Fill growth int64 [N] (bytes won by replacements outside clusters), clusters int64 [N] (how many).

    Returns whether any document holds a character that does not stay; growth is -2**62 where none does.
    """
    touched = False
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        grown, found, changed = 0, 0, False
        previous, inside = 0, False  # growth of the character before; whether in a cluster
        while at < stop:
            lead = np.int64(data[at])
            if lead < 0x80:
                at += 1
                previous, inside = 0, False
                continue
            point, width = _point(data, at, lead)
            kind = action[point]
            at += width
            if kind == 0:
                previous, inside = 0, False
                continue
            changed = True
            if kind == 1:
                index = entry[point]
                previous, inside = pool_offsets[index + 1] - pool_offsets[index] - width, False
                grown += previous
            elif not inside:
                grown -= previous
                found += 1
                previous, inside = 0, True
        growth[row] = grown if changed else -(np.int64(1) << 62)
        clusters[row] = found
        touched |= changed
    return touched


@njit(cache=True, nogil=True)
def _find_clusters(offsets, data, action, clusters, first, last):
    """Fill first and last int64 [K] with the byte ranges of the clusters, in order."""
    k = 0
    for row in range(len(offsets) - 1):
        if clusters[row] == 0:
            continue
        at, stop = offsets[row], offsets[row + 1]
        before = at
        while at < stop:
            lead = np.int64(data[at])
            point, width = (lead, 1) if lead < 0x80 else _point(data, at, lead)
            if action[point] != 2:
                before = at
                at += width
                continue
            while at < stop and data[at] >= 0x80:
                point, width = _point(data, at, np.int64(data[at]))
                if action[point] != 2:
                    break
                at += width
            first[k], last[k] = before, at
            k += 1
            before = at


@njit(cache=True, nogil=True)
def _write(offsets, data, action, entry, pool_offsets, pool, growth, first, last, which, sub_offsets, subs, out, ends):
    """Fill out uint8 and ends int64 [N]; which int64 [K] says which of subs replaces each cluster."""
    to, k = 0, 0
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        if growth[row] == -(np.int64(1) << 62):
            out[to : to + stop - at] = data[at:stop]
            to += stop - at
            ends[row] = to
            continue
        while at < stop:
            if k < len(first) and at == first[k]:
                for source in range(sub_offsets[which[k]], sub_offsets[which[k] + 1]):
                    out[to] = subs[source]
                    to += 1
                at = last[k]
                k += 1
                continue
            lead = np.int64(data[at])
            if lead < 0x80:
                out[to] = data[at]
                at += 1
                to += 1
                continue
            point, width = _point(data, at, lead)
            if action[point] == 1:
                for source in range(pool_offsets[entry[point]], pool_offsets[entry[point] + 1]):
                    out[to] = pool[source]
                    to += 1
            else:
                for step in range(width):
                    out[to + step] = data[at + step]
                to += width
            at += width
        ends[row] = to


def _rewrite(data: np.ndarray, first: np.ndarray, last: np.ndarray, table: CharMap):
    """(which [K], sub_offsets, subs): the distinct rewritten clusters and which one each cluster takes."""
    raw = data.tobytes() if len(first) > 10_000 else data
    seen: dict[bytes, int] = {}
    which = np.empty(len(first), np.int64)
    for k, (start, stop) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        which[k] = seen.setdefault(bytes(raw[start:stop]), len(seen))
    rewritten = [table.cluster(piece.decode()).encode() for piece in seen]
    sub_offsets = np.zeros(len(rewritten) + 1, np.int64)
    np.cumsum([len(piece) for piece in rewritten], out=sub_offsets[1:])
    return which, sub_offsets, np.frombuffer(b"".join(rewritten) or b"\0", np.uint8)


def map_chars(array: pa.Array, table: CharMap) -> pa.Array:
    """Apply the table to each text of a string array [N]; large_string [N], nulls become empty texts.

    The same array comes back, uncopied, when nothing in it changes and it has no nulls.
    """
    offsets, data = text_buffers(array)
    count = len(offsets) - 1
    growth, clusters = np.empty(count, np.int64), np.empty(count, np.int64)
    if not _scan(offsets, data, table.action, table.entry, table.pool_offsets, growth, clusters):
        same = pa.types.is_large_string(array.type) and not array.null_count
        return array if same else text_array(offsets, data)
    first, last = np.empty((2, int(clusters.sum())), np.int64)
    if len(first):
        _find_clusters(offsets, data, table.action, clusters, first, last)
    which, sub_offsets, subs = _rewrite(data, first, last, table)
    size = int(offsets[-1] - offsets[0]) + int(growth[growth > -(1 << 62)].sum())
    size += int((sub_offsets[which + 1] - sub_offsets[which] - last + first).sum())
    out, new_offsets = np.empty(size, np.uint8), np.zeros(count + 1, np.int64)
    _write(offsets, data, table.action, table.entry, table.pool_offsets, table.pool, growth, first, last, which,
           sub_offsets, subs, out, new_offsets[1:])  # fmt: skip
    return text_array(new_offsets, out)
