"""How trafilatura's tree is written out."""

import pytest
from lxml import etree

from jacorpus.extract.render import render


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<p>上</p><p>下</p>", "上\n\n下"),
        ("<p>a <hi>b</hi>c\n d<lb/>e</p>", "a bc d\ne"),
        ("<p>日<hi>本</hi>語</p>", "日本語"),
        ("<p>　字下げ</p>", "　字下げ"),
        ("<head>題</head>本文<p>続き</p>", "題\n\n本文\n\n続き"),
        ("<list rend='ul'><item>一</item><item>二<list><item>三</item></list></item></list>", "• 一\n• 二\n  • 三"),
        ("<p>x</p><list rend='ol'><item>一</item><item><p>二</p></item></list><p>y</p>", "x\n\n1. 一\n2. 二\n\ny"),
        ("<list rend='dl'><item rend='dt-1'>語</item><item rend='dd-1'>意味</item></list>", "語\n意味"),
        (
            "<p>x</p><code>def f():\n    return 1\n\n\n    # end\n</code><p>y</p>",
            "x\n\ndef f():\n    return 1\n\n\n    # end\n\ny",
        ),
        ("<p>call <code>f(x)</code> now</p>", "call f(x) now"),
        (
            "<table><row><cell>a</cell><cell>b <hi>c</hi></cell></row><row><cell>1</cell><cell>2</cell></row></table>",
            "a\t\tb c\n1\t\t2",
        ),
        ("<p>x<graphic src='i.png'/>y</p>", "xy"),
        ("", ""),
    ],
)
def test_render(body: str, text: str) -> None:
    assert render(etree.fromstring(f"<body>{body}</body>")) == text
