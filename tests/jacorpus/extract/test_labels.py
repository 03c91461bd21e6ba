"""Charset labels as pages write them."""

import pytest

from jacorpus.extract.labels import charset_of


@pytest.mark.parametrize(
    ("label", "charset"),
    [
        ("utf8", "utf-8"),
        ('"utf-8"', "utf-8"),
        ("x-sjis", "cp932"),
        ("Shift-JIS", "cp932"),
        ("MS_Kanji", "cp932"),
        ("Windows-31J; q=1", "cp932"),
        ("x-euc-jp", "euc-jp"),
        ("ISO-2022-JP", "iso-2022-jp"),
        ("ks_c_5601-1987", "cp949"),
        ("GB2312", "gb18030"),
        ("ISO-8859-1", "windows-1252"),
        ("cp437", "cp437"),
        ("no-such-charset", None),
        ("punycode", None),
        ("unicode_escape", None),
        ("ｕｔｆ８", None),
        ("", None),
    ],
)
def test_labels(label: str, charset: str | None) -> None:
    assert charset_of(label) == charset
