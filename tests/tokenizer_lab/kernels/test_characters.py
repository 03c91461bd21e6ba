"""Ids of characters against the readable twin."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import japanese_texts
from tokenizer_lab.kernels.characters import character_ids, character_ids_naive

TABLE = np.full(0x2A6D7, -1, np.int32)
TABLE[:0x80] = np.arange(0x80)
TABLE[[0xE9, ord("日"), ord("本"), ord("か"), 0x20BB7, 0x2A6D6]] = np.arange(256, 262)


def assert_equal(array: pa.Array) -> None:
    for ours, theirs in zip(character_ids(array, TABLE), character_ids_naive(array, TABLE), strict=True):
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs)


@settings(max_examples=200, deadline=None)
@given(japanese_texts, st.integers(0, 3))
def test_equal_to_the_twin(texts: list[str | None], start: int) -> None:
    assert_equal(pa.array(texts, pa.large_string()).slice(start))


def test_every_width_and_the_edge_of_the_table() -> None:
    texts = ["aé日本か𠮷\U0002a6d6\U0002a6d7😀ž", "", None, "日"]
    assert_equal(pa.array(texts, pa.string()))
    offsets, ids, sizes = character_ids(pa.array(texts[:1], pa.large_string()), TABLE)
    assert ids[:7].tolist() == [97, 256, 257, 258, 259, 260, 261]
    assert bytes(ids[7:].astype(np.uint8)).decode() == "\U0002a6d7😀ž"
    assert offsets.tolist() == [0, 17]
    assert sizes[:7].tolist() == [1, 2, 3, 3, 3, 4, 4]


def test_real_text(real_data: Path) -> None:
    with zstandard.open(real_data / "ja" / "docs.jsonl.zst", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line, _ in zip(lines, range(30), strict=False)]
    assert_equal(pa.array(texts, pa.large_string()))
