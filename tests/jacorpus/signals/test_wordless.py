"""Pseudo-word signals: by hand, and near the exact ones on real text."""

import io

import numpy as np
import orjson
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings

from jacorpus.kernels.pseudo_words import pseudo_words_naive
from jacorpus.kernels.word_ngrams import word_repetition_naive
from jacorpus.signals.wordless import Wordless
from jacorpus.signals.words import Words
from tests.strategies import japanese_texts


def batch(texts: list[str]) -> pa.RecordBatch:
    ids = [row.to_bytes(16, "big") for row in range(len(texts))]
    return pa.record_batch({"id": pa.array(ids, pa.binary(16)), "text": pa.array(texts, pa.large_string())})


def test_counted_by_hand() -> None:
    measured = Wordless().measure(batch(["", "猫と犬猫\n# ABC…9…"]))  # 猫 と 犬猫 # ABC … 9 …
    found = {name: values[1] for name, values in measured.items()}
    assert found["words"] == 8
    assert found["plain_words"] == 5
    assert found["word_mean_chars"] == 8 / 5
    assert found["newline_per_word"] == 1 / 8
    assert found["alpha_word_ratio"] == 4 / 8
    assert found["symbol_word_ratio"] == 2 / 8
    assert found["top_2_word_cover_ratio"] == len("猫 と") / 13
    assert {values[0] for values in measured.values()} == {0}


@given(japanese_texts)
@settings(max_examples=60, deadline=None)
def test_repetition_equals_plain_python(texts: list[str | None]) -> None:
    texts = [(text or "") * 3 for text in texts]
    measured = Wordless().measure(batch(texts))
    for row, text in enumerate(texts):
        words = [word for word, _ in pseudo_words_naive(text)]
        top, dup, repeated = word_repetition_naive([words], 10)
        for n in (2, 3, 4):
            assert measured[f"top_{n}_word_cover_ratio"][row] == top[0][n] / max(len(text), 1)
        for n in range(5, 11):
            assert measured[f"dup_{n}_word_cover_ratio"][row] == dup[0][n] / max(len(text), 1)
        assert measured["word_repetition_ratio"][row] == repeated[0][7] / max(len(words) - 6, 1)


def test_columns_are_those_promised() -> None:
    measured = Wordless().measure(batch(["猫がいる。"]))
    assert {name: pa.array(values).type for name, values in measured.items()} == dict(Wordless().columns())
    assert set(measured) == set(Words().columns()) - {"noun_ratio", "stopword_types"}
    assert not Wordless.costly


@pytest.fixture(scope="module")
def paragraphs(real_data) -> pa.RecordBatch:
    with open(real_data / "qa" / "squad_ja.jsonl.zst", "rb") as file:
        lines = io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file))
        return batch([orjson.loads(next(lines))["text"] for _ in range(200)])


def test_near_the_exact_words_on_real_text(paragraphs: pa.RecordBatch) -> None:
    exact, estimated = Words().measure(paragraphs), Wordless().measure(paragraphs)
    assert abs(np.sum(estimated["words"]) / np.sum(exact["words"]) - 1) < 0.06
    assert np.mean(np.abs(estimated["words"] / exact["words"] - 1)) < 0.1
    short = exact["plain_words"] < 50
    assert np.mean(short == (estimated["plain_words"] < 50)) > 0.95
