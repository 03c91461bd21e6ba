"""The table kernel against its twin, with a table made to be awkward."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.kernels.charmap import char_map, map_chars, map_chars_naive
from tests.strategies import japanese_text, japanese_texts

# x grows to one byte or eleven, 、 vanishes, an emoji shrinks; two joining characters swallow what is before.
TABLE = char_map(
    {"あ": "a", "か": "かかかか", "、": "", "😀": "é", "é": "😀"},
    ["\u3099", "ﾞ"],
    lambda piece: f"<{piece[:1]}{len(piece)}>",
)
corners = st.text(st.sampled_from("aあか、😀é\u3099ﾞん\n"), max_size=30)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.none(), corners, japanese_text), max_size=8), st.integers(0, 3), st.integers(0, 8))
def test_equals_naive_on_slices_and_nulls(texts, start, length):
    array = pa.array(texts, pa.large_string()).slice(start, length)
    expected = [map_chars_naive(text or "", TABLE) for text in array.to_pylist()]
    assert map_chars(array, TABLE).to_pylist() == expected


@settings(max_examples=30, deadline=None)
@given(japanese_texts)
def test_result_is_valid_arrow(texts):
    map_chars(pa.array(texts, pa.string()), TABLE).validate(full=True)


def test_clusters_do_not_cross_documents():
    assert map_chars(pa.array(["ん", "ﾞ", "ん"]), TABLE).to_pylist() == ["ん", "<ﾞ1>", "ん"]


def test_an_unchanged_array_is_not_copied():
    array = pa.array(["んん", "ascii", ""], pa.large_string())
    assert map_chars(array, TABLE) is array


def test_ascii_entries_are_refused():
    with pytest.raises(ValueError, match="ASCII"):
        char_map({"a": "b"}, [], str)
