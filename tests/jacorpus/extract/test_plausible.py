"""Text read with the right charset looks less damaged than with a wrong one."""

import pytest

from jacorpus.extract.plausible import damage

DOCUMENTS = {
    "cp932": "昨日の朝、港の町を歩いた。白いカフェで珈琲を飲む。",
    "euc_jp": "昨日の朝、港の町を歩いた。白いカフェで珈琲を飲む。",
    "cp949": "어제 아침 우리는 항구 도시를 걸었다.",
    "gb18030": "昨天早上我们在老港口散步，山上有一家白色的咖啡馆。",
    "koi8-r": "Вчера утром мы гуляли по городу.",
    "cp1251": "Вчера утром мы гуляли по городу.",
    "cp1252": "La fenêtre du café était fermée, hélas, dès l'été.",
}
NAMES = {"euc_jp": "euc-jp", "cp1252": "windows-1252", "cp1251": "windows-1251"}


@pytest.mark.parametrize("codec", DOCUMENTS)
def test_the_right_charset_does_least_damage(codec: str) -> None:
    body = DOCUMENTS[codec].encode(codec)
    scores = {name: damage(body.decode(name, "replace"), NAMES.get(name, name)) for name in DOCUMENTS}
    assert min(scores, key=scores.__getitem__) == codec


def test_ascii_and_empty_are_fine() -> None:
    assert damage("plain", "utf-8") == damage("", "cp932") == 0.0


def test_replacement_characters_are_the_worst() -> None:
    assert damage("海\ufffd", "cp932") > 1.0
