"""Replace characters by a table, over Arrow buffers: the machinery behind NFKC, NFC and width folding.

Most characters stay, some always become the same string, and a few (combining marks, half-width dakuten,
vowel and final jamo) change together with what stands before them. The last kind is *joining*: such
characters form a cluster with the one before the first of them, and a cluster is rewritten as a whole by
an ordinary Python function, once per distinct cluster. All else is table look-ups on UTF-8 bytes.

One pass finds the *edits* (a byte range and the string that takes its place), a second copies the runs between
them. Byte positions are unsigned: numba then leaves out the test for negative indices, four times faster.

Legend: N documents, S bytes of UTF-8, C code points that have a table entry, E edits.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numba import njit, uint64

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


@njit(cache=True, nogil=True)
def _point(data, at):
    """The code point that starts at ``at``, not ASCII."""
    lead, point = uint64(data[at]), uint64(data[at + uint64(1)]) & uint64(63)
    if lead < uint64(0xE0):
        return (lead & uint64(31)) << uint64(6) | point
    point = point << uint64(6) | uint64(data[at + uint64(2)]) & uint64(63)
    if lead < uint64(0xF0):
        return (lead & uint64(15)) << uint64(12) | point
    return (lead & uint64(7)) << uint64(18) | point << uint64(6) | uint64(data[at + uint64(3)]) & uint64(63)


@njit(cache=True, nogil=True)
def _next_start(data, at):
    """Where the character after the one at ``at`` starts."""
    lead = data[at]
    return at + uint64(1 + (lead >= 0xC0) + (lead >= 0xE0) + (lead >= 0xF0))


@njit(cache=True, nogil=True)
def _previous_start(data, at, start):
    """Where the character before ``at`` starts; ``start`` at the beginning of a document."""
    if at > start:
        at -= uint64(1)
    while at > start and data[at] & 0xC0 == 0x80:
        at -= uint64(1)
    return at


@njit(cache=True, nogil=True)
def _skip_kept(data, at, stop, action):
    """The first byte from ``at`` on of a character that does not stay, or ``stop``. All the time goes here."""
    while at < stop:
        lead = uint64(data[at])
        if lead < uint64(0x80):
            at += uint64(1)
        elif lead >> uint64(4) == uint64(14):
            point = (lead & uint64(15)) << uint64(12) | (uint64(data[at + uint64(1)]) & uint64(63)) << uint64(6)
            if action[point | (uint64(data[at + uint64(2)]) & uint64(63))] != 0:
                return at
            at += uint64(3)
        elif action[_point(data, at)] != 0:
            return at
        else:
            at = _next_start(data, at)
    return at


@njit(cache=True, nogil=True)
def _fill_edits(offsets, data, action, entry, first_row, edits, edit_ends):
    """Fill the edits of documents from first_row on; the document that found no room, or N when all are done.

    (The array can't grow in here: one that is bound anew inside a loop makes the loop 50 times slower.)
    """
    found = edit_ends[first_row - 1] if first_row else 0
    for row in range(first_row, len(offsets) - 1):
        start, stop = uint64(offsets[row]), uint64(offsets[row + 1])
        at = _skip_kept(data, start, stop, action)
        while at < stop:
            point, after = _point(data, at), _next_start(data, at)
            joins = action[point] == 2
            if joins and at > start and found and uint64(edits[1, found - 1]) == at:
                edits[1, found - 1], edits[2, found - 1] = after, -1
            elif found == edits.shape[1]:
                return row
            else:
                edits[0, found] = _previous_start(data, at, start) if joins else at
                edits[1, found] = after
                edits[2, found] = -1 if joins else entry[point]
                found += 1
            at = _skip_kept(data, after, stop, action)
        edit_ends[row] = found
    return len(offsets) - 1


def _find_edits(offsets: np.ndarray, data: np.ndarray, table: CharMap):
    """(first, last, which, edit_ends): byte ranges that change, their pool strings (-1: a cluster), all int64 [E].

    edit_ends int64 [N]: edits up to and with each document.
    """
    documents = len(offsets) - 1
    edit_ends = np.empty(documents, np.int64)
    edits = np.empty((3, 1024 + len(data) // 256), np.int64)
    done = 0
    while (done := _fill_edits(offsets, data, table.action, table.entry, done, edits, edit_ends)) < documents:
        edits = np.concatenate([edits, np.empty_like(edits)], axis=1)
    found = edit_ends[-1] if documents else 0
    first, last, which = edits[:, :found]
    return first, last, which, edit_ends


@njit(cache=True, nogil=True)
def _write(offsets, data, first, last, which, edit_ends, pool_offsets, pool, out, ends):
    """Fill out uint8 and ends int64 [N] with the edited texts."""
    to, edit = 0, 0
    for row in range(len(offsets) - 1):
        at = offsets[row]
        while edit < edit_ends[row]:
            for source in range(uint64(at), uint64(first[edit])):
                out[uint64(to)] = data[source]
                to += 1
            for source in range(uint64(pool_offsets[which[edit]]), uint64(pool_offsets[which[edit] + 1])):
                out[uint64(to)] = pool[source]
                to += 1
            at = last[edit]
            edit += 1
        rest = offsets[row + 1] - at
        out[to : to + rest] = data[at : offsets[row + 1]]
        to += rest
        ends[row] = to


def _resolve_clusters(data: np.ndarray, first: np.ndarray, last: np.ndarray, which: np.ndarray, table: CharMap):
    """(which [E], pool_offsets, pool): clusters rewritten and added to the table's pool, each distinct one once."""
    clusters = np.flatnonzero(which < 0)
    raw = memoryview(data)  # type: ignore[arg-type]
    pieces: dict[bytes, int] = {}
    next_entry = len(table.pool_offsets) - 1
    numbers = [
        pieces.setdefault(bytes(raw[start:stop]), next_entry + len(pieces))
        for start, stop in zip(first[clusters].tolist(), last[clusters].tolist(), strict=True)
    ]
    which = which.copy()
    which[clusters] = numbers
    rewritten = [table.cluster(piece.decode()).encode() for piece in pieces]
    ends = table.pool_offsets[-1] + np.cumsum([len(piece) for piece in rewritten], dtype=np.int64)
    pool = np.concatenate([table.pool[: table.pool_offsets[-1]], np.frombuffer(b"".join(rewritten), np.uint8)])
    return which, np.concatenate([table.pool_offsets, ends]), pool


def map_chars(array: pa.Array, table: CharMap) -> pa.Array:
    """Apply the table to each text of a string array [N]; large_string [N], nulls become empty texts.

    The same array comes back, uncopied, when nothing in it changes and it has no nulls.
    """
    offsets, data = text_buffers(array)
    first, last, which, edit_ends = _find_edits(offsets, data, table)
    if not len(first):
        same = pa.types.is_large_string(array.type) and not array.null_count
        return array if same else text_array(offsets, data)
    which, pool_offsets, pool = _resolve_clusters(data, first, last, which, table)
    size = offsets[-1] - offsets[0] + (pool_offsets[which + 1] - pool_offsets[which] - last + first).sum()
    out, new_offsets = np.empty(int(size), np.uint8), np.zeros(len(offsets), np.int64)
    _write(offsets, data, first, last, which, edit_ends, pool_offsets, pool, out, new_offsets[1:])
    return text_array(new_offsets, out)
