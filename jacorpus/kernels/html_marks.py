"""Marks for the extractor, written into a page's HTML in one pass over its UTF-8 bytes.

What the marks are for, and the readable twin, is ``jacorpus/extract/marks.py``: ``mark_html`` here gives what
``deepen_lists(mark_links(mark_lines(strip_marks(html))))`` gives there, or None for the few pages that it
leaves to the twin: those that have marks already, and a tag's name that goes on in letters over ASCII.

Legend: S bytes of HTML, p a place in ``data`` (what is read), q a place in ``out`` (what is written). ``sub``
in a twin looks at the text before any mark of its own was written, so this looks around in ``data``; only the
lists are looked at in ``out``, where all marks are.
"""

from itertools import pairwise

import numpy as np
from numba import njit

_TAB, _LF, _SPACE, _SLASH, _LT, _GT = 9, 10, 32, 47, 60, 62
_LOWER = 32  # bit that turns an ASCII capital into a small letter
_UNDECIDED = -1
_DEEP = 3  # wrappers that take a list out of the reach of resiliparse's rule
_WINDOW = 48  # characters before a list in which the end of prose is looked for
_STOP = np.zeros(256, np.bool_)  # bytes that mean something; all others are copied
_STOP[[1, 2, _LF, _LT, _GT, 0xEA]] = True
_PROSE = tuple(np.frombuffer(name, np.uint8) for name in (b"pre", b"blockquote", b"dl"))
_PRE, _BLOCKQUOTE, _DL = _PROSE


@njit(cache=True, nogil=True)
def _japanese(data, p):
    """Is the character at p, if any, one beside which a line break is no space? All have three bytes."""
    if p + 2 >= len(data) or data[p] < 0xE3:
        return False
    code = (np.int64(data[p]) & 15) << 12 | (np.int64(data[p + 1]) & 63) << 6 | (np.int64(data[p + 2]) & 63)
    if data[p] < 0xEA:
        return 0x3000 <= code <= 0x30FF or 0x3400 <= code <= 0x9FFF
    return data[p] == 0xEF and (0xF900 <= code <= 0xFAFF or 0xFF01 <= code <= 0xFFEF)


@njit(cache=True, nogil=True)
def _white(data, p, stop):
    """Bytes of the white space character at p (as ``\\s`` has it), 0 if it is none."""
    if p >= stop:
        return 0
    byte = data[p]
    if byte < 0x80:
        return 1 if byte == 32 or 9 <= byte <= 13 or 28 <= byte <= 31 else 0
    if byte == 0xC2:
        return 2 if data[p + 1] == 0x85 or data[p + 1] == 0xA0 else 0
    if byte == 0xE1:
        return 3 if data[p + 1] == 0x9A and data[p + 2] == 0x80 else 0
    if byte == 0xE2 and data[p + 1] == 0x80:
        last = data[p + 2]
        return 3 if last <= 0x8A or last == 0xA8 or last == 0xA9 or last == 0xAF else 0
    if byte == 0xE2:
        return 3 if data[p + 1] == 0x81 and data[p + 2] == 0x9F else 0
    return 3 if byte == 0xE3 and data[p + 1] == 0x80 and data[p + 2] == 0x80 else 0


@njit(cache=True, nogil=True)
def _breaks(data, p):
    """Does the line break at p stand beside Japanese?"""
    if p >= 3 and data[p - 1] >= 0x80 and _japanese(data, p - 3):
        return True
    p += 1
    while p < len(data) and (data[p] == _SPACE or data[p] == _TAB):
        p += 1
    return _japanese(data, p)


@njit(cache=True, nogil=True)
def _alone(data, p):
    """Place after a Japanese character that stands alone between the ``>`` at p and a ``<``; -1 if none does.

    A line break beside it has a mark, so that it is alone no more.
    """
    p += 1
    while p < len(data) and (data[p] == _SPACE or data[p] == _TAB):
        p += 1
    if not _japanese(data, p):
        return -1
    found = p = p + 3
    if p < len(data) and data[p] == _LF:
        return -1
    while p < len(data) and (data[p] == _SPACE or data[p] == _TAB or data[p] == _LF):
        p += 1
    return found if p < len(data) and data[p] == _LT else -1


@njit(cache=True, nogil=True)
def _parted(data, p):
    """Is there white space at p, and no mark before it?"""
    return _white(data, p, len(data)) > 0 and not (data[p] == _LF and _breaks(data, p))


@njit(cache=True, nogil=True)
def _tag_end(data, p):
    """Place of the first ``>`` from p on; S if there is none."""
    while p < len(data) and data[p] != _GT:
        p += 1
    return p


@njit(cache=True, nogil=True)
def _link(data, p):
    """Place of the ``>`` of a link's tag that begins at p; -1 if none does."""
    if p + 2 >= len(data) or data[p + 1] | _LOWER != 97 or not _parted(data, p + 2):
        return -1
    return _tag_end(data, p + 2)


@njit(cache=True, nogil=True)
def _list(data, p):
    """Place of the ``>`` of a list's first or last tag that begins at p; -1 if none does."""
    p += 2 if p + 1 < len(data) and data[p + 1] == _SLASH else 1
    if p + 2 >= len(data) or data[p] | _LOWER != 117 or data[p + 1] | _LOWER != 108:
        return -1
    if data[p + 2] == _GT:
        return p + 2
    return _tag_end(data, p + 2) if _parted(data, p + 2) else -1


@njit(cache=True, nogil=True)
def _closes_link(data, p):
    if p + 3 >= len(data) or data[p + 1] != _SLASH or data[p + 3] != _GT:
        return False
    return data[p + 2] | _LOWER == 97


@njit(cache=True, nogil=True)
def _letter_mark(out, q, last):
    out[q], out[q + 1], out[q + 2] = 0xEA, 0x9B, last
    return q + 3


@njit(cache=True, nogil=True)
def _mark(data, links, stop, out, tags):
    """Write data with marks into out, and (first place, place after) in out of list tags into tags.

    Returns (bytes written or _UNDECIDED, links, closed links, list tags).
    """
    size = len(data)
    p, q, opened, closed, listed = 0, 0, 0, 0, 0
    alone, link, tag = -1, -1, -1  # where the next KEEP stands; where the tags end that p is in
    while p < size:
        byte = data[p]
        if not stop[byte]:
            out[q] = byte
            p += 1
            q += 1
            if p == alone:
                q = _letter_mark(out, q, 0xB2)
            continue
        if byte == _LF:
            if _breaks(data, p):
                q = _letter_mark(out, q, 0xB3)
        elif byte == _LT:
            if links and _closes_link(data, p):
                out[q] = 2
                q += 1
                closed += 1
            if links and p > link:
                end = _link(data, p)
                link = end if end >= 0 else link
            if p > tag:
                end = _list(data, p)
                tag = end if end >= 0 else tag
                if 0 <= end < size:
                    tags[listed, 0] = q
        elif byte == _GT:
            alone = _alone(data, p)
        elif byte < 3 or (p + 2 < size and data[p + 1] == 0x9B and 0xB2 <= data[p + 2] <= 0xB7):
            return _UNDECIDED, 0, 0, 0
        out[q] = byte
        q += 1
        if p == tag:
            tags[listed, 1] = q
            listed += 1
        if p == link:
            out[q] = 1
            q += 1
            opened += 1
        p += 1
    return q, opened, closed, listed


@njit(cache=True, nogil=True)
def _named(data, p, stop, name):
    if p + len(name) > stop:
        return False
    i = 0
    while i < len(name) and data[p + i] | _LOWER == name[i]:
        i += 1
    return i == len(name)


@njit(cache=True, nogil=True)
def _prose_name(data, p, stop, pre, blockquote, dl, after):
    """Place after the name of a prose tag at p, which the byte ``after`` follows, or any byte that ends a name.

    -1: it is another name. -2: a character over ASCII comes next, which may be a letter. after: 0 for any.
    """
    lengths = (1, 3, 10, 2, 2)
    for kind in range(5):
        end = p + lengths[kind]
        if kind == 0:
            right = p < stop and data[p] | _LOWER == 112
        elif kind == 4:
            right = p + 1 < stop and data[p] | _LOWER == 104 and 49 <= data[p + 1] <= 54
        else:
            right = _named(data, p, stop, pre if kind == 1 else blockquote if kind == 2 else dl)
        if not right:
            continue
        if end >= stop:
            return end if after == 0 else -1
        byte = data[end]
        if after and byte == after:
            return end
        if not after and byte >= 0x80:
            return -2
        letter = byte == 95 or 48 <= byte <= 57 or 97 <= byte | _LOWER <= 122
        if not after and not letter:
            return end
    return -1


@njit(cache=True, nogil=True)
def _prose_ends(out, start, pre, blockquote, dl):
    """Does prose end right before start: text, or the last tag of a paragraph?"""
    p, seen = start, 0
    while p > 0 and seen < _WINDOW:
        last = p
        p -= 1
        while p > 0 and out[p] & 0xC0 == 0x80:
            p -= 1
        seen += 1
        if _white(out, p, last):
            continue
        if out[p] != _GT:
            return True
        low = p
        while low > 0 and p - low < _WINDOW - seen and out[low] != _LT:
            low -= 1
            if out[low] >= 0x80:
                return False
        if out[low] != _LT or low + 1 >= p or out[low + 1] != _SLASH:
            return False
        return _prose_name(out, low + 2, p + 1, pre, blockquote, dl, _GT) == p
    return False


@njit(cache=True, nogil=True)
def _prose_begins(out, p, stop, pre, blockquote, dl):
    """1 where a paragraph's first tag stands right after p, 0 where not, -2 where the twin has to look."""
    width = _white(out, p, stop)
    while width > 0:
        p += width
        width = _white(out, p, stop)
    if p >= stop or out[p] != _LT:
        return 0
    end = _prose_name(out, p + 1, stop, pre, blockquote, dl, 0)
    return -2 if end == -2 else 1 if end >= 0 else 0


@njit(cache=True, nogil=True)
def _deep_lists(out, stop, tags, listed, pre, blockquote, dl):
    """Keep in tags, as (start, end), the outermost lists that stand beside prose; returns their number."""
    level, start, found, prose = 0, 0, 0, False
    for i in range(listed):
        first, end = tags[i, 0], tags[i, 1]
        if out[first + 1] != _SLASH:
            if level == 0:
                start = first
                prose = _prose_ends(out, start, pre, blockquote, dl)
            level += 1
        elif level > 0:
            level -= 1
            if level == 0:
                begins = 1 if prose else _prose_begins(out, end, stop, pre, blockquote, dl)
                if begins == -2:
                    return _UNDECIDED
                if begins:
                    tags[found, 0], tags[found, 1] = start, end
                    found += 1
    return found


def mark_html(html: str, links: bool) -> str | None:
    """HTML with all marks (links: those of links too); None where the twin has to do it."""
    try:
        body = html.encode()
    except UnicodeEncodeError:
        return None
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    data = np.frombuffer(body, np.uint8)
    out = np.empty(4 * len(data) + 8, np.uint8)  # a page of line breaks grows most
    tags = np.empty((len(data) // 4 + 1, 2), np.int64)
    size, opened, closed, listed = _mark(data, links, _STOP, out, tags)
    if closed and not opened:  # no link at all: its last tags mean nothing
        size, opened, closed, listed = _mark(data, False, _STOP, out, tags)
    if size == _UNDECIDED:
        return None
    lists = _deep_lists(out, size, tags, listed, _PRE, _BLOCKQUOTE, _DL)
    if lists == _UNDECIDED:
        return None
    if not lists:
        return str(out[:size].data, "utf-8")
    places = [0, *tags[:lists].ravel().tolist(), size]
    pieces = [out[a:b].data for a, b in pairwise(places)]
    joints = [b"<div>" * _DEEP, b"</div>" * _DEEP] * lists
    whole = b"".join([part for pair in zip(pieces, joints, strict=False) for part in pair] + [pieces[-1]])
    return whole.decode()
