"""Estimated word signals: by hand, and near the exact ones on real text."""

import io

import numpy as np
import orjson
import pyarrow as pa
import zstandard

from jacorpus.signals.wordless import WEIGHTS, Wordless
from jacorpus.signals.words import Words


def batch(texts: list[str]) -> pa.RecordBatch:
    ids = [row.to_bytes(16, "big") for row in range(len(texts))]
    return pa.record_batch({"id": pa.array(ids, pa.binary(16)), "text": pa.array(texts, pa.large_string())})


def test_counted_by_hand() -> None:
    found = {name: values.tolist() for name, values in Wordless().measure(batch(["", "猫と犬\n# ABC…9…"])).items()}
    plain = 2 * WEIGHTS["kanji"] + WEIGHTS["hiragana"] + 2
    assert found == {
        "words": [0, plain + 3],
        "plain_words": [0, plain],
        "word_mean_chars": [0, 7 / plain],
        "newline_per_word": [0, 1 / (plain + 3)],
        "alpha_word_ratio": [0, (plain - 1) / (plain + 3)],
        "symbol_word_ratio": [0, 2 / (plain + 3)],
    }
    assert list(found) == list(Wordless().columns())
    assert set(found) <= set(Words().columns())


def test_near_the_exact_words_on_real_text(real_data) -> None:
    with open(real_data / "qa" / "squad_ja.jsonl.zst", "rb") as file:
        lines = io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file))
        documents = batch([orjson.loads(next(lines))["text"] for _ in range(200)])
    exact, estimated = Words().measure(documents), Wordless().measure(documents)
    assert abs(np.sum(estimated["words"]) / np.sum(exact["words"]) - 1) < 0.06
    assert np.mean(np.abs(estimated["words"] / exact["words"] - 1)) < 0.1
