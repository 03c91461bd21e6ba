from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings

from jacorpus.kernels.fold import fold_codes, fold_text_naive
from tests.strategies import japanese_texts


def folded(texts):
    offsets, codes = fold_codes(pa.array(texts, pa.large_string()))
    return ["".join(map(chr, codes[a:b])) for a, b in pairwise(offsets)]


@settings(max_examples=150, deadline=None)
@given(japanese_texts)
def test_equals_the_naive_twin(texts):
    assert folded(texts) == [fold_text_naive(text or "") for text in texts]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ＡＢＣ、ａｂｃ。", "abcabc"),
        ("ﾊﾞｽとパス", "バスとパス"),
        ("か\u3099は゜", "がぱ"),
        ("第１章　「始まり」…", "第1章始まり"),
        ("ラーメン－１０", "ラーメン10"),
        ("①と𠮷😀", "1と𠮷😀"),
        ("葛\U000e0100", "葛"),
        ("゛あ", "\u3099あ"),
    ],
)
def test_forms(text, wanted):
    assert folded([text]) == [wanted] == [fold_text_naive(text)]


def test_a_slice_starts_where_it_starts():
    offsets, codes = fold_codes(pa.array(["あ", "い!", ""]).slice(1))
    assert offsets.tolist() == [0, 1, 1]
    assert chr(codes[0]) == "い"
