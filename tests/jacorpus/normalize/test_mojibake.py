"""Mojibake is repaired, and nothing else is touched."""

import pytest

from jacorpus.normalize.mojibake import Mojibake
from tests.jacorpus.normalize.documents import apply_texts, document_batch, read_texts


@pytest.mark.parametrize("codec", ["latin-1", "cp1252"])
def test_repairs_lines(codec):
    sound = "私たちは毎日学校へ行きます"
    broken = sound.encode().decode("latin-1")
    if codec == "cp1252":  # undefined bytes keep their Latin-1 place, as browsers do it
        broken = "".join(bytes([b]).decode("cp1252", "ignore") or chr(b) for b in sound.encode())
    applied = Mojibake().apply(document_batch([f"題\n{broken}\n終わり", "無事"]))
    assert applied.batch.column("text").to_pylist() == [f"題\n{sound}\n終わり", "無事"]
    assert applied.columns["repaired"].tolist() == [1, 0]


def test_leaves_sound_text_alone():
    texts = [
        "ｶﾞﾗｽ ガラス か\u3099 “引用” ‘q’ ﬁ &amp; Ａ１ …",
        "Ça va très bien, déjà vu: «Où êtes-vous?»",
        "Größe über Straße",
        "Ничего",
        "汉字，中文。",
    ]
    assert apply_texts(Mojibake(), texts) == texts


def test_real_texts_stay(real_data):
    texts = read_texts(real_data / "ja" / "aozora.jsonl.zst", 300)
    assert Mojibake().apply(document_batch(texts)).columns["repaired"].sum() == 0
