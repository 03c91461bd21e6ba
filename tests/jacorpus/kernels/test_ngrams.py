"""Folding and n-gram hashes against their naive twins."""

import unicodedata
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.kernels.ngrams import code_points, fold_naive, ngram_hashes, ngram_hashes_naive, splitmix
from tests.jacorpus.dedup.texts import real_texts
from tests.strategies import COMBINING, HALF_WIDTH_KANA, japanese_texts


def _decoded(texts: list[str | None], fold: bool) -> list[str]:
    offsets, points = code_points(pa.array(texts, pa.large_string()), fold)
    return ["".join(map(chr, points[a:b])) for a, b in pairwise(offsets)]


@settings(max_examples=150, deadline=None)
@given(japanese_texts)
def test_code_points_equal_the_text(texts: list[str | None]) -> None:
    assert _decoded(texts, fold=False) == [text or "" for text in texts]
    assert _decoded(texts, fold=True) == [fold_naive(text or "") for text in texts]


@settings(max_examples=100, deadline=None)
@given(japanese_texts, st.sampled_from([1, 2, 5, 7]), st.booleans(), st.integers(0, 3), st.integers(0, 4))
def test_hashes_equal_naive_also_on_slices(texts: list[str | None], n: int, fold: bool, seed: int, skip: int) -> None:
    array = pa.array(texts, pa.large_string()).slice(skip)
    offsets, hashes = ngram_hashes(array, n, seed, fold)
    expected = [ngram_hashes_naive(text or "", n, seed, fold) for text in texts[skip:]]
    assert [hashes[a:b].tolist() for a, b in pairwise(offsets)] == expected


def test_folding_makes_typing_variants_equal_and_keeps_letters_apart() -> None:
    variants = ["ガギグ ＡＢＣ\n", "ｶﾞｷﾞｸﾞABC", "カ\u3099キ\u3099ク\u3099\u3000Ａ B\u200bC"]
    assert len(set(_decoded(variants, fold=True))) == 1
    assert len(set(_decoded(["かき", "がき", "カキ", "ぱき"], fold=True))) == 4


def test_half_width_kana_fold_as_nfkc() -> None:
    kana = "".join(char + mark for char in HALF_WIDTH_KANA for mark in ("", "ﾞ", "ﾟ"))
    assert _decoded([kana], fold=True) == [unicodedata.normalize("NFKC", kana)]
    combining = COMBINING.replace("\u3099\u309a", "")
    assert _decoded([combining], fold=True) == [unicodedata.normalize("NFC", combining)]


def test_short_and_empty_texts() -> None:
    offsets, hashes = ngram_hashes(pa.array(["", None, "あ", "日本語だ", "日本語だよ", " \n"]), n=5)
    assert np.diff(offsets).tolist() == [0, 0, 1, 1, 1, 0]
    assert len(set(hashes.tolist())) == 3


def test_damaged_utf8_ends_without_reading_past_the_text() -> None:
    data = pa.array(["日本語".encode()[:-1], b"\xf0\x9f", b"\xe3", b"\xff\x80"], pa.large_binary())
    offsets, _ = ngram_hashes(data, n=2)
    assert offsets[-1] > 0


def test_splitmix_is_the_published_generator() -> None:
    # First outputs of SplitMix64 from state 1234567, as its reference implementation prints them.
    state = 1234567
    stream = (state * pow(0xD1342543DE82EF95, -1, 1 << 64)) % (1 << 64)
    assert splitmix(0, stream, 3).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("n", [5, 8])
def test_real_texts(real_data, n: int) -> None:
    texts = real_texts(real_data, 12)
    offsets, hashes = ngram_hashes(pa.array(texts, pa.large_string()), n)
    expected = [ngram_hashes_naive(text, n, 1) for text in texts]
    assert [hashes[a:b].tolist() for a, b in pairwise(offsets)] == expected
