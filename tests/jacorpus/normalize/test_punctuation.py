"""Swallow's vote as a stage, on the cases its own documentation names."""

import pytest

from jacorpus.normalize.punctuation import Punctuation
from tests.jacorpus.normalize.documents import apply_texts, document_batch


@pytest.mark.parametrize(
    ("text", "voted"),
    [
        ("読点、句点。", "読点、句点。"),
        ("読点，句点．", "読点、句点。"),
        ("片方，だけ。", "片方、だけ。"),
        ("同数，なら、そのまま", "同数，なら、そのまま"),
        ("Ａ，Ｂは，円周率３．１４で，", "Ａ，Ｂは、円周率３．１４で、"),
        ("ラテン字 abc，だけでは", "ラテン字 abc，だけでは"),
        ("待って．．．", "待って。。。"),
        ("𠮷，と", "𠮷、と"),
        ("，で始まる文，", "，で始まる文、"),
    ],
)
def test_votes(text, voted):
    assert apply_texts(Punctuation(), [text]) == [voted]


def test_counts_replaced_marks():
    applied = Punctuation().apply(document_batch(["あ，い，う．", "あ、"]))
    assert applied.columns["replaced"].tolist() == [3, 0]
    assert applied.columns["replaced"].dtype == "int32"
