import io
import json
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.kernels.paragraphs import (
    cut_paragraphs,
    cut_paragraphs_naive,
    frequent_runs,
    frequent_runs_naive,
    paragraph_hashes,
    paragraph_hashes_naive,
)
from tests.strategies import japanese_texts

LINES = st.text(st.sampled_from("あＡａ、 \u3000\n\n\t\r𠮷か\u3099"), max_size=30)


def as_array(texts):
    return pa.array(texts, pa.large_string())


def split(firsts, values):
    return [values[a:b].tolist() for a, b in pairwise(firsts)]


@settings(max_examples=100, deadline=None)
@given(st.one_of(japanese_texts, st.lists(st.one_of(st.none(), LINES), max_size=8)), st.integers(0, 2))
def test_hashes_equal_the_naive_twin(texts, start):
    firsts, hashes, chars = paragraph_hashes(as_array(texts).slice(start))
    got = [list(zip(h, c, strict=True)) for h, c in zip(split(firsts, hashes), split(firsts, chars), strict=True)]
    assert got == paragraph_hashes_naive(texts[start:])


@settings(max_examples=100, deadline=None)
@given(st.one_of(japanese_texts, st.lists(st.one_of(st.none(), LINES), max_size=8)), st.randoms(use_true_random=False))
def test_cuts_equal_the_naive_twin(texts, draw):
    firsts, hashes, _ = paragraph_hashes(as_array(texts))
    drop = np.array([draw.random() < 0.4 for _ in hashes], bool)
    got = cut_paragraphs(as_array(texts), drop)
    got.validate(full=True)
    assert got.to_pylist() == cut_paragraphs_naive(texts, split(firsts, drop))
    assert cut_paragraphs(as_array(texts), np.zeros(len(drop), bool)).to_pylist() == [text or "" for text in texts]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(st.booleans(), max_size=10), max_size=5), st.integers(1, 4))
def test_runs_equal_the_naive_twin(marks, run):
    firsts = np.cumsum([0, *map(len, marks)]).astype(np.int64)
    flags = np.array([mark for row in marks for mark in row], bool)
    assert split(firsts, frequent_runs(firsts, flags, run)) == frequent_runs_naive(marks, run)


@pytest.mark.parametrize(
    ("marks", "dropped"),
    [
        ("1000", "1000"),
        ("0001", "0001"),
        ("00100", "00000"),
        ("001100", "000000"),
        ("011100", "011100"),
        ("0111100", "0111100"),
        ("110011", "110011"),
        ("111", "111"),
        ("", ""),
    ],
)
def test_runs_of_three(marks, dropped):
    flags = np.array([mark == "1" for mark in marks], bool)
    got = frequent_runs(np.array([0, len(flags)], np.int64), flags, 3)
    assert "".join("01"[int(mark)] for mark in got) == dropped


def test_a_paragraph_goes_with_its_blank_lines():
    text = "題\n\n本文一\n\nメニュー\n\n本文二\n\n著作権\n\n"
    drop = np.array([False, False, True, False, True])
    assert cut_paragraphs(as_array([text]), drop).to_pylist() == ["題\n\n本文一\n\n本文二"]
    assert cut_paragraphs(as_array([text]), np.ones(5, bool)).to_pylist() == [""]


def test_width_and_punctuation_do_not_count():
    _, hashes, chars = paragraph_hashes(as_array(["【目次】\n目 次\n＜目次＞\n----\n====\nﾒﾆｭｰ\nメニュー"]))
    assert len(set(hashes[:3].tolist())) == 1
    assert len(set(hashes[3:].tolist())) == 3
    assert chars.tolist() == [4, 3, 4, 4, 4, 4, 4]


def test_equals_the_naive_twin_on_real_text(real_data):
    with open(real_data / "ja" / "docs.jsonl.zst", "rb") as file:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), "utf-8")
        texts = [json.loads(line)["text"] for line, _ in zip(lines, range(60), strict=False)]
    firsts, hashes, _ = paragraph_hashes(as_array(texts))
    assert split(firsts, hashes) == [[h for h, _ in row] for row in paragraph_hashes_naive(texts)]
    drop = hashes % np.uint64(3) == 0
    assert cut_paragraphs(as_array(texts), drop).to_pylist() == cut_paragraphs_naive(texts, split(firsts, drop))
