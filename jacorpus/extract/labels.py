"""What charset labels mean: ``x-sjis`` is cp932, ``iso-8859-1`` is windows-1252, ``gb2312`` is gb18030.

The merging follows the WHATWG Encoding Standard; names are those of Python's codecs. Labels are compared
without case, quotes, spaces, hyphens, underscores and colons, so that ``Shift-JIS`` and ``shift_jis`` are one.
"""

import codecs
import re
from functools import cache

_MEANING = {
    "utf-8": "utf8 unicode11utf8 unicode20utf8 xunicode20utf8 utf8mb4 unicode",
    "cp932": "shiftjis sjis xsjis mskanji windows31j windows932 cp932 ms932 csshiftjis shiftjs "
    "cswindows31j mskanjicp932 shiftjis2004 shiftjisx0213 sjiswin xmscp932",
    "euc-jp": "eucjp xeucjp ujis cseucpkdfmtjapanese eucjpms cp51932 eucjpwin",
    "iso-2022-jp": "iso2022jp csiso2022jp jis iso2022jp1 iso2022jp2 iso2022jp3 iso2022jpms iso2022jpext cp50220 "
    "cp50221 cp50222",
    "cp949": "euckr cseuckr ksc56011987 ksc56011989 ksc5601 isoir149 korean windows949 uhc cp949 ms949 "
    "xwindows949 ksx1001 kscp5601",
    "gb18030": "gb18030 gbk gb2312 gb231280 csgb2312 isoir58 chinese csiso58gb231280 xgbk cp936 ms936 "
    "windows936 euccn xeuccn hzgb2312",
    "big5hkscs": "big5 big5hkscs cnbig5 csbig5 xxbig5 cp950 windows950 big5tw xbig5",
    "windows-1252": "windows1252 xcp1252 cp1252 iso88591 iso885911987 isoir100 latin1 l1 ascii usascii "
    "ansix341968 cp819 ibm819 csisolatin1 xuserdefined ansi iso646us 88591 isolatin1 iso8859",
    "windows-1254": "windows1254 xcp1254 cp1254 iso88599 iso885991989 isoir148 latin5 l5 csisolatin5",
    "windows-1250": "windows1250 xcp1250 cp1250",
    "windows-1251": "windows1251 xcp1251 cp1251 win1251",
    "windows-1253": "windows1253 xcp1253 cp1253",
    "windows-1255": "windows1255 xcp1255 cp1255",
    "windows-1256": "windows1256 xcp1256 cp1256",
    "windows-1257": "windows1257 xcp1257 cp1257",
    "windows-1258": "windows1258 xcp1258 cp1258",
    "cp874": "windows874 cp874 tis620 iso885911 dos874",
    "koi8-r": "koi8r koi koi8 cskoi8r",
    "koi8-u": "koi8u koi8ru",
    "cp866": "cp866 ibm866 866 csibm866",
    "mac_roman": "macintosh mac xmacroman csmacintosh macroman",
    "mac_cyrillic": "xmaccyrillic xmacukrainian maccyrillic",
    "iso8859-2": "iso88592 latin2 l2 csisolatin2 isoir101 iso885921987",
    "iso8859-3": "iso88593 latin3 l3 csisolatin3 isoir109",
    "iso8859-4": "iso88594 latin4 l4 csisolatin4 isoir110",
    "iso8859-5": "iso88595 cyrillic csisolatincyrillic isoir144",
    "iso8859-6": "iso88596 arabic csisolatinarabic isoir127 asmo708 ecma114 iso88596e iso88596i",
    "iso8859-7": "iso88597 greek greek8 csisolatingreek isoir126 elot928 ecma118 suneugreek",
    "iso8859-8": "iso88598 hebrew visual csisolatinhebrew isoir138 iso88598e iso88598i logical",
    "iso8859-10": "iso885910 latin6 l6 csisolatin6 isoir157",
    "iso8859-13": "iso885913",
    "iso8859-14": "iso885914",
    "iso8859-15": "iso885915 latin9 l9 csisolatin9",
    "iso8859-16": "iso885916",
    "utf-16-le": "utf16 utf16le ucs2 iso10646ucs2 csunicode unicodefeff",
    "utf-16-be": "utf16be unicodefffe",
}
_CHARSETS = {label: charset for charset, labels in _MEANING.items() for label in labels.split()}
_NOISE = re.compile(r"[\s\"'_:\-]+")


@cache
def _known(plain: str, label: str) -> str | None:
    if plain in _CHARSETS:
        return _CHARSETS[plain]
    try:
        info = codecs.lookup(label)
    except (LookupError, ValueError):
        return None
    # Single-byte code pages only: codecs such as punycode or unicode_escape are no charsets of pages.
    return info.name if re.fullmatch(r"cp\d+|iso8859-\d+|mac-\w+|kz1048|ptcp154|hp-roman8", info.name) else None


def charset_of(label: str) -> str | None:
    """Python codec name for a label of a header or meta tag; None when it is not known."""
    label = re.split(r"[;,]", label.strip().strip("\"'"), maxsplit=1)[0].strip().lower()
    if not label or len(label) > 40 or not label.isascii():
        return None
    return _known(_NOISE.sub("", label), label)
