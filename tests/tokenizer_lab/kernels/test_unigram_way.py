"""Documents solved whole and documents solved in stretches have the ids of the readable twin, byte for byte."""

import random

import numpy as np
import pyarrow as pa
import pytest

from jacorpus.kernels.buffers import text_buffers
from tokenizer_lab.kernels.unigram import UnigramRules, unigram, unigram_naive, unigram_table
from tokenizer_lab.kernels.unigram_way import dense, ready


def rules(scale: float, in_bytes: bool) -> UnigramRules:
    draw = random.Random(3)
    names = [
        "▁",
        *"abあいう日本語",
        "ab",
        "aab",
        "▁ab",
        "ああ",
        "あい",
        "日本",
        "本語",
        "日本語",
        "いう日",
        "う日本語あ",
    ]
    scores = np.array([-scale * draw.random() for _ in names], np.float32)
    byte_ids = np.arange(100, 356, dtype=np.uint32) if in_bytes else None
    return UnigramRules(dict(zip(names, range(3, 40), strict=False)), scores, -2 * scale, 0, byte_ids, True, True)


def texts(alphabet: str, size: int) -> pa.Array:
    draw = random.Random(size)
    return pa.array(
        ["".join(draw.choices(alphabet, k=size + k)) for k in range(5)] + ["", None, " "], pa.large_string()
    )


@pytest.mark.parametrize("in_bytes", [True, False])
@pytest.mark.parametrize("scale", [1.0, 9.0, 30_000.0])  # the last one's sum goes back to zero again and again
@pytest.mark.parametrize(("alphabet", "whole"), [("ab 日éz𠮷", False), ("あいう日本語猫𠮷", True)])
def test_both_ways_equal_the_twin(alphabet: str, whole: bool, scale: float, in_bytes: bool) -> None:
    of = rules(scale, in_bytes)
    for size in (1, 40, 700):
        array = texts(alphabet, size)
        offsets, data = text_buffers(array)
        if size > 1:
            assert all(dense(data, offsets[d], offsets[d + 1]) == whole for d in range(5))
        for found, expected in zip(unigram(array, unigram_table(of)), unigram_naive(array, of), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_no_weight_where_no_piece_ends() -> None:
    slots = np.array([0, -1, -1, 0, 4, 0, -1, 7, 0, 1, 5, 7], np.int32)
    weights = ready(slots).view(np.float32)[3::4]
    assert np.isneginf(weights).tolist() == [True, True, False]
    assert slots[7] == 7
