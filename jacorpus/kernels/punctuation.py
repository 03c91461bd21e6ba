"""Swallow's punctuation vote over Arrow buffers: ，． become 、。 where a text prefers them after Japanese.

Both marks of a pair take three bytes in UTF-8, so a text never moves: marks are overwritten in a copy.

Legend: N documents.
"""

import re

import numpy as np
import pyarrow as pa
from numba import njit

from jacorpus.kernels.buffers import text_array, text_buffers

_JAPANESE = "[）」』］〕】〉》ぁ-ゖァ-ヺ々〇〻㐀-\u9fff\uf900-\ufaff\U00020000-\U0002ffff]"
_PAIRS = (("、", "，"), ("。", "．"))


def vote_naive(text: str) -> tuple[str, int]:
    """(text, marks replaced) of one text."""
    replaced = 0
    for own, western in _PAIRS:
        if len(re.findall(_JAPANESE + own, text)) < len(re.findall(_JAPANESE + western, text)):
            text, here = re.subn(f"(?<=[^０-９Ａ-Ｚａ-ｚ]){western}", own, text)
            replaced += here
    return text, replaced


@njit(cache=True, nogil=True)
def _mark(data, at):
    """1 、 2 ， 3 。 4 ． at ``at`` (which has three bytes), else 0."""
    if data[at] == 0xE3 and data[at + 1] == 0x80:
        third = data[at + 2]
        return 1 if third == 0x81 else 3 if third == 0x82 else 0
    if data[at] == 0xEF and data[at + 1] == 0xBC:
        third = data[at + 2]
        return 2 if third == 0x8C else 4 if third == 0x8E else 0
    return 0


@njit(cache=True, nogil=True)
def _point_before(data, at, start):
    """Code point of the character that ends at ``at`` if it has three or four bytes; 1 for others, 0 for none."""
    if at == start:
        return 0
    if at - start >= 3 and data[at - 3] >> 4 == 14:
        return (np.int64(data[at - 3] & 15) << 12) | (np.int64(data[at - 2] & 63) << 6) | np.int64(data[at - 1] & 63)
    if at - start >= 4 and data[at - 4] >> 3 == 30:
        tail = (np.int64(data[at - 2] & 63) << 6) | np.int64(data[at - 1] & 63)
        return (np.int64(data[at - 4] & 7) << 18) | (np.int64(data[at - 3] & 63) << 12) | tail
    return 1


@njit(cache=True, nogil=True)
def _is_japanese(point):
    """Whether a mark after this character votes: kana, kanji or closing bracket, as Swallow has them."""
    if point < 0x3005:
        return False
    if point < 0x3400:
        kana = 0x3041 <= point <= 0x3096 or 0x30A1 <= point <= 0x30FA
        symbol = point == 0x3005 or point == 0x3007 or point == 0x303B
        bracket = (0x3009 <= point <= 0x3011 and point & 1) or point == 0x3015  # 〉》」』】〕
        return kana or symbol or bracket
    if point <= 0x9FFF or 0xF900 <= point <= 0xFAFF:
        return True
    return point == 0xFF09 or point == 0xFF3D or 0x20000 <= point <= 0x2FFFF


@njit(cache=True, nogil=True)
def _is_wide_alphanumeric(point):
    return 0xFF10 <= point <= 0xFF19 or 0xFF21 <= point <= 0xFF3A or 0xFF41 <= point <= 0xFF5A


@njit(cache=True, nogil=True)
def _vote(offsets, data, wins):
    """Fill wins bool [N, 2]: whether ， and ． win; whether any does."""
    some = False
    for row in range(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        votes = np.zeros(5, np.int64)
        for at in range(start, stop - 2):
            lead = data[at]
            if (lead == 0xE3 or lead == 0xEF) and _mark(data, at) and _is_japanese(_point_before(data, at, start)):
                votes[_mark(data, at)] += 1
        wins[row, 0], wins[row, 1] = votes[2] > votes[1], votes[4] > votes[3]
        some |= wins[row, 0] or wins[row, 1]
    return some


@njit(cache=True, nogil=True)
def _replace(offsets, data, wins, out, replaced):
    """Overwrite marks in out (a copy of data) and fill replaced int32 [N]."""
    for row in range(len(offsets) - 1):
        if not (wins[row, 0] or wins[row, 1]):
            continue
        start = offsets[row]
        for at in range(start, offsets[row + 1] - 2):
            if data[at] != 0xEF:
                continue
            mark = _mark(data, at)
            if not ((mark == 2 and wins[row, 0]) or (mark == 4 and wins[row, 1])):
                continue
            before = _point_before(data, at, start)
            if before and not _is_wide_alphanumeric(before):
                out[at], out[at + 1], out[at + 2] = 0xE3, 0x80, 0x81 if mark == 2 else 0x82
                replaced[row] += 1


def vote_punctuation(array: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """(large_string [N], marks replaced int32 [N]) of a string array [N]; nulls become empty texts.

    The same array comes back, uncopied, when no text changes and it has no nulls.
    """
    offsets, data = text_buffers(array)
    wins, replaced = np.zeros((len(offsets) - 1, 2), np.bool_), np.zeros(len(offsets) - 1, np.int32)
    if not _vote(offsets, data, wins):
        same = pa.types.is_large_string(array.type) and not array.null_count
        return (array if same else text_array(offsets, data)), replaced
    first = offsets[0]
    data = data[first : offsets[-1]]
    offsets = offsets - first
    out = data.copy()
    _replace(offsets, data, wins, out, replaced)
    return text_array(offsets, out), replaced
