"""Gold words as the two formats have them."""

import json
from pathlib import Path

import pytest

from jacorpus.errors import InputError
from tokenizer_lab.comparison.gold import BUNSETSU, JUMAN, LONG, SHORT, read_gold

CONLLU = """# newdoc id = a
# sent_id = 1
# text = 猫は  走り去った。
# text_en = The cat ran off.
1\t猫\t_\t_\t_\t_\t_\t_\t_\tLUWBILabel=B|BunsetuBILabel=B|SpaceAfter=No
2\tは\t_\t_\t_\t_\t_\t_\t_\tLUWBILabel=B|BunsetuBILabel=I
3-4\t走り去っ\t_\t_\t_\t_\t_\t_\t_\t_
3\t走り\t_\t_\t_\t_\t_\t_\t_\tLUWBILabel=B|BunsetuBILabel=B|SpaceAfter=No
4\t去っ\t_\t_\t_\t_\t_\t_\t_\tLUWBILabel=I|BunsetuBILabel=I|SpaceAfter=No
5\tた\t_\t_\t_\t_\t_\t_\t_\tLUWBILabel=B|BunsetuBILabel=I|SpaceAfter=No
5.1\tを\t_\t_\t_\t_\t_\t_\t_\t_
6\t。\t_\t_\t_\t_\t_\t_\t_\tLUWBILabel=B|BunsetuBILabel=I|SpaceAfter=No

# sent_id = 2
# text_en = Yes.
1\tは\t_\t_\t_\t_\t_\t_\t_\tLUWBILabel=B|BunsetuBILabel=B|SpaceAfter=No
2\tい\t_\t_\t_\t_\t_\t_\t_\tLUWBILabel=I|BunsetuBILabel=I

# newdoc id = b
# text = 犬
# text_en = A dog.
1\t犬\t_\t_\t_\t_\t_\t_\t_\tLUWBILabel=B|BunsetuBILabel=B
"""


def _words(texts, unit, row):
    data, units = texts.texts[row].as_py().encode(), texts.units[unit]
    own = slice(units.offsets[row], units.offsets[row + 1])
    return [data[a:b].decode() for a, b in zip(units.starts[own], units.ends[own], strict=True)]


def test_conllu(tmp_path: Path) -> None:
    path = tmp_path / "seg" / "ja-ud.conllu"
    path.parent.mkdir()
    path.write_text(CONLLU, "utf-8")
    [gold] = read_gold([str(path)])
    texts = gold.texts
    assert texts.name == "seg/ja-ud"
    assert texts.texts.to_pylist() == ["猫は  走り去った。", "はい", "犬"]
    assert _words(texts, SHORT, 0) == ["猫", "は", "走り", "去っ", "た", "。"]
    assert _words(texts, LONG, 0) == ["猫", "は", "走り去っ", "た", "。"]
    assert _words(texts, BUNSETSU, 0) == ["猫は", "走り去った。"]
    assert _words(texts, LONG, 1) == ["はい"]
    assert texts.group.tolist() == [0, 0, 1]
    assert gold.english.texts.to_pylist() == ["The cat ran off.", "Yes.", "A dog."]


def test_words_of_json_lines(tmp_path: Path) -> None:
    record = {
        "text": "猫は走る。犬も。",
        "sentences": [{"words": ["猫", "は", "走る", "。"]}, {"words": ["犬", "も", "。"]}],
    }
    path = tmp_path / "wac.jsonl"
    path.write_text(json.dumps(record, ensure_ascii=False) + "\n\n", "utf-8")
    [gold] = read_gold([str(path)])
    assert _words(gold.texts, JUMAN, 0) == ["猫", "は", "走る", "。", "犬", "も", "。"]
    assert gold.english is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1\t猫\t_\n\n", "line 1: 3 columns"),
        ("# text = 犬\n1\t猫\t_\t_\t_\t_\t_\t_\t_\t_\n\n", "does not hold `猫`"),
        ('{"text": "猫", "sentences": [{"words": ["犬"]}]}', "line 1: the words joined"),
        ('{"text": "猫"}', "line 1: expected"),
        ("\n", "holds no gold"),
    ],
)
def test_bad_gold_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.conllu"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError, match=said):
        read_gold([str(path)])


def test_gold_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "bad.conllu").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match="can't be read"):
        read_gold([str(tmp_path / "bad.conllu")])


def test_real_gold_covers_its_texts(real_data: Path) -> None:
    golds = read_gold([str(real_data / "seg")])
    assert {gold.texts.name for gold in golds} == {"seg/ja_gsd-ud-dev", "seg/ja_pud-ud", "seg/wac_ja"}
    for gold in golds:
        for row in range(0, len(gold.texts.texts), 97):
            unit = next(iter(gold.texts.units))
            assert "".join(_words(gold.texts, unit, row)) == gold.texts.texts[row].as_py().replace(" ", "")
