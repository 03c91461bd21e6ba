"""The table kernel equals unicodedata, on every code point and beside every neighbor."""

import sys
import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.kernels.nfkc import normal_form, normal_form_naive
from tests.strategies import japanese_texts

EVERY = [chr(point) for point in range(sys.maxunicode + 1) if not 0xD800 <= point < 0xE000]
MARKS = [char for char in EVERY if unicodedata.combining(char)]


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
def test_every_code_point_alone_and_in_a_row(form):
    moved = [char for char in EVERY if unicodedata.normalize(form, char) != char or unicodedata.combining(char)]
    whole = ["".join(EVERY), "".join(reversed(EVERY)), *moved]
    result = normal_form(pa.array(whole, pa.large_string()), form).to_pylist()
    assert result == [normal_form_naive(text, form) for text in whole]


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
@pytest.mark.parametrize("neighbors", [("か", "\u3099"), ("ﾊ", "ﾟ"), ("\u1100", "\u1161"), ("a", "\u0323\u0301")])
def test_every_bmp_character_between_neighbors(form, neighbors):
    before, after = neighbors
    texts = [
        "".join(f"{before}{char}{after}" for char in EVERY[start : start + 256]) for start in range(0, 0xF800, 256)
    ]
    assert normal_form(pa.array(texts), form).to_pylist() == [normal_form_naive(text, form) for text in texts]


@settings(max_examples=150, deadline=None)
@given(
    japanese_texts,
    st.lists(st.text(st.sampled_from(["가", "\u1100", "\u1161", "\u11a8", "ﾡ", "ￂ", *MARKS])), max_size=4),
)
def test_equals_unicodedata(texts, hard):
    for form in ("NFC", "NFKC"):
        expected = [normal_form_naive(text or "", form) for text in texts + hard]
        assert normal_form(pa.array(texts + hard, pa.string()), form).to_pylist() == expected


def test_every_decomposition_composes_again():
    apart = [unicodedata.normalize("NFD", char) for char in EVERY if unicodedata.decomposition(char)]
    for form in ("NFC", "NFKC"):
        assert normal_form(pa.array(apart), form).to_pylist() == [normal_form_naive(text, form) for text in apart]
