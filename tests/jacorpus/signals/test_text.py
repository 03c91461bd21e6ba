import math

import pyarrow as pa
import pytest

from jacorpus.signals.text import Text
from jacorpus.stage import Signal

TEXTS = ["あいアー漢𠮷。ABC😀\nえ…\n", "", "abc def", "はい！！\n次の文。"]


@pytest.fixture(scope="module")
def measured():
    return Text().measure(pa.record_batch({"text": pa.array(TEXTS, pa.large_string())}))


def test_columns_are_those_declared(measured):
    assert isinstance(Text(), Signal)
    assert {name: pa.array(column).type for name, column in measured.items()} == Text().columns()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("chars", 15),
        ("bytes", 37),
        ("hiragana_chars", 3),
        ("katakana_chars", 1),
        ("kanji_chars", 2),
        ("japanese_chars", 7),
        ("japanese_ratio", 7 / 15),
        ("hiragana_ratio", 3 / 7),
        ("katakana_ratio", 1 / 7),
        ("hiragana_all_ratio", 3 / 15),
        ("kana_head_chars", 4),
        ("kuten_gap_chars", 15.0),
        ("sentence_mean_chars", 13 / 3),
        ("sentence_max_chars", 7),
        ("ellipsis_sentence_ratio", 1 / 3),
        ("special_ratio", 5 / 15),
        ("run_max_chars", 1),
        ("stopword_types", 0),
    ],
)
def test_values(measured, name, value):
    assert measured[name][0] == value


def test_empty_text_is_all_zeros(measured):
    assert {name: column[1] for name, column in measured.items()} == dict.fromkeys(measured, 0)


def test_a_text_without_kuten_has_an_infinite_gap(measured):
    assert math.isinf(measured["kuten_gap_chars"][2])


def test_marks_after_the_first_belong_to_no_sentence(measured):
    assert measured["sentence_mean_chars"][3] == (3 + 4) / 2
    assert measured["run_max_chars"][3] == 2
    assert measured["stopword_types"][3] == 2
