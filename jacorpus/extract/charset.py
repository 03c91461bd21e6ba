"""Which charset are these bytes in? Every clue is only a candidate; the decoded text decides.

Headers lie, meta tags lie, and detectors guess. Clues are taken in the order of the WHATWG standard (byte
order mark, HTTP, meta, ISO-2022-JP escapes, detector). A candidate whose decoding has no error and looks
like language is taken; else the one with the least damage wins, within a budget of replacement characters.

Words: a *label* is what a header says (``x-sjis``); a *charset* is what it means here (``cp932``). *Damage*
is the mean implausibility (0 fine, 1 impossible) of a text's characters over ASCII (``plausible.py``).

Deviations from WHATWG: a declared charset may be overruled; meta is searched in the first 64 KiB, not in
1024 bytes; EUC-JP and ISO-2022-JP keep Python's U+301C and U+2212 (cp932 gives U+FF5E and U+FF0D; the
normalizer unifies them); NEC row 13 and half-width kana, which Python's codecs refuse there, are decoded.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from jacorpus.extract.labels import charset_of
from jacorpus.extract.plausible import damage

How: TypeAlias = Literal["bom", "http", "meta", "escape", "detector"]

META_BYTES = 65_536
"""How far a meta tag is searched: most are in the first 1024 bytes, real pages have them later."""

_NEAR = 4096
"""What is searched first: a meta tag that ends in there is the first of all that follows, too."""

DETECT_BYTES = 32_768
"""How much of the bytes over ASCII a detector or a comparison sees."""

GUESS_BYTES = 12_288
"""How much of that the detector sees: it is slow on Korean and Cyrillic."""

MARGIN = 0.15
"""By how much less damage an undeclared charset has to do to overrule a declared one."""

BELIEVED = 0.04
"""Damage of the first characters up to which a declared charset that decodes without error is taken at its word."""

_ENOUGH = 64
"""Characters over ASCII that such a judgment needs."""

_NOT_GUESSED = ("mac", "cp85", "cp86")
"""Charsets that the detector confuses with those of Windows and that pages are never in undeclared."""

_MULTI_BYTE = ("cp932", "euc-jp", "cp949", "gb18030", "big5hkscs")

_ALWAYS_TRIED = ("cp932", "euc-jp", "utf-8", "cp949", "windows-1252", "windows-1251")

_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_ESCAPES = (b"\x1b$B", b"\x1b$@", b"\x1b(J", b"\x1b(I")
_COMMENT = re.compile(rb"<!--.*?(?:-->|$)", re.S)
_META = re.compile(rb"<meta\b[^>]*?\bcharset\s*=\s*[\"']?\s*([^\s\"'/>;]+)")
_XML = re.compile(rb"<\?xml\b[^>]*?\bencoding\s*=\s*[\"']\s*([^\"'>]+)")
_SHIFT = re.compile(rb"\x1b(\$[@B]|\$\(D|\([BJI])")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded body.

    charset: the codec, e.g. ``cp932``. how: the clue that named it. replacements: U+FFFD put in by decoding.
    truncated_tail: the body ended inside a character, which was dropped.
    """

    text: str
    charset: str
    how: How
    replacements: int
    truncated_tail: bool


@dataclass(frozen=True, slots=True)
class Undecoded:
    """A body that no candidate decodes. reason: ``empty``, ``over_budget`` or ``unknown_label``."""

    reason: Literal["empty", "over_budget", "unknown_label"]
    detail: str


def decode(
    body: bytes, http_charset: str | None = None, *, html: bool = True, budget: float = 0.02
) -> Decoded | Undecoded:
    """Text of body.

    http_charset: the label of the HTTP header, as found. html: look for a meta tag or XML declaration.
    budget: largest share of characters that may be replacement characters (one is always allowed).
    """
    if not body:
        return Undecoded("empty", "the body has no bytes")
    if wide := _by_mark(body, budget) or _wide(body, http_charset):
        return wide
    if (controls := _control_share(body)) > budget:
        return Undecoded("over_budget", f"{controls:.0%} of the first bytes are control characters: this is no text")
    if http_charset and charset_of(http_charset) == "utf-8" and (text := _sound_utf8(body)) is not None:
        return Decoded(text, "utf-8", "http", 0, False)
    labels = list(_declared(body, http_charset, html))
    declared = [(charset, how) for label, how in labels if (charset := charset_of(label))]
    if body.isascii():
        return _seven_bit(body, declared)
    if (found := _as_utf8(body)) is not None:
        text, replacements, truncated = found
        denied = bool(declared) and all(charset in _MULTI_BYTE for charset, _ in declared)
        if _is_utf8(len(body) - len(text), replacements, denied):
            return Decoded(text, "utf-8", _how("utf-8", declared), replacements, truncated)
    best = _believed(body, declared) or _best(body, declared)
    allowed = max(1, int(budget * len(best.text)))
    if best.replacements <= allowed:
        return best
    if len(declared) < len(labels):
        unknown = next(label for label, _ in labels if not charset_of(label))
        return Undecoded("unknown_label", f"charset label {unknown[:40]!r} is not known and no other charset fits")
    return Undecoded(
        "over_budget", f"{best.replacements} of {len(best.text)} characters can't be read as {best.charset}"
    )


def decode_as(body: bytes, charset: str) -> tuple[str, int, bool]:
    """(text, replacement characters put in, whether an incomplete last character was dropped)."""
    if charset == "utf-8":
        text, used = codecs.utf_8_decode(body, "replace", False)
        found = text.count("\ufffd")
        return text, found - body.count(b"\xef\xbf\xbd") if found else 0, used < len(body)
    if charset == "iso-2022-jp":
        return _decode_iso2022(body)
    decoder = codecs.getincrementaldecoder(charset)("jacorpus.nec" if charset == "euc-jp" else "replace")
    text = decoder.decode(body, False)
    return text, text.count("\ufffd"), bool(decoder.getstate()[0])


def meta_label(body: bytes) -> str | None:
    """Label of the first meta tag with a charset, else of the XML declaration."""
    head = _uncommented(body[:_NEAR])
    found = _META.search(head)
    if found is None or found.end() == len(head):  # none, or one that may go on
        head = _uncommented(body[:META_BYTES])
        found = _META.search(head) or _XML.match(head.lstrip())
    return found[1].decode("ascii", "replace") if found else None


def _uncommented(head: bytes) -> bytes:
    head = head.lower()  # labels have no case, and a search without case is ten times slower
    return _COMMENT.sub(b"", head) if b"<!--" in head else head


def _by_mark(body: bytes, budget: float) -> Decoded | None:
    for mark, charset in _BOMS:
        if body.startswith(mark):
            text, replacements, truncated = decode_as(body[len(mark) :], charset)
            if replacements <= max(1, int(budget * len(text))):
                return Decoded(text, charset, "bom", replacements, truncated)
    return None


def _wide(body: bytes, http_charset: str | None) -> Decoded | None:
    """UTF-16 without a mark: every other byte of the markup is NUL."""
    head = body[:1024]
    if head.count(0) * 4 < len(head):
        return None
    charset = "utf-16-be" if head[::2].count(0) > head[1::2].count(0) else "utf-16-le"
    text, replacements, truncated = decode_as(body, charset)
    how: How = "http" if charset_of(http_charset or "") in ("utf-16-le", "utf-16-be") else "detector"
    return None if "\0" in text else Decoded(text, charset, how, replacements, truncated)


_CONTROLS = bytes(set(range(32)) - set(b"\t\n\f\r\x1b"))
_NO_CONTROLS = bytes(set(range(256)) - set(_CONTROLS))


def _control_share(body: bytes) -> float:
    head = body[:8192]
    return len(head.translate(None, _NO_CONTROLS)) / len(head)


def _declared(body: bytes, http_charset: str | None, html: bool) -> Iterator[tuple[str, How]]:
    if http_charset:
        yield http_charset, "http"
    label = meta_label(body) if html else None
    if label:
        # A meta tag that could be read as ASCII can't be in UTF-16: the standard reads it as UTF-8.
        yield ("utf-8" if label.lower().startswith("utf-16") else label), "meta"


def _how(charset: str, declared: list[tuple[str, How]]) -> How:
    return next((how for name, how in declared if name == charset), "detector")


def _seven_bit(body: bytes, declared: list[tuple[str, How]]) -> Decoded:
    """ASCII, ISO-2022-JP, or UTF-16 without a mark. Every ASCII charset reads the first alike."""
    if b"\x1b" in body and any(escape in body for escape in _ESCAPES):
        text, replacements, truncated = decode_as(body, "iso-2022-jp")
        how = _how("iso-2022-jp", declared)
        return Decoded(text, "iso-2022-jp", "escape" if how == "detector" else how, replacements, truncated)
    for charset, how in declared:
        if charset not in ("iso-2022-jp", "utf-16-le", "utf-16-be"):
            return Decoded(body.decode("ascii"), charset, how, 0, False)
    return Decoded(body.decode("ascii"), "ascii", "detector", 0, False)


def _sound_utf8(body: bytes) -> str | None:
    """The text where the header's word is as good as it gets: UTF-8 without error and not all ASCII."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return None if text.isascii() else text


def _as_utf8(body: bytes) -> tuple[str, int, bool] | None:
    """What ``decode_as`` gives for UTF-8; None where there are more errors than sequences."""
    try:
        return body.decode(), 0, False
    except UnicodeDecodeError:  # most bodies in other charsets fail within their first characters
        return decode_as(body, "utf-8") if _may_be_utf8(body) else None


def _may_be_utf8(body: bytes) -> bool:
    """Do the first bytes over ASCII have more sequences than errors? Decoding errors by the thousand is slow."""
    high = body.translate(None, _ASCII)[:8192]
    text, _ = codecs.utf_8_decode(high, "replace", False)
    return len(high) - len(text) >= text.count("\ufffd")


def _is_utf8(continuations: int, replacements: int, denied: bool) -> bool:
    """Are the multi-byte sequences too many to be chance? denied: another multi-byte charset is declared.

    continuations: bytes less characters, which is what multi-byte sequences save.
    """
    if replacements == 0:
        return continuations >= (4 if denied else 1)
    return continuations > 20 * replacements


def _believed(body: bytes, declared: list[tuple[str, How]]) -> Decoded | None:
    """The first declared multi-byte charset where its word is good: no error, and common characters of its language.

    Text of another charset that decodes without error gives rare characters (measured: .31 and more, and .08 for
    Korean read as Japanese or Chinese; 92 % of the sound pages are under BELIEVED). It spares the detector.
    """
    if not declared or declared[0][0] not in _MULTI_BYTE:
        return None
    charset, how = declared[0]
    first = _HIGH.search(body)
    start = first.start() if first else 0
    text, _, _ = decode_as(body[start : start + _NEAR], charset)
    if len(text.encode()) < len(text) + 2 * _ENOUGH or damage(text, charset) > BELIEVED:
        return None
    text, replacements, truncated = decode_as(body, charset)
    return Decoded(text, charset, how, 0, truncated) if replacements == 0 else None


def _best(body: bytes, declared: list[tuple[str, How]]) -> Decoded:
    """The candidate that does least damage; a declared one has the benefit of doubt."""
    from resiliparse.parse.encoding import detect_encoding

    dense = _dense(body)
    guess = charset_of(detect_encoding(dense[:GUESS_BYTES], max_len=GUESS_BYTES, html5_compatible=False) or "")
    for charset, how in declared:
        if charset == guess:
            text, replacements, truncated = decode_as(body, charset)
            if replacements == 0:
                return Decoded(text, charset, how, 0, truncated)
    if guess and guess.startswith(_NOT_GUESSED):
        guess = None
    candidates: dict[str, How] = {}
    for charset, how in declared:
        candidates.setdefault(charset, how)
    others = [guess] if guess else []
    for charset in (*others, *_ALWAYS_TRIED):
        candidates.setdefault(charset, "detector")
    scores = {}
    for rank, (charset, how) in enumerate(candidates.items()):
        text, replacements, _ = decode_as(dense, charset)
        score = damage(text, charset) - MARGIN * (how != "detector") - 0.5 * MARGIN * (charset == guess)
        scores[charset] = (score, rank)
    charset = min(scores, key=scores.__getitem__)
    text, replacements, truncated = decode_as(body, charset)
    return Decoded(text, charset, candidates[charset], replacements, truncated)


_ASCII = bytes(range(0x80))
_HIGH = re.compile(rb"[\x80-\xff]")
_ASCII_RUN = re.compile(rb"(?<=[\x00-\x7f]{16})[\x00-\x7f]{48,}")


def _dense(body: bytes) -> bytes:
    """A stretch of at most DETECT_BYTES that is rich in bytes over ASCII.

    Where the first such stretch is mostly markup and scripts, long ASCII runs are cut out of the whole body. A
    run keeps its first 16 bytes, so that the last byte of a character that lies in ASCII stays.
    """
    first = _HIGH.search(body)
    stretch = body[first.start() if first else 0 :][:DETECT_BYTES]
    if len(stretch.translate(None, _ASCII)) * 8 >= len(stretch):
        return stretch
    return _ASCII_RUN.sub(b"\n", body)[:DETECT_BYTES]


def _nec(error: UnicodeError) -> tuple[str, int]:
    """Decoding error handler for EUC-JP: rows that only cp932 knows, through Shift_JIS."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    pair = error.object[error.start : error.start + 2]
    if len(pair) == 2 and min(pair) >= 0xA1 and max(pair) <= 0xFE:
        try:
            return _to_shift_jis(pair[0] - 0xA0, pair[1] - 0xA0).decode("cp932"), error.start + 2
        except UnicodeDecodeError:
            return "\ufffd", error.start + 2
    return "\ufffd", error.start + 1


def _to_shift_jis(row: int, cell: int) -> bytes:
    """Shift_JIS bytes of a JIS X 0208 row and cell (1 to 94 each)."""
    lead = (row + 1) // 2 + (0x80 if row <= 62 else 0xC0)
    if row % 2 == 0:
        return bytes((lead, cell + 0x9E))
    return bytes((lead, cell + (0x3F if cell <= 63 else 0x40)))


codecs.register_error("jacorpus.nec", _nec)


def _decode_iso2022(body: bytes) -> tuple[str, int, bool]:
    """ISO-2022-JP by way of EUC-JP: shift the two-byte parts up, then decode them with row 13 and kana.

    A line end returns to ASCII, as in RFC 1468, so that one lost escape costs one line.
    """
    parts = _SHIFT.split(body)
    texts = [_plain(parts[0])]
    truncated = False
    for shift, part in zip(parts[1::2], parts[2::2], strict=True):
        line, newline, rest = part.partition(b"\n")
        if shift == b"(B":
            texts.append(_plain(part))
            continue
        if shift == b"(J":
            texts.append(_plain(line).replace("\\", "¥").replace("~", "‾"))
        elif shift == b"(I":
            texts.append(line.translate(_KANA).decode("cp932", "replace"))
        else:
            text, odd = _two_byte(line, b"\x8f" if shift == b"$(D" else b"")
            texts.append(text)
            truncated = odd and not newline
        texts.append(_plain(newline + rest))
    last = parts[-1]
    truncated = truncated and b"\n" not in last
    if truncated and texts[-2].endswith("\ufffd"):
        texts[-2] = texts[-2][:-1]
    text = "".join(texts)
    if (cut := re.search(r"\x1b[$(]{0,2}$", text)) is not None:
        text, truncated = text[: cut.start()], True
    return text, text.count("\ufffd"), truncated


_KANA = bytes(byte | 0x80 if 0x21 <= byte <= 0x5F else byte for byte in range(256))


_GRAPHIC = bytes(range(0x21, 0x7F))
_SHIFTED = bytes(byte | 0x80 for byte in range(256))


def _plain(part: bytes) -> str:
    return part.decode("ascii", "replace")


def _two_byte(line: bytes, prefix: bytes) -> tuple[str, bool]:
    """(text, whether half a character is left over) of the bytes between two escapes."""
    if len(line) % 2 == 0 and not line.translate(None, _GRAPHIC) and not prefix:
        return line.translate(_SHIFTED).decode("euc-jp", "jacorpus.nec"), False
    high, at = bytearray(), 0
    while at < len(line):
        if line[at] <= 0x20 or line[at] >= 0x7F:  # a space or control inside: as it is
            high.append(line[at] if line[at] < 0x80 else 0xFF)
            at += 1
            continue
        pair = line[at : at + 2]
        if len(pair) < 2 or not 0x21 <= pair[1] <= 0x7E:
            high.append(0xFF)
            at += 1
            continue
        high += prefix + bytes((pair[0] | 0x80, pair[1] | 0x80))
        at += 2
    text = bytes(high).decode("euc-jp", "jacorpus.nec")
    return text, bool(line) and high[-1] == 0xFF
