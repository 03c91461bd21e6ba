"""What the quality extractor keeps and what it leaves out."""

import pytest

from jacorpus.extract.quality import Quality, extract
from jacorpus.stage import Transform

LONG = "坂の上には白い店があり、窓から海が見える。" * 12
PAGE = "<html><head><title>港の町</title></head><body><nav><a href=/>入口</a></nav><article>{}</article></body></html>"


def text(inner: str) -> str:
    return extract(PAGE.format(f"<p>{LONG}</p>{inner}<p>{LONG}</p>")).text.replace(LONG, "").strip("\n")


def test_is_a_transform() -> None:
    assert isinstance(Quality(), Transform)
    assert Quality.label == "extract"


@pytest.mark.parametrize(
    ("inner", "want"),
    [
        ("<p>これは<b>日本</b>語の\n<i>文</i>です。</p>", "これは日本語の文です。"),
        (
            "<p>語り口は<ruby>港<rt>みなと</rt></ruby>の<ruby><rb>町</rb><rt>まち</rt></ruby>だ。</p>",
            "語り口は港の町だ。",
        ),
        ("<pre>def f():\n    return 1\n\n\n    # 海\n</pre>", "def f():\n    return 1\n\n\n    # 海"),
        ("<pre>港\n町\n海</pre>", "港\n町\n海"),
        ("<pre>港<br>  町<b>の</b><br>海</pre>", "港\n  町の\n海"),
        ("<ul><li><p>塩は少し</p><pre>a\n  b   c\n\nd</pre></li></ul>", "• 塩は少し\na\n  b   c\n\nd"),
        ("<ul><li>塩は少し</li><li>水は多め</li></ul>", "• 塩は少し\n• 水は多め"),
        ("<noscript>要JavaScript</noscript><template>型</template><div hidden>秘</div>", ""),
        ('<div style="display: none">秘密の文です。</div>', ""),
    ],
)
def test_text(inner: str, want: str) -> None:
    assert text(inner) == want


def test_compatibility_ideographs_are_not_rewritten() -> None:
    assert "神社" in text("<p>神社の話を聞いた。</p>")


def test_link_ratio_and_title() -> None:
    found = extract(PAGE.format(f'<p>{LONG}<a href="x">町の案内</a>も読む。</p>'))
    assert found.title == "港の町"
    assert found.link_ratio == pytest.approx(4 / len(found.text))


def test_little_text_comes_from_the_fast_extractor() -> None:
    assert extract("<html><body><p>短い<b>頁</b>。</p></body></html>").text == "短い頁。"


@pytest.mark.parametrize("html", ["", "\x00", "<", "<!-- -->", "<html></html>", "<?xml version='1.0'?>"])
def test_nothing_to_extract(html: str) -> None:
    assert extract(html).text.strip("<") == ""


def test_unclosed_noscript_does_not_eat_the_page() -> None:
    assert LONG in extract(PAGE.format(f"<noscript><img src=x><p>{LONG}</p>")).text
