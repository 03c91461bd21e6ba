import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.kernels.contamination import build_index, contamination, contamination_naive
from tests.strategies import japanese_text

SMALL = st.text(st.sampled_from("あいが、か\u3099 𠮷"), max_size=12)


def measured(texts, items, n, m, bar):
    rows = contamination(pa.array(texts, pa.large_string()), build_index(items, n, m), bar)
    return list(zip(*(column.tolist() for column in rows), strict=True))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.one_of(st.none(), SMALL, japanese_text), max_size=6),
    st.lists(st.one_of(SMALL, japanese_text), max_size=8),
    st.integers(1, 5),
    st.integers(1, 8),
    st.sampled_from([0.3, 0.8, 1.0]),
)
def test_equals_the_naive_twin(texts, items, n, m, bar):
    assert measured(texts, items, n, m, bar) == contamination_naive(texts, items, n, m, bar)


def test_documents_do_not_leak_into_each_other():
    texts = ["日本の首都", "はどこですか", None, "日本の首都はどこですか"]
    rows = measured(texts, ["日本の首都はどこですか"], 5, 3, 0.8)
    assert [round(row[0], 2) for row in rows] == [0.14, 0.29, 0.0, 1.0]
    assert [row[1] for row in rows] == [0, 0, -1, 0]
    assert [row[2] for row in rows] == [0, 0, 0, 1]


def test_slices():
    array = pa.array(["x", "日本の首都はどこですか", "y"]).slice(1)
    assert contamination(array, build_index(["首都はどこ"], 5, 3), 0.8)[0].tolist() == [1.0, 0.0]


def test_no_items_and_no_documents():
    assert measured(["text"], [], 5, 3, 0.8) == [(0.0, -1, 0, 0)]
    assert measured([], ["item one two"], 5, 3, 0.8) == []


def test_wrong_lengths_are_refused():
    with pytest.raises(ValueError, match="positive"):
        build_index(["a"], 3, 0)


def test_seeded_items_are_covered_in_full():
    rng = np.random.default_rng(0)
    kana = np.array([chr(c) for c in range(0x3042, 0x3094)])
    items = ["".join(rng.choice(kana, size)) for size in rng.integers(8, 60, 400)]
    texts = ["".join(rng.choice(kana, 300)) + item + "".join(rng.choice(kana, 300)) for item in items]
    assert [(row[0], row[1]) for row in measured(texts, items, 10, 8, 0.8)] == [(1.0, i) for i in range(400)]


def test_items_across_block_borders():
    """Texts of several blocks of 1,024 hashes, an item at every border."""
    filler = "".join(chr(0x4E00 + i) for i in range(5000))
    items = ["いろはにほへとちり", "ぬるをわか"]
    texts = [filler[:at] + item + filler[at:3000] for at in (0, 1010, 1016, 1023, 1024, 2040, 3000) for item in items]
    assert measured(texts, items, 6, 4, 1.0) == contamination_naive(texts, items, 6, 4, 1.0)
    assert [row[0] for row in measured(texts, items, 6, 4, 1.0)] == [1.0] * len(texts)
