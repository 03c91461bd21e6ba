"""What the fast extractor keeps and what it leaves out."""

import math

import pytest

from jacorpus.extract.fast import Fast, extract
from jacorpus.stage import Transform

ARTICLE = (
    "<html><head><title>港 の\n町</title></head><body><nav><a href=/>入口</a></nav><article>{}</article></body></html>"
)


def text(inner: str) -> str:
    return extract(ARTICLE.format(inner)).text


def test_is_a_transform() -> None:
    assert isinstance(Fast(), Transform)
    assert Fast.label == "extract"


def test_menu_is_out_and_title_is_kept() -> None:
    found = extract(ARTICLE.format("<p>坂の上に白い店がある。</p>"))
    assert (found.text, found.title) == ("坂の上に白い店がある。", "港 の町")


@pytest.mark.parametrize(
    ("inner", "want"),
    [
        ("<p>これは<b>日本</b>語の<i>文</i>です。</p>", "これは日本語の文です。"),
        ("<p>a<b>日</b>b　<i>本</i> 語</p>", "a日b　本 語"),
        ("<p>前</p><table><tr><td>\n字\n</td><td> 漢 </td></tr></table>", "前\n\n字 \t\t漢"),
        ("<p>坂の上に\n白い店が\r\n  ある。</p>", "坂の上に白い店がある。"),
        ("<p>坂の上 の店\nis open\nnow</p>", "坂の上 の店 is open now"),
        ("<p>一行<br>二行</p><p>次の段</p>", "一行\n二行\n\n次の段"),
        (
            "<p><ruby>港<rp>(</rp><rt>みなと</rt><rp>)</rp></ruby>の<ruby><rb>町</rb><rt>まち</rt></ruby>。</p>",
            "港の町。",
        ),
        ("<p>前。</p><pre>def f():\n    return 1\n\n    # 海\n</pre>", "前。\n\ndef f():\n    return 1\n\n    # 海"),
        ("<p>前。</p><pre>港\n町\n海</pre>", "前。\n\n港\n町\n海"),
        ("<p>港\n<br>町\n<br>\n海</p>", "港\n町\n海"),
        ("<p>材料。</p><ul><li>塩<li>水<li>米</ul>", "材料。\n\n  • 塩\n  • 水\n  • 米"),
        ("<p>手順。</p><ol><li>洗う<li>炊く</ol>", "手順。\n\n  1. 洗う\n  2. 炊く"),
        ("<p>話。</p><noscript>要JavaScript</noscript><template>型</template><div hidden>秘</div>", "話。"),
        ('<p>話。</p><div style="display: none">秘</div><div class="cookie-consent">同意</div>', "話。"),
        ("<p>話。</p><p><a id=here></a></p><p>続き。</p>", "話。\n\n続き。"),
        ("", ""),
    ],
)
def test_text(inner: str, want: str) -> None:
    assert text(inner) == want


def test_link_ratio() -> None:
    found = extract(ARTICLE.format('<p>町の<a href="x">案内</a>を読み、坂を上る。</p>'))
    assert found.text == "町の案内を読み、坂を上る。"
    assert found.link_ratio == pytest.approx(2 / 13)


def test_links_need_not_be_measured() -> None:
    html = ARTICLE.format('<p>町の<a href="x">案内</a>を読む。</p>')
    assert extract(html, links=False).text == extract(html).text
    assert math.isnan(extract(html, links=False).link_ratio)


@pytest.mark.parametrize(
    "around",
    ["<p>塩。</p>{}", "塩の話{}", "{}<p>塩。</p>", "<p>塩。</p>{}<ul><li>x"],
)
def test_lists_near_the_root_beside_prose_stay(around: str) -> None:
    html = "<body>" + around.format("<ul><li>米を洗う<ul><li>三度</ul></ul>") + "</body>"
    assert "米を洗う" in extract(html).text
    assert "三度" in extract(html).text


def test_broken_html() -> None:
    assert extract("<p>港<b>の<p>町</i></table>").text.split() == ["港の", "町"]
    assert extract("").text == ""
