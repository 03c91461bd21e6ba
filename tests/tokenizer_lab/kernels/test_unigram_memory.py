"""What is kept of stretches gives the ids of float32 sums, near ties and far into a text as well."""

import random

import numpy as np
import pyarrow as pa
import pytest

from tokenizer_lab.kernels.trie import build_trie
from tokenizer_lab.kernels.unigram import UnigramRules, unigram, unigram_naive, unigram_table
from tokenizer_lab.kernels.unigram_memory import _PAIRS_LOG2, bit_of, pairs_inside


def near_ties(step: float) -> UnigramRules:
    """Every two letters as a piece, worth what they are worth alone but for a multiple of ``step``."""
    draw = random.Random(7)
    scores = {letter: -3.0 - draw.random() for letter in "▁abcd"}
    for left in "▁abcd":
        for right in "abcd":
            scores[left + right] = scores[left] + scores[right] + step * draw.randint(-3, 3)
    for word in ("▁abc", "abca", "dcba", "▁dd"):
        scores[word] = sum(scores[letter] for letter in word) + step * draw.randint(-3, 3)
    pieces = {piece: i for i, piece in enumerate(scores)}
    return UnigramRules(pieces, np.array(list(scores.values()), np.float32), -15.0, 99, None, True, True)


@pytest.mark.parametrize("step", [0.0, 1e-6, 1e-4, 1e-2, 0.3])
def test_equal_to_the_twin_far_into_a_text(step: float) -> None:
    draw = random.Random(11)
    words = ["".join(draw.choices("abcd", k=draw.randint(1, 9))) for _ in range(60)]
    text = " ".join(draw.choices(words, k=6000))
    rules = near_ties(step)
    table = unigram_table(rules)
    texts = pa.array([text, text[:50], "e" + text[:3000] + "é"], pa.large_string())
    twin = unigram_naive(texts, rules)
    for _ in range(2):  # the second time everything is known
        for ours, theirs in zip(unigram(texts, table), twin, strict=True):
            assert np.array_equal(ours, theirs)


def test_pairs_inside_pieces() -> None:
    pieces = ["日本", "本の", "a", "▁ab"]
    codes = build_trie(pieces, np.arange(4, dtype=np.int32), np.zeros(4, np.float32)).codes
    bits = np.unpackbits(pairs_inside(pieces, codes), bitorder="little")
    assert len(bits) == 1 << _PAIRS_LOG2
    assert bits.sum() == 4
    for left, right in ("日本", "本の", "▁a", "ab"):
        assert bits[int(bit_of(codes[ord(left)], codes[ord(right)]))]


def test_a_text_whose_work_memory_is_a_mapping_of_its_own() -> None:
    """Arrays used through pointers alone once were given back too early; large ones were gone at once."""
    table = unigram_table(near_ties(0.3))
    offsets, ids, sizes = unigram(pa.array(["dd" * 400_000, "é" * 3], pa.large_string()), table)
    assert int(sizes[: offsets[1]].sum()) == 800_000
    assert set(ids[offsets[1] + 1 :].tolist()) == {99}
