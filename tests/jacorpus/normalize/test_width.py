"""Width folding: dakuten are never lost, punctuation stays, twice is once."""

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given, settings

from jacorpus.normalize.width import HALF_KANA, Width, fold_naive
from tests.jacorpus.normalize.documents import apply_texts, read_texts
from tests.strategies import japanese_texts


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("ｶﾞﾗｽとﾊﾟﾝ、ﾎﾞｰﾙ｡", "ガラスとパン、ボール。"),
        ("Ｐｙｔｈｏｎ３．１１＋", "Python3．11+"),
        ("　字下げ", " 字下げ"),
        ("か\u3099は\u309aカ\u3099", "がぱガ"),
        ("かﾞハﾟ", "がパ"),
        ("ﾞだけ、ﾟだけ", "゛だけ、゜だけ"),
        ("ん\u3099", "ん\u3099"),
        ("１２〜３０～４、ええ…x²㈱①！？（）", "12〜30～4、ええ…x²㈱①！？（）"),
        ("ｳﾞｧｲｵﾘﾝ", "ヴァイオリン"),
        ("", ""),
    ],
)
def test_folds(text, folded):
    assert apply_texts(Width(), [text]) == [folded]


def test_punctuation_is_an_option():
    assert apply_texts(Width(punctuation=True), ["（Ａ，Ｂ）！～"]) == ["(A,B)!～"]


def test_all_half_width_kana_fold_as_nfkc_does():
    pairs = [kana + mark for kana in HALF_KANA for mark in ("", "ﾞ", "ﾟ")]
    voiced = [pair for pair in pairs if len(unicodedata.normalize("NFKC", pair)) == 1]
    assert apply_texts(Width(), voiced) == [unicodedata.normalize("NFKC", pair) for pair in voiced]
    assert len(voiced) > 80


@settings(max_examples=150, deadline=None)
@given(japanese_texts)
def test_equals_naive_and_is_idempotent(texts):
    texts = [text or "" for text in texts]
    for punctuation in (False, True):
        stage = Width(punctuation)
        once = apply_texts(stage, texts)
        assert once == [fold_naive(text, punctuation) for text in texts]
        assert apply_texts(stage, once) == once


def test_real_texts_keep_every_voiced_kana(real_data):
    texts = read_texts(real_data / "ja" / "docs.jsonl.zst", 300)
    halves = [unicodedata.normalize("NFD", text) for text in texts]  # every dakuten apart

    def voiced(text):
        return sum("\u3041" <= c <= "\u30ff" and unicodedata.normalize("NFD", c) != c for c in text)

    folded = apply_texts(Width(), halves)
    assert [voiced(text) for text in folded] == [voiced(unicodedata.normalize("NFC", text)) for text in texts]
    assert apply_texts(Width(), texts) == [fold_naive(text) for text in texts]


def test_other_columns_stay():
    from tests.jacorpus.normalize.documents import document_batch

    batch = document_batch(["ｶﾞ", "b"])
    out = Width().apply(batch).batch
    assert out.schema == batch.schema
    assert out.drop_columns(["text"]).equals(batch.drop_columns(["text"]))
    assert isinstance(out, pa.RecordBatch)
