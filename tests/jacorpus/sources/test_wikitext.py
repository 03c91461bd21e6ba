"""What becomes of each piece of wikitext."""

import pytest

from jacorpus.sources import wikitext

MEDIA = frozenset({"file", "category", "ファイル", "カテゴリ"})


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("'''東京'''は''首都''である。", "東京は首都である。"),
        ("[[山]]と[[川|河川]]と[[:Category:海]]", "山と河川とCategory:海"),
        ("前[[ファイル:A.jpg|thumb|説明[[入れ子]]]]後[[Category:地理]][[カテゴリ:町]]", "前後"),
        ("本文。<ref>出典</ref><ref name=a />続き", "本文。続き"),
        ("{{Infobox|名前=A}}本文{{cite|b}}。", "本文。"),
        ("{{lang|en|Tokyo}}（{{読み|とうきょう}}、{{lang-en|T}}）", "Tokyo"),
        ("== 歴史 ==\n古い。\n=== 中世 ===\nもっと古い。", "歴史\n\n古い。\n\n中世\n\nもっと古い。"),
        ("本文\n== 脚注 ==\n{{Reflist}}\n", "本文"),
        ("== 上 ==\n=== 下 ===\n文", "上\n\n下\n\n文"),
        ("* 一\n*二\n** 三\n# 四\n: 五", "- 一\n- 二\n- 三\n- 四\n五"),
        ("前\n{| class=x\n|-\n| 表\n|}\n後", "前\n\n後"),
        ("a<br />b<nowiki>[[c]]</nowiki>", "a\nb[[c]]"),
        ("<syntaxhighlight lang=py>x = [1]\n  y</syntaxhighlight>", "x = [1]\n  y"),
        (
            "&amp;&nbsp;&#12354; [https://a.example 説明] [https://b.example] https://c.example",
            "&\xa0あ 説明  https://c.example",
        ),
        ("<!-- 注 -->本文__NOTOC__", "本文"),
        ("", ""),
        ("{{閉じない [[リンク", "{{閉じない [[リンク"),
    ],
)
def test_wikitext(source: str, expected: str):
    assert wikitext.plain(source, MEDIA) == expected
