"""Charsets: every lie and every damage that a page can come with, on text of our own and on real texts."""

import io
import json
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.extract.charset import Decoded, Undecoded, decode, decode_as, meta_label

PROSE = "吾々は昨日の朝、古い港の町を歩いた。坂の上には白いカフェがあり、窓から海が見える。珈琲を飲んだ。"
KOREAN = "어제 아침 우리는 오래된 항구 도시를 걸었다. 언덕 위에는 하얀 찻집이 있고 창문으로 바다가 보인다."
RUSSIAN = "Вчера утром мы гуляли по старому портовому городу. На холме стоит белое кафе, из окон видно море."
FRENCH = "Hier à l'aube, nous avons marché près du vieux port; la fenêtre du café était fermée, hélas."


def page(text: str, head: str = "") -> str:
    return f"<html><head><title>t</title>{head}</head><body><p>{text}</p></body></html>"


def got(body: bytes, http: str | None = None) -> Decoded:
    result = decode(body, http)
    assert isinstance(result, Decoded), result
    return result


NATIVE = [
    *((PROSE, codec) for codec in ("cp932", "euc_jp", "iso2022_jp", "utf-8")),
    *((KOREAN, codec) for codec in ("cp949", "utf-8")),
    *((RUSSIAN, codec) for codec in ("koi8-r", "cp1251", "utf-8")),
    *((FRENCH, codec) for codec in ("cp1252", "utf-8")),
]


@pytest.mark.parametrize(("text", "codec"), NATIVE)
@pytest.mark.parametrize("header", [None, "utf-8", "Shift_JIS", "euc-jp", "iso-8859-1"])
def test_wrong_and_missing_headers(text: str, codec: str, header: str | None) -> None:
    html = page(text)
    assert got(html.encode(codec), header).text == html


@pytest.mark.parametrize(
    ("head", "label"),
    [
        ('<meta charset="Shift_JIS">', "shift_jis"),
        ("<META HTTP-EQUIV=Content-Type CONTENT='text/html; charset=EUC-JP'>", "euc-jp"),
        ("<!-- <meta charset=koi8-r> --><meta charset = utf8 />", "utf8"),
        ("x" * 5000 + "<meta charset=x-sjis>", "x-sjis"),
        ("<meta name=description content=nothing>", None),
    ],
)
def test_meta(head: str, label: str | None) -> None:
    assert meta_label(head.encode()) == label


def test_xml_declaration() -> None:
    assert meta_label(b"<?xml version='1.0' encoding='EUC-JP'?><html>") == "euc-jp"


@pytest.mark.parametrize("length", range(4070, 4100))
def test_meta_label_is_whole_wherever_it_stands(length: int) -> None:
    assert meta_label(b" " * length + b"<meta charset=utf-8><meta charset=euc-jp>") == "utf-8"
    assert meta_label(b" " * length + b"<!-- <meta charset=utf-8> --><meta charset=euc-jp>") == "euc-jp"


def test_how_names_the_clue() -> None:
    body = page(PROSE, "<meta charset=utf-8>").encode()
    assert got(body, "utf-8").how == "http"
    assert got(body).how == "meta"
    assert got(page(PROSE).encode()).how == "detector"
    assert got(b"\xef\xbb\xbf" + body, "shift_jis").how == "bom"
    assert got(page(PROSE).encode("iso2022_jp"), "utf-8").how == "escape"
    assert got(page(PROSE).encode("iso2022_jp"), "iso-2022-jp").how == "http"


def test_byte_order_marks() -> None:
    html = page(PROSE)
    assert got(b"\xff\xfe" + html.encode("utf-16-le")).text == html
    assert got(b"\xfe\xff" + html.encode("utf-16-be"), "utf-8").text == html
    assert got(html.encode("utf-16-le"), "utf-16").text == html


def test_cp932_extensions_under_a_strict_label() -> None:
    html = page(PROSE + "①Ⅲ㈱㍉№髙﨑彅")
    assert got(html.encode("cp932"), "shift_jis") == Decoded(html, "cp932", "http", 0, False)


def test_nec_row_13_in_euc_and_iso2022() -> None:
    euc = page(PROSE).encode("euc_jp").replace(b"</p>", bytes.fromhex("ada1 adb5 adea") + b"</p>")
    assert got(euc).text == page(PROSE + "①Ⅰ㈱")
    iso = page(PROSE).encode("iso2022_jp").replace(b"</p>", b"\x1b$B" + bytes.fromhex("2d21 2d35 2d6a") + b"\x1b(B</p>")
    assert got(iso).text == page(PROSE + "①Ⅰ㈱")


def test_half_width_kana_in_iso2022() -> None:
    assert got(b"<p>\x1b(I6E\x1b(B\x1b$B3$\x1b(B</p>").text == "<p>ｶﾅ海</p>"


def test_a_single_accent_tells_utf8_from_a_latin_label() -> None:
    html = page("The café is closed.")
    assert got(html.encode(), "iso-8859-1").text == html
    assert got(html.encode("cp1252"), "utf-8").text == html


def test_one_bad_byte_costs_one_character() -> None:
    body = page(PROSE * 5).encode()
    at = body.index("。".encode())
    result = got(body[:at] + b"\xff" + body[at:])
    assert (result.charset, result.replacements) == ("utf-8", 1)
    assert result.text.replace("\ufffd", "") == page(PROSE * 5)


@pytest.mark.parametrize("codec", ["utf-8", "cp932", "euc_jp"])
@pytest.mark.parametrize("header", [None, "real"])
def test_cut_inside_a_character(codec: str, header: str | None) -> None:
    whole = "<html><body>" + PROSE * 3
    body = (whole + "海").encode(codec)[:-1]
    result = got(body, codec if header else None)
    assert (result.text, result.truncated_tail, result.replacements) == (whole, True, 0)


def test_cut_iso2022() -> None:
    body = ("<p>" + PROSE).encode("iso2022_jp").removesuffix(b"\x1b(B")[:-1]
    result = got(body)
    assert result.truncated_tail
    assert result.text == "<p>" + PROSE[:-1]


def test_what_can_not_be_decoded_says_why() -> None:
    assert decode(b"") == Undecoded("empty", "the body has no bytes")
    noise = bytes((i * 197 + i * i * 31) % 256 for i in range(4000))
    assert isinstance(result := decode(noise, "utf-8"), Undecoded)
    assert result.reason == "over_budget"
    assert "control" in result.detail
    damaged = b"\xff\xfe\xfd".join(PROSE[:20].encode()[i : i + 2] for i in range(0, 60, 2))
    assert isinstance(result := decode(b"<p>" + damaged, "x-nothing", budget=0.0), Decoded | Undecoded)


def test_plain_text_has_no_meta() -> None:
    body = ("<meta charset=koi8-r>" + PROSE).encode()
    assert decode(body, None, html=False).how == "detector"  # type: ignore[union-attr]


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(codec="iso2022_jp", categories=("L", "N", "P", "Zs")) | st.just("\n"), max_size=60))
def test_iso2022_equals_python(text: str) -> None:
    encoded = text.encode("iso2022_jp")
    assert decode_as(encoded, "iso-2022-jp")[0] == encoded.decode("iso2022_jp")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([None, "utf-8", "shift_jis", "iso-2022-jp", "euc-jp", "big5", "??"]))
def test_any_bytes_have_an_outcome(body: bytes, header: str | None) -> None:
    assert isinstance(decode(body, header), Decoded | Undecoded)
    assert isinstance(decode(b"\x1b$B" + body, header), Decoded | Undecoded)


def _real_texts(root: Path, count: int) -> list[str]:
    with open(root / "ja" / "aozora.jsonl.zst", "rb") as file:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), encoding="utf-8")
        texts = (json.loads(line)["text"] for line, _ in zip(lines, range(count), strict=False))
        return [text for text in texts if len(text) > 400]


@pytest.mark.parametrize("codec", ["cp932", "euc_jp", "iso2022_jp", "utf-8"])
@pytest.mark.parametrize("length", [120, 5000])
def test_real_japanese_without_any_label(real_data: Path, codec: str, length: int) -> None:
    texts = _real_texts(real_data, 60)
    wrong = 0
    for text in texts:
        html = page(text.replace("\r", "").encode(codec, "ignore").decode(codec)[:length])
        wrong += got(html.encode(codec)).text != html
    assert wrong <= 1  # one begins with a German motto: three Japanese characters in 120
