"""Clean line breaks, controls and invisible characters in one pass over Arrow buffers.

The rules are those of ``clean_naive``. A first pass only looks whether a text is clean already; most are.

Legend: N documents, S bytes of UTF-8.
"""

import re

import numpy as np
import pyarrow as pa
from numba import njit

from jacorpus.kernels.buffers import text_array, text_buffers

LF, TAB, SPACE = 0x0A, 0x09, 0x20
_BREAKS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f\xad\u200b\u2060\ufeff]")


def clean_naive(text: str, blank_lines: int) -> str:
    """Clean one text.

    CRLF, CR, VT, FF, NEL, LS and PS become LF; other C0 controls but tab, DEL, soft hyphen, zero-width space,
    word joiner and BOM go (the joiners U+200C and U+200D stay: emoji and Indic scripts need them); spaces at
    the end of lines go; at most ``blank_lines`` blank lines stay in a row, none at the beginning; the end has
    at most one LF.
    """
    text = _INVISIBLE.sub("", _BREAKS.sub("\n", text))
    text = "\n".join(line.rstrip(" \t\u3000\xa0") for line in text.split("\n"))
    text = re.sub(f"\n{{{blank_lines + 2},}}", "\n" * (blank_lines + 1), text.lstrip("\n"))
    return re.sub("\n+\\Z", "\n", text)


@njit(cache=True, nogil=True)
def _space_before(data, at, start):
    """Bytes of the space (ASCII, tab, U+3000, U+00A0) that ends at ``at``; 0 where there is none."""
    if at > start and (data[at - 1] == SPACE or data[at - 1] == TAB):
        return 1
    if at - start >= 3 and data[at - 1] == 0x80 and data[at - 2] == 0x80 and data[at - 3] == 0xE3:
        return 3
    if at - start >= 2 and data[at - 1] == 0xA0 and data[at - 2] == 0xC2:
        return 2
    return 0


@njit(cache=True, nogil=True)
def _special(data, at, stop):
    """(bytes, becomes LF) of a break or invisible character at ``at``; bytes is 0 for any other character."""
    lead = data[at]
    if lead == 0x0D:
        return (2, True) if at + 1 < stop and data[at + 1] == LF else (1, True)
    if lead < 0x20:
        return (0, False) if lead in (TAB, LF) else (1, lead in (0x0B, 0x0C))
    if lead == 0x7F:
        return 1, False
    if lead == 0xC2 and (data[at + 1] == 0x85 or data[at + 1] == 0xAD):
        return 2, data[at + 1] == 0x85
    if lead == 0xE2:
        second, third = data[at + 1], data[at + 2]
        if second == 0x80 and (third == 0x8B or third == 0xA8 or third == 0xA9):
            return 3, third != 0x8B
        return (3, False) if second == 0x81 and third == 0xA0 else (0, False)
    if lead == 0xEF and data[at + 1] == 0xBB and data[at + 2] == 0xBF:
        return 3, False
    return 0, False


@njit(cache=True, nogil=True)
def _is_clean(data, start, stop, blank_lines, watched):
    """Whether a text needs no change; ``watched`` bool [256] marks the bytes that can start something."""
    at, breaks = start, blank_lines + 1  # no line break may open a text
    while at < stop:
        lead = data[at]
        if not watched[lead]:
            breaks = 0
        elif lead == LF:
            if _space_before(data, at, start) or breaks > blank_lines:
                return False
            breaks += 1
        elif _special(data, at, stop)[0]:
            return False
        else:
            breaks = 0
        at += 1
    if _space_before(data, stop, start):
        return False
    return not (stop - start >= 2 and data[stop - 1] == LF and data[stop - 2] == LF)


@njit(cache=True, nogil=True)
def _strip(out, to, begin):
    """Where the text that ends at ``to`` ends without spaces."""
    space = _space_before(out, to, begin)
    while space:
        to -= space
        space = _space_before(out, to, begin)
    return to


@njit(cache=True, nogil=True)
def _clean_into(data, start, stop, blank_lines, watched, out, to):
    """Write the clean text at ``to``; where it ends."""
    begin, at = to, start
    while at < stop:
        lead = data[at]
        width, is_break = 0, False
        if watched[lead]:
            width, is_break = (1, True) if lead == LF else _special(data, at, stop)
        if width == 0:
            out[to] = lead
            to += 1
            at += 1
            continue
        at += width
        if not is_break:
            continue
        to = _strip(out, to, begin)
        breaks = 0
        while breaks <= blank_lines and to - breaks > begin and out[to - breaks - 1] == LF:
            breaks += 1
        if breaks <= blank_lines and to > begin:
            out[to] = LF
            to += 1
    to = _strip(out, to, begin)
    while to - begin >= 2 and out[to - 1] == LF and out[to - 2] == LF:
        to -= 1
    return to


@njit(cache=True, nogil=True)
def _find_unclean(offsets, data, blank_lines, watched, unclean):
    """Fill unclean bool [N]; how many there are."""
    found = 0
    for row in range(len(offsets) - 1):
        unclean[row] = not _is_clean(data, offsets[row], offsets[row + 1], blank_lines, watched)
        found += unclean[row]
    return found


@njit(cache=True, nogil=True)
def _clean(offsets, data, blank_lines, watched, unclean, out, ends):
    """Fill out and ends int64 [N]; texts that are clean are copied."""
    to = 0
    for row in range(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        if unclean[row]:
            to = _clean_into(data, start, stop, blank_lines, watched, out, to)
        else:
            out[to : to + stop - start] = data[start:stop]
            to += stop - start
        ends[row] = to


_WATCHED = np.zeros(256, np.bool_)
_WATCHED[:0x20] = True
_WATCHED[[0x7F, 0xC2, 0xE2, 0xEF]] = True
_WATCHED[TAB] = False


def clean_whitespace(array: pa.Array, blank_lines: int = 1) -> pa.Array:
    """Clean each text of a string array [N] (see ``clean_naive``); large_string [N], nulls become empty.

    The same array comes back, uncopied, when all of it is clean and it has no nulls.
    """
    offsets, data = text_buffers(array)
    unclean = np.empty(len(offsets) - 1, np.bool_)
    if not _find_unclean(offsets, data, blank_lines, _WATCHED, unclean):
        same = pa.types.is_large_string(array.type) and not array.null_count
        return array if same else text_array(offsets, data)
    out, new_offsets = np.empty(int(offsets[-1] - offsets[0]), np.uint8), np.zeros(len(offsets), np.int64)
    _clean(offsets, data, blank_lines, _WATCHED, unclean, out, new_offsets[1:])
    return text_array(new_offsets, out[: new_offsets[-1]])
