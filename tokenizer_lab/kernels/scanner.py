"""Where the piece (pre-token) that begins at a byte ends: the named patterns written out by hand.

Each family follows its regular expression alternative by alternative (tokenizer_lab.kernels.patterns); what a
backtracking engine would try again is decided here from runs of characters, so every text takes linear time.

A character is its bits, sums of L letter, N number, S white space, LINE carriage return or line feed, REST none of
letter, number, space; UP and LOW, o200k's two classes of letters (which share Lm, Lo and marks); KANJI, HIRAGANA,
KATAKANA, what begins such a run in ja; TAIL, what stays with any letters before it; OTHER, what goes on a run of other
letters; SLASH, what may follow punctuation in o200k.
"""

from functools import cache

import numpy as np
from numba import njit

from jacorpus.kernels.vectors import trailing_zeros
from tokenizer_lab.kernels import character_classes as classes
from tokenizer_lab.kernels import patterns
from tokenizer_lab.kernels.pointers import eight_bytes

L, N, S, LINE, REST, UP, LOW, KANJI, HIRAGANA, KATAKANA, TAIL, OTHER, SLASH = (1 << bit for bit in range(13))
JAPANESE = KANJI | HIRAGANA | KATAKANA
LOWERCASE, FOLDED, ASCII = 0, 1, 2  # how 's 't 're 've 'm 'll 'd are compared; FOLDED takes ſ (U+017F) for s
EIGHT = 8
FIRST_NOT_ASCII = 0x80
_EVERY = 0x0101010101010101
_CASE, _SEVEN_BITS, _EIGHTH_BITS = (np.uint64(_EVERY * byte) for byte in (0x20, 0x7F, 0x80))
_FROM_A, _OVER_Z = np.uint64(_EVERY * (0x80 - ord("a"))), np.uint64(_EVERY * (0x7F - ord("z")))
_3 = np.uint64(3)
GPT2, CL100K, LLAMA3, O200K, JA, OKURIGANA, NONE = range(7)
FAMILIES = {"gpt2": GPT2, "cl100k": CL100K, "llama3": LLAMA3, "o200k": O200K, "ja": JA, "ja-okurigana": OKURIGANA}


def scanner_of(name: str) -> tuple[int, int]:
    """(family, most digits in a piece or 0 for any) of a name of PATTERNS."""
    if name == "none":
        return NONE, 0
    for digits, end in patterns.DIGITS.items():
        family = name.removesuffix(end)
        if end and family != name:
            return FAMILIES[family], 1 if digits == "single" else 0
    return FAMILIES[name], 0 if name == "gpt2" else 3


@cache
def character_bits() -> np.ndarray:
    """uint16 [0x110000]: the bits of every code point."""
    kinds = classes.character_kinds()
    by_kind = {classes.UPPER: L | UP, classes.LOWER: L | LOW, classes.LETTER: L | UP | LOW, classes.NUMBER: N}
    by_kind |= {classes.MARK: REST | UP | LOW | TAIL, classes.SPACE: S, classes.OTHER: REST}
    bits = np.array([by_kind[kind] for kind in range(len(by_kind))], np.uint16)[kinds]
    for char in "\r\n":
        bits[ord(char)] |= LINE | SLASH
    bits[ord("/")] |= SLASH
    for char in "ー々゛゜":
        bits[ord(char)] |= TAIL
    starts = ((KANJI, patterns.KANJI), (HIRAGANA, patterns.HIRAGANA), (KATAKANA, patterns.KATAKANA))
    for script, ranges in starts:
        for first, last in _ranges(ranges):
            bits[first : last + 1] |= script
    bits[((bits & L > 0) & (bits & JAPANESE == 0)) | (bits & TAIL > 0)] |= OTHER
    bits.flags.writeable = False
    return bits


def _ranges(inside: str) -> list[tuple[int, int]]:
    """Code points of the ranges and single characters of a class."""
    found, at = [], 0
    while at < len(inside):
        wide = inside[at + 1 : at + 2] == "-"
        found.append((ord(inside[at]), ord(inside[at + 2 * wide])))
        at += 1 + 2 * wide
    return found


@njit(cache=True, nogil=True, forceinline=True)
def _at(data, i, bits):
    """(bits of the character at byte i, its bytes)."""
    lead = np.uint32(data[i])
    if lead < FIRST_NOT_ASCII:
        return bits[lead], 1
    if lead < 0xE0:
        return bits[((lead & 0x1F) << 6) | (np.uint32(data[i + 1]) & 0x3F)], 2
    middle = (np.uint32(data[i + 1]) & 0x3F) << 6 | (np.uint32(data[i + 2]) & 0x3F)
    if lead < 0xF0:
        return bits[((lead & 0x0F) << 12) | middle], 3
    return bits[((lead & 0x07) << 18) | (middle << 6) | (np.uint32(data[i + 3]) & 0x3F)], 4


@njit(cache=True, nogil=True, forceinline=True)
def _ascii_letters(data, i, stop):
    """How many of the eight bytes at i are ASCII letters before the first that is none; 0 near the end of the text.

    All eight are looked at together, for the length of a word is what a processor guesses wrong most often.
    """
    if i + EIGHT > stop:
        return 0
    word = eight_bytes(data, i)
    low = (word | _CASE) & _SEVEN_BITS
    # The eighth bit of a byte: at least a, not over z, and ASCII.
    others = ~((low + _FROM_A) & ~(low + _OVER_Z) & ~word) & _EIGHTH_BITS
    return np.int64(trailing_zeros(others) >> _3) if others else EIGHT


@njit(cache=True, nogil=True, forceinline=True)
def _run(data, i, stop, bits, wanted):
    """End of the run of characters with any wanted bit that begins at i."""
    while i < stop:
        if wanted & (L | OTHER) and data[i] < FIRST_NOT_ASCII:
            letters = _ascii_letters(data, i, stop)
            i += letters
            if letters == EIGHT:
                continue
            if i >= stop:
                break
        found, width = _at(data, i, bits)
        if not found & wanted:
            break
        i += width
    return i


@njit(cache=True, nogil=True, forceinline=True)
def _digits(data, i, stop, bits, most):
    if most == 0:
        return _run(data, i, stop, bits, N)
    for _ in range(most):
        if i >= stop:
            break
        found, width = _at(data, i, bits)
        if not found & N:
            break
        i += width
    return i


@njit(cache=True, nogil=True, forceinline=True)
def _contraction(data, i, stop, compare):
    """End of 's, 't, 're, 've, 'm, 'll or 'd at i; i where there is none."""
    if i + 1 >= stop or data[i] != 0x27:
        return i
    fold = np.uint8(0x00 if compare == LOWERCASE else 0x20)
    first = data[i + 1] | fold
    if first == 0x73 or first == 0x74 or first == 0x6D or first == 0x64:  # s t m d
        return i + 2
    if i + 2 >= stop:
        return i
    second = data[i + 2] | fold
    if (first == 0x6C and second == 0x6C) or ((first == 0x72 or first == 0x76) and second == 0x65):  # ll re ve
        return i + 3
    if compare == FOLDED and data[i + 1] == 0xC5 and data[i + 2] == 0xBF:  # ſ
        return i + 3
    return i


@njit(cache=True, nogil=True, forceinline=True)
def _white(data, i, stop, bits, family):
    """End of the piece of white space at i."""
    at = last = line = i
    while at < stop:
        found, width = _at(data, at, bits)
        if not found & S:
            break
        last, at = at, at + width
        if found & LINE:
            line = at
    if at == stop and family <= CL100K:
        return at
    if line > i and family != GPT2:
        return line
    if at == stop or last == i:
        return at
    if family >= JA and _at(data, at, bits)[0] & (JAPANESE | N):
        return at
    return last


@njit(cache=True, nogil=True, forceinline=True)
def _gpt2(data, i, stop, bits):
    end = _contraction(data, i, stop, LOWERCASE)
    if end > i:
        return end
    first = i + 1 if data[i] == 0x20 and i + 1 < stop else i
    found, _ = _at(data, first, bits)
    if found & S:
        return _white(data, i, stop, bits, GPT2)
    return _run(data, first, stop, bits, found & (L | N | REST))


@njit(cache=True, nogil=True, forceinline=True)
def _cl100k(data, i, stop, bits, family, most):
    end = _contraction(data, i, stop, FOLDED)
    if end > i:
        return end
    found, width = _at(data, i, bits)
    if found & L:
        return _run(data, i + width, stop, bits, L)
    if found & N:
        return _digits(data, i, stop, bits, most)
    following = bits[0] ^ bits[0]
    if i + width < stop:
        following, _ = _at(data, i + width, bits)
    if following & L and not found & LINE:
        return _run(data, i + width, stop, bits, L)
    if found & REST or (data[i] == 0x20 and following & REST):
        return _run(data, _run(data, i + width, stop, bits, REST), stop, bits, LINE)
    return _white(data, i, stop, bits, family)


@njit(cache=True, nogil=True, forceinline=True)
def _cased(data, i, stop, bits):
    """(end of upper* lower+ at i or -1, end of upper* at i)."""
    at, both = i, -1
    found = bits[0] ^ bits[0]
    while at < stop:
        found, width = _at(data, at, bits)
        if not found & UP:
            break
        at += width
        if found & LOW:
            both = at
    if at < stop and found & LOW:
        return _run(data, at, stop, bits, LOW), at
    return both, at


@njit(cache=True, nogil=True, forceinline=True)
def _o200k(data, i, stop, bits, most):
    found, width = _at(data, i, bits)
    if found & N:
        return _digits(data, i, stop, bits, most)
    end, upper, behind, upper_behind = -1, i, -1, i + width
    if not found & (L | LINE):
        behind, upper_behind = _cased(data, i + width, stop, bits)
    if behind < 0 and found & (UP | LOW):
        end, upper = _cased(data, i, stop, bits)
    word = behind if behind > 0 else end
    if word < 0 and upper_behind > i + width:
        word = upper_behind
    elif word < 0 and upper > i:
        word = upper
    if word > 0:
        return _contraction(data, word, stop, FOLDED)
    following = bits[0] ^ bits[0]
    if data[i] == 0x20 and i + 1 < stop:
        following, _ = _at(data, i + 1, bits)
    if found & REST or following & REST:
        return _run(data, _run(data, i + width, stop, bits, REST), stop, bits, SLASH)
    return _white(data, i, stop, bits, O200K)


@njit(cache=True, nogil=True, forceinline=True)
def _ja(data, i, stop, bits, family, most):
    end = _contraction(data, i, stop, ASCII)
    if end > i:
        return end
    found, width = _at(data, i, bits)
    if found & KANJI:
        end = _run(data, i + width, stop, bits, KANJI | TAIL)
        return _run(data, end, stop, bits, HIRAGANA | TAIL) if family == OKURIGANA else end
    if found & (HIRAGANA | KATAKANA):
        return _run(data, i + width, stop, bits, (found & (HIRAGANA | KATAKANA)) | TAIL)
    if found & N:
        return _digits(data, i, stop, bits, most)
    first = i
    if data[i] == 0x20 and i + 1 < stop:
        following, next_width = _at(data, i + 1, bits)
        if not following & (S | N | JAPANESE) or (following & REST):
            found, width, first = following, next_width, i + 1
    if found & L:
        return _run(data, first + width, stop, bits, OTHER)
    if found & REST:
        return _run(data, _run(data, first + width, stop, bits, REST), stop, bits, LINE)
    return _white(data, i, stop, bits, family)


@njit(cache=True, nogil=True, forceinline=True)
def piece_end(data, i, stop, bits, family, most):
    """Byte after the piece that begins at byte i < stop of valid UTF-8.

    data, bits: pointers to the text and to character_bits(); family, most: of scanner_of; stop: where the text ends.
    """
    if family in (CL100K, LLAMA3):
        return _cl100k(data, i, stop, bits, family, most)
    if family == GPT2:
        return _gpt2(data, i, stop, bits)
    if family == O200K:
        return _o200k(data, i, stop, bits, most)
    if family != NONE:
        return _ja(data, i, stop, bits, family, most)
    while i < stop and data[i] != 0x0A:
        i += 1
    return min(i + 1, stop)
