"""Signatures against their naive twins and against the installed datasketch."""

import random
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jacorpus.kernels import minhash as kernel
from jacorpus.kernels.minhash import EMPTY, agreements, band_keys, datasketch_naive, minhash, oph_naive
from jacorpus.kernels.ngrams import ngram_hashes, ngram_hashes_naive
from tests.jacorpus.dedup.texts import real_texts, sentences
from tests.strategies import japanese_texts


@settings(max_examples=60, deadline=None)
@given(japanese_texts, st.sampled_from([1, 7, 16, 33]), st.sampled_from([1, 5]), st.booleans(), st.integers(0, 3))
def test_oph_equals_naive_also_on_slices(texts: list[str | None], k: int, n: int, fold: bool, skip: int) -> None:
    signatures, _ = minhash(pa.array(texts, pa.large_string()).slice(skip), k, n, 3, fold)
    assert signatures.tolist() == [oph_naive(text or "", k, n, 3, fold) for text in texts[skip:]]


marks = st.text("かハﾊﾞﾟﾞ\u3099\u309a \u200b\ufeffaあ漢𠮷é", max_size=60)


@settings(max_examples=150, deadline=None)
@given(st.one_of(japanese_texts, st.lists(marks, max_size=4)), st.integers(1, 40), st.sampled_from([1, 5, 12]))
@example(["か\u3099", "か \u3099が", "  ", "あ" * 90, "\u3099" * 20], 1, 5)
def test_long_texts_in_pieces_equal_naive(texts: list[str | None], piece: int, n: int) -> None:
    with mock.patch.object(kernel, "PIECE", piece):
        for fold in (True, False):
            signatures, grams = minhash(pa.array(texts, pa.large_string()), 16, n, 3, fold)
            assert signatures.tolist() == [oph_naive(text or "", 16, n, 3, fold) for text in texts]
            assert grams.tolist() == [len(ngram_hashes_naive(text or "", n, 3, fold)) for text in texts]


@settings(max_examples=30, deadline=None)
@given(japanese_texts, st.sampled_from(["datasketch", "datasketch-1"]), st.booleans())
def test_datasketch_schemes_equal_naive(texts: list[str | None], scheme: str, fold: bool) -> None:
    signatures, _ = minhash(pa.array(texts, pa.large_string()), 9, 5, 1, fold, scheme)
    assert signatures.tolist() == [datasketch_naive(text or "", 9, 5, 1, fold, scheme) for text in texts]


@pytest.mark.parametrize(("scheme", "theirs"), [("datasketch", "affine32"), ("datasketch-1", "legacy")])
@pytest.mark.parametrize("n", [5, 20])
def test_values_are_those_of_the_library(real_data, scheme: str, theirs: str, n: int) -> None:
    datasketch = pytest.importorskip("datasketch", minversion="2.0")
    texts = ["", "あ", "短い文", "𠮷野家" * 9, *(text[:400] for text in real_texts(real_data, 8))]
    signatures, _ = minhash(pa.array(texts, pa.large_string()), 64, n, 7, False, scheme)
    for text, ours in zip(texts, signatures, strict=True):
        sketch = datasketch.MinHash(num_perm=64, seed=7, scheme=theirs)
        sketch.update_batch([text[i : i + n].encode() for i in range(max(len(text) - n + 1, min(len(text), 1)))])
        assert ours.tolist() == sketch.hashvalues.tolist()


def test_real_texts_equal_naive(real_data) -> None:
    texts = real_texts(real_data, 10)
    signatures, _ = minhash(pa.array(texts, pa.large_string()), 128)
    assert signatures.tolist() == [oph_naive(text, 128, 5, 1) for text in texts]


def test_a_long_repetitive_text_gives_the_signature_of_its_distinct_ngrams() -> None:
    unit = "あいうえおかきくけこ"
    long, short = unit * 3000, unit * 2
    signatures, grams = minhash(pa.array([long, short]), 64)
    assert grams.tolist() == [29996, 16]
    assert signatures[0].tolist() == signatures[1].tolist()
    assert signatures[0].tolist() == oph_naive(short, 64, 5, 1)


def test_estimates_are_close_to_the_true_jaccard() -> None:
    draw = random.Random(5)
    pairs, truth = [], []
    for _ in range(300):
        common = sentences(draw, draw.randint(1, 40))
        left, right = (common + sentences(draw, draw.randint(0, 15)) for _ in range(2))
        pairs.append((left, right))
    arrays = [pa.array(side) for side in zip(*pairs, strict=True)]
    for row in range(len(pairs)):
        sets = [set(ngram_hashes(array.slice(row, 1))[1].tolist()) for array in arrays]
        truth.append(len(sets[0] & sets[1]) / len(sets[0] | sets[1]))
    error = agreements(minhash(arrays[0])[0], minhash(arrays[1])[0]) / 128 - np.array(truth)
    assert np.sqrt(np.mean(error**2)) < 0.045  # .036 in theory for k = 128; room for 300 draws
    assert abs(np.mean(error)) < 0.01


def test_band_keys_agree_exactly_where_the_rows_agree() -> None:
    generator = np.random.default_rng(0)
    signatures = generator.integers(0, 3, (400, 12), dtype=np.uint32)
    keys = band_keys(signatures, np.ones(400, np.int64), 4, 3)
    for band in range(4):
        rows = [tuple(row) for row in signatures[:, 3 * band : 3 * band + 3].tolist()]
        assert len(set(zip(rows, keys[band].tolist(), strict=True))) == len(set(rows)) == len(set(keys[band].tolist()))
    assert len(np.unique(keys)) == sum(len(np.unique(keys[band])) for band in range(4))


def test_empty_texts_have_no_key() -> None:
    signatures, grams = minhash(pa.array(["", None, " \n", "あ"]), 16)
    assert (signatures[:3] == EMPTY).all()
    keys = band_keys(signatures, grams, 2, 8)
    assert (keys[:, :3] == 0).all()
    assert (keys[:, 3] != 0).all()


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="unknown scheme 'sha'"):
        minhash(pa.array(["a"]), scheme="sha")
    with pytest.raises(ValueError, match="need 24 values, signatures hold 16"):
        band_keys(np.zeros((1, 16), np.uint32), np.ones(1, np.int64), 3, 8)
