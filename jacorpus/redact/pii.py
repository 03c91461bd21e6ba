"""Replaces personal data of Japanese texts with tokens: phone and card numbers, My Number, mail, addresses.

Runs on the kept text while it is written. Patterns match on a width-folded view in which every hyphen is
``-`` (``ー`` and rules only between digits); one character of the view is one of the text, so a match
is replaced in the text itself and all other bytes stay. A kernel (kernels/digits.py) finds the few places
worth a look; a document without one costs a scan.

Kinds and what makes them hit; numbers need borders on both sides (no digit, ``-digit`` or ``.digit``):

phone          0 + 9 digits in valid groups (area code + exchange = 6 digits, exchange not from 0), and 050;
               without hyphens or brackets only after a word such as 電話 or TEL
mobile         060, 070, 080, 090 + 8 digits
toll_free      0120, 0570 + 6 digits, 0800 + 7: a company's as a rule
international  +81 and 9 or 10 digits
email          reserved domains (RFC 2606) and git@ stay
ipv4           public addresses with an octet over 31, not after a version word
my_number      12 digits with the right check digit (ordinance no. 85 of 2014, art. 5) and マイナンバー or 個人番号 near
credit_card    13-19 digits, Luhn and issuer prefix
bank           7-digit account after 普通, 当座, 口座番号 or as branch-account near a bank word; ゆうちょ 番号
postal         after 〒 or 郵便番号, or before a prefecture
address        prefecture + municipality + 丁目, 番地, 番 or 1-2-3

Off unless asked for: toll_free, postal and address, on web pages mostly a company's. Published pipelines
stop at phone and email (HojiChar 3ca1d27) or email and IP (datatrove a649de79).
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from jacorpus.stage import Applied, Column

_FIRST = ("email", "credit_card", "my_number", "international", "toll_free", "mobile", "phone")
KINDS = (*_FIRST, "bank", "postal", "ipv4", "address")
"""Order of precedence where two kinds claim the same characters."""

DEFAULT = ("email", "credit_card", "my_number", "international", "mobile", "phone", "bank", "ipv4")

Span = tuple[int, int]

_NEAR_BYTES = 200  # context on each side of a site: 66 full-width characters
_ALWAYS_HYPHEN = "‐‑‒–−－"
_HYPHEN_BETWEEN_DIGITS = re.compile("(?<=[0-9])[—―─ーｰ](?=[0-9])")
_FOLD = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},
    0x3000: 0x20,
    **{ord(c): ord("-") for c in _ALWAYS_HYPHEN},
}

_LABEL_END = re.compile(r"(?:tel|fax|phone|mobile)/?\Z", re.I)
_PHONE_WORD = re.compile(
    r"tel|fax|phone|call|電話|ﾃﾞﾝﾜ|☎|℡|📞|ファックス|ファクス|連絡先|問い?合わ?せ|携帯|ケータイ|フリーダイヤル|フリーコール",
    re.I,
)
_MY_NUMBER_WORD = re.compile(r"マイナンバー|ﾏｲﾅﾝﾊﾞｰ|個人番号|my\s?number", re.I)
_BANK_WORD = re.compile("銀行|信用金庫|信用組合|信金|信組|農協|労働金庫|労金|ゆうちょ|口座|支店|店番|振込")
_ACCOUNT_LEAD = re.compile(
    r"(?:(?:普通|当座|貯蓄)(?:預金|貯金|口座)?[\s::)\]」】]*(?:口座番号|番号|No\.?)?|口座(?:番号|No\.?))[\s::は)\]」】]*\Z",
    re.I,
)
_YUCHO_LEAD = re.compile(r"記号[\s::は]*1[0-9]{3}0[^0-9]{0,6}番号[\s::は]*\Z")
_VERSION_LEAD = re.compile(r"(?:\bv|\bver|version|バージョン|版|release|rev)[\s.::]*\Z", re.I)

_TEL = re.compile(r"(?<![0-9])(\()?(0[0-9]{1,10})(?:([-() ]{1,2})([0-9]{1,8}))?(?:([-() ]{1,2})([0-9]{3,4}))?")
_PLUS81 = re.compile(r"\+81[- ]?(?:\(0\)|0)?[- ]?\(?([1-9][0-9]{0,3})\)?[- ]?([0-9]{1,4})[- ]?([0-9]{3,4})")
_DIGITS = re.compile("[0-9]*")
_TWELVE = re.compile(r"[0-9]{4}([- ]?)[0-9]{4}\1[0-9]{4}")
_CARD = re.compile(r"[0-9]{4}([- ]?)(?:[0-9]{4}\1[0-9]{4}\1[0-9]{1,7}|[0-9]{6}\1[0-9]{4,5})")
_ACCOUNT = re.compile(r"(?:[0-9]{3}[- ])?[0-9]{7,8}")
_POSTAL = re.compile(r"[0-9]{3}-?[0-9]{4}")
_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_EMAIL = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24})"
)
_NOT_A_DOMAIN = re.compile(
    r"(?:^|\.)(?:example\.(?:com|net|org|jp)|example\.(?:co|ne|or)\.jp)$|\.(?:example|invalid|test|localhost|local)$"
    r"|\.(?:png|jpe?g|gif|svg|webp|css|js|html?|php)$",
    re.I,
)
_BANK_HINT = re.compile("銀行|信用|信金|信組|農協|労|ゆうちょ|口座|支店|店番|振込|普通|当座|貯蓄|番号".encode())
_PREFECTURE_NEXT = re.compile(r"\s?(?:東京都|北海道|(?:京都|大阪)府|[一-龥]{2,3}県)")
_N = "(?:[0-9]{1,4}|[〇一二三四五六七八九十百]{1,4})"
_ADDRESS = re.compile(
    r"[一-龥]{2,3}[都道府県] ?(?:[^\s、。,.「」()0-9A-Za-z]{1,7}?[市区町村郡]){1,3}[^\s、。,.「」()0-9A-Za-z]{0,12}?"
    rf"(?<![でにはをがとへもや]) ?{_N}(?:丁目|番地|番(?![目組線手人])|-(?=[0-9]))"
    rf"(?:[のノ-][0-9]{{1,4}}|[のノ]?{_N}(?:丁目|番地|番|号)|[0-9]{{1,4}}){{0,5}}"
)


def _cut_off(view: str, start: int, end: int) -> bool:
    """True when view[start:end] is only a part of a longer number, word or URL."""
    before, after = view[max(0, start - 6) : start], view[end : end + 2]
    if before:
        last = before[-1]
        if last in "0123456789_=%#&$@\\." or (last in "-," and before[-2:-1].isascii() and before[-2:-1].isalnum()):
            return True
        last = before.rstrip("/")[-1:]
        if last.isascii() and last.isalpha() and not _LABEL_END.search(before):
            return True
    if not after:
        return False
    return after[0] in "0123456789_=%" or (after[0] in "-." and after[1:].isdigit())


def _search(pattern: re.Pattern[str], view: str, start: int, end: int) -> Iterator[re.Match[str]]:
    """Matches that start in [start, end) and are not cut off; behind one that is, its first digits are skipped."""
    at = start
    while (match := pattern.search(view, at)) is not None and match.start() < end:
        if _cut_off(view, *match.span()):
            at = _DIGITS.match(view, match.start() + 1).end()  # type: ignore[union-attr]
            continue
        yield match
        at = match.end()


def _tel_kind(match: re.Match[str], view: str) -> str | None:
    """toll_free, mobile or phone; None where the groups are no Japanese phone number's."""
    _, a, gap, b, gap2, c = match.groups(default="")
    number, groups = a + b + c, [len(g) for g in (a, b, c) if g]
    bare = not gap
    after = view[match.end() : match.end() + 1]
    if bare and after.isascii() and after.isalpha():
        return None
    spoken = _PHONE_WORD.search(view[max(0, match.start() - 20) : match.start()]) is not None
    spaced = " " in (gap, gap2)
    if number.startswith(("0120", "0570", "0800")) and not (number[3] == "0" and groups == [3, 4, 4]):
        wanted = 11 if number.startswith("0800") else 10
        return "toll_free" if len(number) == wanted and len(a) in (4, wanted) and (spoken or not bare) else None
    if len(number) == 11 and number[1] in "56789" and number[2] == "0":
        if groups not in ([11], [3, 8], [3, 4, 4]):
            return None
        return "phone" if number[1] == "5" else "mobile"
    if len(number) != 10 or number[1] == "0":
        return None
    if groups == [10] or (len(groups) == 2 and len(a) <= 5 and len(b) == 10 - len(a)):
        return "phone" if spoken or ")" in gap else None
    real = len(a) + len(b) == 6 and len(c) == 4 and b[0] != "0" and (len(a) > 2 or a in ("03", "04", "06"))
    return "phone" if real and (spoken or not spaced) else None


def _tels(view: str, start: int, end: int, kind: str) -> Iterator[Span]:
    """Numbers of one kind; one that is refused frees all but its first character."""
    at = start
    while (match := _TEL.search(view, at)) is not None and match.start() < end:
        at = match.start() + 1
        if not _cut_off(view, *match.span()) and (found := _tel_kind(match, view)):
            at = match.end()
            if found == kind:
                # an opening bracket is part of the number only where its closing one is
                opened = bool(match[1]) and ")" not in match[0]
                yield match.start() + opened, match.end()


def _international(view: str, start: int, end: int) -> Iterator[Span]:
    for match in _search(_PLUS81, view, start, end):
        if len(match[1] + match[2] + match[3]) in (9, 10):
            yield match.span()


def my_number_check_digit(first_eleven: str) -> int:
    """Check digit of an individual number: r = sum of P_n Q_n mod 11 over the digits from the right."""
    total = sum(int(p) * (n + 1 if n <= 6 else n - 5) for n, p in enumerate(reversed(first_eleven), 1))
    return 0 if total % 11 <= 1 else 11 - total % 11


def _my_numbers(view: str, start: int, end: int) -> Iterator[Span]:
    for match in _search(_TWELVE, view, start, end):
        digits = re.sub("[- ]", "", match[0])
        near = view[max(0, match.start() - 40) : match.start()] + "\n" + view[match.end() : match.end() + 20]
        if my_number_check_digit(digits[:11]) == int(digits[11]) and _MY_NUMBER_WORD.search(near):
            yield match.span()


def luhn(digits: str) -> bool:
    """ISO/IEC 7812: every second digit from the right doubled, digits summed, divisible by ten."""
    doubled = [int(d) * (1 + n % 2) for n, d in enumerate(reversed(digits))]
    return sum(d - 9 * (d > 9) for d in doubled) % 10 == 0


def _issuer_length(digits: str) -> bool:
    """True where the issuer's prefix goes with the number's length."""
    two, three, four, size = int(digits[:2]), int(digits[:3]), int(digits[:4]), len(digits)
    if digits[0] == "4":
        return size in (13, 16, 19)
    if two in (34, 37):
        return size == 15
    if 300 <= three <= 305 or three == 309 or two in (36, 38, 39):
        return size == 14
    in_16 = 51 <= two <= 55 or 2221 <= four <= 2720 or 3528 <= four <= 3589 or four == 6011
    return size == 16 and (in_16 or 644 <= three <= 649 or two == 65)


def _cards(view: str, start: int, end: int) -> Iterator[Span]:
    for match in _search(_CARD, view, start, end):
        digits = re.sub("[- ]", "", match[0])
        if _issuer_length(digits) and luhn(digits):
            yield match.span()


def _accounts(view: str, start: int, end: int) -> Iterator[Span]:
    for match in _search(_ACCOUNT, view, start, end):
        before = view[max(0, match.start() - 40) : match.start()]
        branch = len(match[0]) == 11
        named = _BANK_WORD.search(before) if branch else len(match[0]) == 7 and _ACCOUNT_LEAD.search(before)
        if (named or _YUCHO_LEAD.search(before)) and view[match.end() : match.end() + 1] not in ("円", ","):
            yield match.span()


def _postal(view: str, start: int, end: int) -> Iterator[Span]:
    for match in _search(_POSTAL, view, start, end):
        before = view[max(0, match.start() - 8) : match.start()].rstrip(" :")
        if before.endswith(("〒", "郵便番号")) or ("-" in match[0] and _PREFECTURE_NEXT.match(view, match.end())):
            yield match.span()


def _is_public(address: str) -> bool:
    """True for a valid address outside the special ranges of RFC 6890 and multicast.

    One octet has to be over 31: without that, version and section numbers and object identifiers were
    most of the hits, and 1 in 4,000 random addresses is lost.
    """
    octets = [int(part) for part in address.split(".")]
    if not 31 < max(octets) < 256 or any(len(part) > 1 and part[0] == "0" for part in address.split(".")):
        return False
    a, b, c, _ = octets
    special = (
        a in (0, 10, 127)
        or a >= 224
        or (a, b) in ((169, 254), (192, 168))
        or (a == 172 and 16 <= b < 32)
        or (a == 100 and 64 <= b < 128)
        or (a == 198 and b in (18, 19))
        or (a, b, c) in ((192, 0, 0), (192, 0, 2), (192, 88, 99), (198, 51, 100), (203, 0, 113))
    )
    return not special


def _addresses_ipv4(view: str, start: int, end: int) -> Iterator[Span]:
    for match in _search(_IPV4, view, start, end):
        version = _VERSION_LEAD.search(view[max(0, match.start() - 12) : match.start()])
        if not version and _is_public(match[0]):
            yield match.span()


def _emails(view: str, start: int, end: int) -> Iterator[Span]:
    # the site is the @ itself: the pattern has to begin before it
    for match in _EMAIL.finditer(view, max(0, start - 64)):
        if match.start() >= end:
            break
        if match.start() < end < match.end() and not _NOT_A_DOMAIN.search(match[1]) and match[0][:4] != "git@":
            yield match.span()


def _addresses(view: str, start: int, end: int) -> Iterator[Span]:
    match = _ADDRESS.match(view, start)
    if match and not re.search("(?:19|20)[0-9]{2}-", match[0]):
        yield start, start + len(match[0].rstrip())


_FINDERS: dict[str, Callable[[str, int, int], Iterator[Span]]] = {
    "email": _emails,
    "credit_card": _cards,
    "my_number": _my_numbers,
    "international": _international,
    "toll_free": partial(_tels, kind="toll_free"),
    "mobile": partial(_tels, kind="mobile"),
    "phone": partial(_tels, kind="phone"),
    "bank": _accounts,
    "postal": _postal,
    "ipv4": _addresses_ipv4,
    "address": _addresses,
}
_SHAPES = {
    "credit_card": _CARD,
    "my_number": _TWELVE,
    "toll_free": _TEL,
    "mobile": _TEL,
    "phone": _TEL,
    "bank": _ACCOUNT,
    "postal": _POSTAL,
    "ipv4": _IPV4,
}
"""What the number run itself has to hold before its surroundings are looked at."""


def _fold(text: str) -> str:
    """The view patterns see: as many characters as text."""
    return _HYPHEN_BETWEEN_DIGITS.sub("-", text.translate(_FOLD))


def _possible(site: str, kinds: Sequence[str]) -> list[str]:
    """The kinds whose shape a folded site can hold; most dates and decimals end here."""
    digits = sum(map(str.isdigit, site))
    if digits < 10:
        kinds = [kind for kind in kinds if kind in ("bank", "postal", "ipv4")]
    held = {shape: shape.search(site) is not None for shape in {_SHAPES[k] for k in kinds if k in _SHAPES}}
    return [kind for kind in kinds if kind not in _SHAPES or held[_SHAPES[kind]]]


def find_in_site(data: bytes, start: int, end: int, kinds: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """(first byte, end byte, kind) of personal data that starts in or just before a site of one document."""
    if kinds[0] not in ("email", "address"):  # a number site
        kinds = _possible(_fold(data[start:end].decode()), kinds)
        if not kinds or (kinds == ["bank"] and not _BANK_HINT.search(data, max(0, start - _NEAR_BYTES), start)):
            return
    first, last = max(0, start - _NEAR_BYTES), min(len(data), end + _NEAR_BYTES)
    while first > 0 and data[first] & 0xC0 == 0x80:
        first -= 1
    while last < len(data) and data[last] & 0xC0 == 0x80:
        last += 1
    text = data[first:last].decode()
    view = _fold(text)
    at = len(data[first:start].decode())
    stop = at + len(data[start:end].decode())
    for kind in kinds:
        early = at if kind == "address" else max(0, at - 1)  # an opening bracket or + stands before the first digit
        for a, b in _FINDERS[kind](view, early, stop):
            begin = first + len(text[:a].encode())
            yield begin, begin + len(text[a:b].encode()), kind


def _apart(found: list[tuple[int, int, str]], kinds: Sequence[str]) -> list[tuple[int, int, str]]:
    """Overlaps settled by the order of kinds, then by position; the rest in text order."""
    taken: list[tuple[int, int, str]] = []
    for span in sorted(set(found), key=lambda s: (kinds.index(s[2]), s[0], -s[1])):
        at = bisect_left(taken, span)
        if (at == 0 or taken[at - 1][1] <= span[0]) and (at == len(taken) or span[1] <= taken[at][0]):
            taken.insert(at, span)
    return taken


@dataclass(frozen=True)
class Pii:
    """Replaces the chosen kinds with ``token``, in which {kind} is the kind's name in capitals.

    Columns: one int32 per chosen kind, the number replaced.
    """

    phase: ClassVar[Literal["measure", "write"]] = "write"

    kinds: tuple[str, ...] = DEFAULT
    token: str = "<{kind}>"

    def __post_init__(self) -> None:
        unknown = sorted(set(self.kinds) - set(KINDS))
        if unknown:
            raise ValueError(f"kinds: {', '.join(unknown)} not known; choose from {', '.join(KINDS)}")

    def columns(self) -> Mapping[str, pa.DataType]:
        return {kind: pa.int32() for kind in KINDS if kind in self.kinds}

    def find(self, texts: pa.Array) -> list[tuple[int, int, int, str]]:
        """(document, first byte, end byte, kind) of all personal data in a string array, sorted and apart."""
        from jacorpus.kernels.buffers import text_buffers
        from jacorpus.kernels.digits import AT, NUMBER, PREFECTURE, find_sites

        order = [kind for kind in KINDS if kind in self.kinds]
        numbers = [kind for kind in order if kind not in ("email", "address")]
        by_site = {NUMBER: numbers, AT: ["email"] * ("email" in order), PREFECTURE: ["address"] * ("address" in order)}
        offsets, data = text_buffers(texts)
        found: dict[int, list[tuple[int, int, str]]] = {}
        current, body = -1, b""
        for document, start, end, kind in find_sites(texts).tolist():
            if not by_site[kind]:
                continue
            if document != current:
                current, body = document, data[offsets[document] : offsets[document + 1]].tobytes()
            spans = list(find_in_site(body, start, end, by_site[kind]))
            if spans:
                found.setdefault(document, []).extend(spans)
        return [(document, *span) for document, spans in found.items() for span in _apart(spans, order)]

    def apply(self, batch: pa.RecordBatch) -> Applied:
        from jacorpus.kernels.spans import replace_spans

        names = list(self.columns())
        found = self.find(batch.column("text"))
        counts = np.zeros((len(names), batch.num_rows), np.int32)
        for document, _, _, kind in found:
            counts[names.index(kind), document] += 1
        columns: dict[str, Column] = dict(zip(names, counts, strict=True))
        if not found:
            return Applied(batch, columns)
        spans = np.array([(d, a, b, names.index(kind)) for d, a, b, kind in found], np.int64)
        tokens = [self.token.format(kind=name.upper()) for name in names]
        text = replace_spans(batch.column("text"), spans, tokens)
        return Applied(
            batch.set_column(batch.schema.get_field_index("text"), batch.schema.field("text"), text), columns
        )
