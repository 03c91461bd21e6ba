"""SentencePiece's normalizer: a charsmap, white space, and where each byte came from.

At each place the longest string of the charsmap is replaced, else the character stays. ``squeeze``
(``remove_extra_whitespaces``) takes spaces off both ends and leaves one of each run; the mark U+2581 at the end of a
text goes with them. Spaces stay spaces here: the Unigram kernel reads them as the mark.

The charsmap, as the file has it: four bytes with the size of a trie in bytes, the trie (a Darts double array of
uint32), and the replacements, each ended by NUL. Source: read in google/sentencepiece 0.2.3 ``normalizer.cc`` and its
``darts.h``.

Legend: N documents, S bytes of UTF-8 read, R bytes written.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numba import njit

from jacorpus.kernels.buffers import text_array, text_buffers
from tokenizer_lab.kernels.pointers import pointer

_MARK = "▁".encode()


@dataclass(frozen=True)
class Charsmap:
    """trie: uint32 [...], empty without a charsmap. replacements: uint8 [...]. squeeze: see above."""

    trie: np.ndarray
    replacements: np.ndarray
    squeeze: bool


def read_charsmap(content: bytes, squeeze: bool) -> Charsmap:
    """The tables of ``precompiled_charsmap``. Raises ValueError where it is cut short."""
    if not content:
        return Charsmap(np.zeros(0, np.uint32), np.zeros(0, np.uint8), squeeze)
    size = int.from_bytes(content[:4], "little")
    if size % 4 or 4 + size >= len(content):
        raise ValueError("the charsmap is cut short")
    trie = np.frombuffer(content, np.uint32, size // 4, 4).copy()
    return Charsmap(trie, np.frombuffer(content, np.uint8, -1, 4 + size).copy(), squeeze)


def normalize_naive(array: pa.Array, charsmap: Charsmap) -> tuple[pa.Array, list[list[int]]]:
    """``normalize``, a place at a time."""
    texts, maps = [], []
    for text in array.to_pylist():
        out, places = _normalized((text or "").encode(), charsmap)
        texts.append(out.decode())
        maps.append(places)
    return pa.array(texts, pa.large_string()), maps


def _normalized(raw: bytes, charsmap: Charsmap) -> tuple[bytes, list[int]]:
    at, out, places = 0, bytearray(), []
    while charsmap.squeeze and at < len(raw):
        piece, used = _prefix(raw, at, charsmap)
        if piece != b" ":
            break
        at += used
    after_space = charsmap.squeeze
    while at < len(raw):
        piece, used = _prefix(raw, at, charsmap)
        if after_space:
            piece = piece.lstrip(b" ")
        out += piece
        places += [at] * len(piece)
        if piece:
            after_space = piece.endswith(b" ") and charsmap.squeeze
        at += used
    while charsmap.squeeze and out.endswith((b" ", _MARK)):
        short = len(out) - (1 if out.endswith(b" ") else len(_MARK))
        at = places[short]
        del out[short:], places[short:]
    return bytes(out), [*places, at]


def _prefix(raw: bytes, at: int, charsmap: Charsmap) -> tuple[bytes, int]:
    """(what stands for the next place, bytes it takes)."""
    found, value = 0, 0
    if len(charsmap.trie):
        node = _offset(int(charsmap.trie[0]))
        for k, byte in enumerate(raw[at:], 1):
            node ^= byte
            unit = int(charsmap.trie[node])
            if unit & 0x800000FF != byte:
                break
            node ^= _offset(unit)
            if unit >> 8 & 1:
                found, value = k, int(charsmap.trie[node]) & 0x7FFFFFFF
    if found:
        rest = charsmap.replacements[value:].tobytes()
        return rest[: rest.index(0)], found
    width = 1 if raw[at] < 0x80 else 2 if raw[at] < 0xE0 else 3 if raw[at] < 0xF0 else 4
    return raw[at : at + width], width


def _offset(unit: int) -> int:
    return unit >> 10 << ((unit & 0x200) >> 6)


@njit(cache=True, nogil=True, forceinline=True)
def _match(data, at, stop, trie, mapped):
    """(bytes of the longest entry at this place, where its replacement begins); (0, 0) without one."""
    found, value = np.int64(0), np.int64(0)
    if mapped:
        unit = np.int64(trie[0])
        node = (unit >> 10) << ((unit & 0x200) >> 6)
        for k in range(at, stop):
            byte = np.int64(data[k])
            node ^= byte
            unit = np.int64(trie[node])
            if unit & 0x800000FF != byte:
                break
            node ^= (unit >> 10) << ((unit & 0x200) >> 6)
            if (unit >> 8) & 1:
                found, value = np.int64(k + 1 - at), np.int64(trie[node]) & 0x7FFFFFFF
    return found, value


@njit(cache=True, nogil=True)
def _normalize(offsets, data, trie, replacements, squeeze, ends, out, places, first):
    """Documents from ``first`` on; returns the one for which there was no room, or N. places: one entry a document
    more than bytes. A document's bytes lie at ends[d]:ends[d + 1], its places at ends[d] + d."""
    p_data, p_trie, mapped = pointer(data), pointer(trie), len(trie) > 0
    for d in range(first, len(offsets) - 1):
        at, stop, o = offsets[d], offsets[d + 1], ends[d]
        start = o
        after_space = squeeze
        while at < stop:
            used, value = _match(p_data, at, stop, p_trie, mapped)
            if used:
                size = 0
                while replacements[value + size] != 0:
                    size += 1
            else:
                lead = data[at]
                used = 1 if lead < 0x80 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
                size, value = used, -1
            if o + size + 4 > len(out):
                return d
            skipped, wrote = 0, o
            for k in range(size):
                byte = data[at + k] if value < 0 else replacements[value + k]
                if after_space and skipped == k and byte == 32:
                    skipped += 1
                    continue
                out[o] = byte
                places[o + d] = at - offsets[d]
                o += 1
            if o > wrote:
                after_space = squeeze and out[o - 1] == 32
            at += used
        last = at - offsets[d]
        while squeeze and o > start:
            if out[o - 1] == 32:
                o -= 1
            elif o - start >= 3 and out[o - 3] == 0xE2 and out[o - 2] == 0x96 and out[o - 1] == 0x81:
                o -= 3
            else:
                break
            last = places[o + d]
        places[o + d] = last
        ends[d + 1] = o
    return len(offsets) - 1


def normalize(array: pa.Array, charsmap: Charsmap) -> tuple[pa.Array, np.ndarray]:
    """(large_string [N], int64 [R + N]: for each byte, and the end, of each document the byte of the text it is from).

    The places of document d begin at its offset + d.
    """
    offsets, data = text_buffers(array)
    ends = np.zeros(len(offsets), np.int64)
    room = int(offsets[-1] - offsets[0]) * 3 // 2 + 64
    out, places = np.empty(room, np.uint8), np.empty(room + len(array), np.int64)
    done = _normalize(offsets, data, charsmap.trie, charsmap.replacements, charsmap.squeeze, ends, out, places, 0)
    while done < len(array):
        kept = int(ends[done])
        room = 2 * room + int(offsets[done + 1] - offsets[done]) * 4
        more, more_places = np.empty(room, np.uint8), np.empty(room + len(array), np.int64)
        more[:kept], more_places[: kept + done] = out[:kept], places[: kept + done]
        out, places = more, more_places
        done = _normalize(
            offsets, data, charsmap.trie, charsmap.replacements, charsmap.squeeze, ends, out, places, done
        )
    total = int(ends[-1])
    return text_array(ends, out[:total]), places[: total + len(array)]
