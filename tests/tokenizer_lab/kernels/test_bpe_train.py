"""Merges from lists of places equal those of counting everything anew; the order of words does not matter."""

from itertools import islice, pairwise

import numpy as np
import orjson
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.kernels.buffers import text_buffers
from tests.strategies import japanese_texts
from tokenizer_lab.kernels.bpe_pairs import frequent_pairs, pairs_naive
from tokenizer_lab.kernels.bpe_train import BARRIER, train_merges, train_merges_naive
from tokenizer_lab.kernels.pretokenize import split
from tokenizer_lab.kernels.words import Words, lay_out, words_naive

SYMBOLS = 4
word = st.lists(st.integers(0, SYMBOLS - 1), max_size=40)
words = st.lists(
    st.tuples(st.one_of(word, st.lists(st.just(0), max_size=20)), st.sampled_from([1, 1, 2, 7])), max_size=8
)


def laid_out(listed: list[tuple[list[int], int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Words as the kernel takes them: runs by weight, barriers around."""
    sequence, ends, weights = [BARRIER], [], []
    for weight in sorted({w for _, w in listed}, reverse=True):
        for symbols, _ in (pair for pair in listed if pair[1] == weight):
            sequence += [*symbols, BARRIER]
        ends.append(len(sequence))
        weights.append(weight)
    return np.array(sequence, np.int32), np.array(ends or [1], np.int64), np.array(weights or [1], np.int64)


def learned(listed, wanted: int, lengths: list[int], **options) -> list[tuple[int, int, int]]:
    merges = train_merges(*laid_out(listed), np.array(lengths, np.int32), wanted, **options)
    return list(zip(merges.left.tolist(), merges.right.tolist(), merges.counts.tolist(), strict=True))


def word_list(found: Words) -> list[tuple[bytes, int]]:
    """(word, uses) in the order they first came."""
    store = found.store.tobytes()
    return [(store[a:b], n) for (a, b), n in zip(pairwise(found.starts.tolist()), found.uses.tolist(), strict=True)]


@settings(max_examples=300, deadline=None)
@given(words, st.integers(0, 30), st.lists(st.integers(1, 2), min_size=4, max_size=4), st.sampled_from([4, 9, 1 << 30]))
def test_merges_equal_those_of_the_twin(listed, wanted, lengths, longest) -> None:
    expected = train_merges_naive(listed, lengths, wanted, longest, 2)
    assert learned(listed, wanted, lengths, max_length=longest, min_count=2) == expected
    assert learned(listed[::-1], wanted, lengths, max_length=longest, min_count=2) == expected


@settings(max_examples=100, deadline=None)
@given(words, st.integers(1, 3))
def test_merges_end_where_no_pair_has_the_uses(listed, least) -> None:
    expected = train_merges_naive(listed, [1] * SYMBOLS, 1000, min_count=least)
    assert learned(listed, 1000, [1] * SYMBOLS, min_count=least) == expected
    assert all(count >= least for _, _, count in expected)


@settings(max_examples=100, deadline=None)
@given(words, st.sampled_from([2, 1 << 30]), st.integers(0, 4))
def test_lists_hold_the_places_of_the_frequent_pairs(listed, longest, step) -> None:
    sequence, ends, weights = laid_out(listed)
    by_place = np.repeat(weights, np.diff(ends, prepend=0))
    expected = pairs_naive(sequence.tolist(), by_place.tolist(), [1] * SYMBOLS, longest)
    found = frequent_pairs(sequence, ends, weights, np.ones(SYMBOLS, np.int32), longest, 1, step)
    for q, key in enumerate(found.keys.tolist()):
        places = found.lists[found.starts[q] : found.starts[q] + found.sizes[q]].tolist()
        assert (int(found.counts[q]), places) == expected.pop((key >> 32, key & 0xFFFFFFFF))
    assert all(uses < found.bar for uses, _ in expected.values()) or len(found.keys) == 1
    assert found.sizes[1:].sum() <= len(sequence) // 2


@settings(max_examples=60, deadline=None)
@given(japanese_texts, st.sampled_from(["ja", "none"]))
def test_words_are_counted_once_over_batches(texts, pattern) -> None:
    found, expected = Words(), []
    for part in (texts[:3], texts[3:]):
        array = pa.array(["skip", *part], pa.large_string())[1:]
        first_ends, ends = split(array, pattern)
        offsets, data = text_buffers(array)
        found.add((offsets, data), first_ends, ends)
        raw = data.tobytes()
        for d in range(len(array)):
            cuts = [int(offsets[d]), *ends[first_ends[d] : first_ends[d + 1]].tolist()]
            expected += [raw[a:b] for a, b in pairwise(cuts)]
    assert dict(word_list(found)) == words_naive(expected)
    counts = found.characters()
    assert {chr(c): int(counts[c]) for c in np.flatnonzero(counts)} == words_naive(
        list("".join(t or "" for t in texts))
    )


@settings(max_examples=60, deadline=None)
@given(japanese_texts)
def test_words_are_laid_out_most_used_first(texts) -> None:
    found = Words()
    array = pa.array(texts, pa.large_string())
    found.add(text_buffers(array), *split(array, "ja"))
    symbols = np.full(0x110000, BARRIER, np.int32)
    symbols[ord("ぁ") : ord("ゟ")] = np.arange(ord("ゟ") - ord("ぁ"))
    for table in (None, symbols):
        sequence, ends, weights = lay_out(found, table)
        by_place = np.repeat(weights, np.diff(ends, prepend=0))
        assert len(by_place) == len(sequence)
        assert (np.diff(weights) < 0).all()
        uses: dict[tuple[int, ...], int] = {}
        current: list[int] = []
        for symbol, weight in zip(sequence.tolist(), by_place.tolist(), strict=True):
            if symbol >= 0:
                current.append(symbol)
            elif current:
                uses[tuple(current)] = uses.get(tuple(current), 0) + weight
                current = []
        expected: dict[tuple[int, ...], int] = {}
        for word, number in word_list(found):
            points = list(word) if table is None else [int(symbols[ord(c)]) for c in word.decode()]
            for part in "".join(chr(p) if p >= 0 else "\uffff" for p in points).split("\uffff"):
                if part:
                    key = tuple(map(ord, part))
                    expected[key] = expected.get(key, 0) + number
        assert uses == expected


def test_merges_of_novels_equal_those_of_the_twin(real_data) -> None:
    with zstandard.open(real_data / "ja" / "aozora.jsonl.zst", "rt", encoding="utf-8") as file:
        texts = pa.array([orjson.loads(line)["text"][:3000] for line in islice(file, 6)], pa.large_string())
    found = Words()
    found.add(text_buffers(texts), *split(texts, "ja"))
    merges = train_merges(*lay_out(found), np.ones(256, np.int32), 120)
    listed = [(list(word), uses) for word, uses in word_list(found)]
    assert list(zip(merges.left, merges.right, merges.counts, strict=True)) == train_merges_naive(
        listed, [1] * 256, 120
    )


def test_progress_counts_every_merge() -> None:
    seen: list[int] = []
    merges = train_merges(*laid_out([([0, 1, 2, 3] * 30, 3)]), np.ones(4, np.int32), 6, progress=seen.append)
    assert sum(seen) == len(merges.left) == 6


@pytest.mark.parametrize("number", [0, 5])
def test_words_that_are_added_with_weights(number) -> None:
    found = Words()
    array = pa.array(["ab" * number], pa.large_string())
    first_ends, ends = split(array, "ja")
    found.add(text_buffers(array), first_ends, ends, np.full(len(ends), 9, np.int64))
    assert word_list(found) == ([(b"ab" * number, 9)] if number else [])
