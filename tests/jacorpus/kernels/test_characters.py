import pyarrow as pa
from hypothesis import example, given, settings

from jacorpus.kernels.characters import character_counts, character_counts_naive
from tests.strategies import japanese_texts


def check(texts):
    got = character_counts(pa.array(texts, pa.large_string()))
    for row, text in enumerate(texts):
        assert {name: counts[row] for name, counts in got.items()} == character_counts_naive(text or "")


@settings(max_examples=150, deadline=None)
@given(japanese_texts)
@example(["あ……\n　い・ 　\n！？う。", "", None, "𠮷𠮷𠮷\r\n", "・", "\n\n", "ａ", "〇々ヶーｱ"])
@example([chr(code) for code in (*range(0x80), 0x7FF, 0x800, 0xFFFF, 0x10000, 0x2FFFF, 0x30000, 0x10FFFF)])
def test_counts_equal_the_naive_ones(texts):
    check(texts)


def test_counts_of_a_slice():
    array = pa.array(["長い文章です。", None, "短い", "…"], pa.string()).slice(1, 2)
    assert character_counts(array)["chars"].tolist() == [0, 2]


def test_counts_on_real_text(real_texts):
    check(real_texts)
