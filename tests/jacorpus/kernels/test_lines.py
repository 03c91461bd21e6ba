import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jacorpus.kernels.lines import line_counts, line_counts_naive
from tests.strategies import japanese_texts

pieces = st.sampled_from(
    ["行。", "行った", "\n", "\n\n", "　", "…", "...", "- ", "•", "！？", "長い一行がここにあるよ", '"', "𠮷."]
)
repetitive = st.lists(st.lists(pieces, max_size=40).map("".join), max_size=4)


def check(texts, split):
    got = line_counts(pa.array(texts, pa.large_string()), split)
    for row, text in enumerate(texts):
        assert {name: counts[row] for name, counts in got.items()} == line_counts_naive(text or "", split)


@pytest.mark.parametrize("split", ["lf", "lf_run"])
@settings(max_examples=150, deadline=None)
@given(st.one_of(japanese_texts, repetitive))
@example(["", "\n", "\n\n", None, "...\n", "..\n…\n", "a\n" * 300, "あ。" * 300, "　\n \n", "-\r\n・\n"])
def test_counts_equal_the_naive_ones(split, texts):
    check(texts, split)


def test_counts_of_a_slice():
    array = pa.array(["一\n二", None, "三\n三\n"], pa.string()).slice(1, 2)
    assert line_counts(array)["dup_lines"].tolist() == [0, 1]


@pytest.mark.parametrize("split", ["lf", "lf_run"])
def test_counts_on_real_text(real_texts, split):
    check(real_texts, split)
