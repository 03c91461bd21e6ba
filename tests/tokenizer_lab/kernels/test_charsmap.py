"""The normalizer against its twin and against the library's own."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from tests.strategies import japanese_texts
from tokenizer_lab.formats.sentencepiece_library import read_proto
from tokenizer_lab.kernels.charsmap import Charsmap, normalize, normalize_naive, read_charsmap

HARD = ["  ａ  ｂ　", "\u3000", "ﾊﾟﾊﾞｶﾞ ㍿㌔", "x▁ ▁", "", " \t\n a", "が\u3099\u200b", "\u00a0a", "①" * 50, "🙂👨‍👩‍👧 "]


@pytest.fixture(scope="module")
def rules(real_data: Path):
    return read_proto(real_data / "tokenizers/rinna.google_sp.model").normalizer_spec


def check(texts: list[str | None], charsmap: Charsmap) -> None:
    array = pa.array([None, *texts], pa.large_string())[1:]
    ours, places = normalize(array, charsmap)
    twin, rows = normalize_naive(array, charsmap)
    assert ours.equals(twin)
    assert places.tolist() == [place for row in rows for place in row]


@given(japanese_texts)
@settings(max_examples=60, deadline=None)
def test_white_space_alone(texts: list[str | None]) -> None:
    check(texts, read_charsmap(b"", True))
    check(texts, read_charsmap(b"", False))


def test_equal_to_the_twin_on_hard_texts(rules) -> None:
    for squeeze in (True, False):
        check([*HARD, "".join(HARD), None], read_charsmap(rules.precompiled_charsmap, squeeze))


def test_the_library_normalizes_alike(rules, real_data: Path) -> None:
    import sentencepiece

    from tokenizer_lab.corpus import draw, open_corpus

    processor = sentencepiece.SentencePieceProcessor(model_file=str(real_data / "tokenizers/rinna.google_sp.model"))
    drawn = draw(open_corpus([str(real_data / "zh/docs.jsonl.zst"), str(real_data / "ko/docs.jsonl.zst")]), 200_000)
    texts = [*HARD, *drawn.texts.to_pylist()]
    ours, _ = normalize(pa.array(texts, pa.large_string()), read_charsmap(rules.precompiled_charsmap, True))
    theirs = [processor.normalize(text) for text in texts]
    assert ["▁" * bool(t) + t.replace(" ", "▁") for t in ours.to_pylist()] == theirs


@given(japanese_texts)
@settings(max_examples=40, deadline=None)
def test_equal_to_the_twin(rules, texts: list[str | None]) -> None:
    check(texts, read_charsmap(rules.precompiled_charsmap, True))


def test_a_cut_charsmap() -> None:
    with pytest.raises(ValueError, match="cut short"):
        read_charsmap((800).to_bytes(4, "little") + bytes(100), True)
    assert len(read_charsmap(b"", True).trie) == 0
    assert normalize(pa.array([], pa.large_string()), read_charsmap(b"", True))[1].dtype == np.int64
