"""Script counts: the kernel equals its twin, and known characters have the known kinds."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.kernels import scripts
from jacorpus.kernels.scripts import char_kind, script_counts, script_counts_naive
from tests.jacorpus.normalize.documents import read_texts
from tests.strategies import japanese_text

anything = st.one_of(st.none(), japanese_text, st.text("한국語个個込Жกéا", max_size=30))


@settings(max_examples=150, deadline=None)
@given(st.lists(anything, max_size=10), st.integers(0, 3), st.integers(0, 10))
def test_equals_naive_on_slices_and_nulls(texts, start, length):
    array = pa.array(texts, pa.large_string()).slice(start, length)
    assert script_counts(array).tolist() == [script_counts_naive(text or "") for text in array.to_pylist()]


def test_equals_naive_on_real_texts(real_data):
    for name in ("ja", "zh", "ko"):
        texts = [text[:3000] for text in read_texts(real_data / name / "docs.jsonl.zst", 20)]
        assert script_counts(pa.array(texts)).tolist() == [script_counts_naive(text) for text in texts]


def test_empty():
    assert script_counts(pa.array([], pa.string())).shape == (0, scripts.KINDS)


@pytest.mark.parametrize(
    ("char", "kind"),
    [
        ("a", scripts.LATIN),
        ("ｚ", scripts.LATIN),
        ("é", scripts.LATIN),
        ("ひ", scripts.HIRAGANA),
        ("カ", scripts.KATAKANA),
        ("ｶ", scripts.KATAKANA),
        ("ー", scripts.OTHER),
        ("한", scripts.HANGUL),
        ("Ж", scripts.SCRIPT),
        ("ก", scripts.SCRIPT),
        ("々", scripts.ITERATION),
        ("。", scripts.OTHER),
        ("1", scripts.OTHER),
        ("𠮷", scripts.HAN),
        ("込", scripts.HAN + 18),  # JIS level 1 alone
        ("们", scripts.HAN + 6),  # GB 2312 level 1 alone
        ("國", scripts.HAN + 36 + 2 + 1),  # JIS level 2, Big5 level 1, KS
    ],
)
def test_kinds(char, kind):
    assert char_kind(char) == kind
    assert script_counts(pa.array([char]))[0].nonzero()[0].tolist() == [kind]


def test_every_code_point_has_its_kind():
    points = [*range(0xD800), *range(0xE000, 0x20100), 0x323AF, 0x323B0, 0xE0001, 0x10FFFF]
    counts = script_counts(pa.array([chr(point) for point in points]))
    assert (counts.sum(axis=1) == 1).all()
    assert counts.argmax(axis=1).tolist() == [char_kind(chr(point)) for point in points]
